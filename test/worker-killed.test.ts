import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { glob } from 'node:fs/promises'
import { test } from 'node:test'
import { startTestApp, until, type Account, type TestApp } from './app.ts'
import { recordingForm, speakRecording } from './recordings.ts'
import { startWorkerProcess } from './worker-process.ts'

/** Some 12,000 characters of the built-in stories: long enough to die in the middle of. */
const longStory = async (): Promise<string> => {
  const texts: string[] = []
  for await (const file of glob('content/stories/0*.md', { cwd: `${import.meta.dirname}/..` }))
    texts.push((await readFile(`${import.meta.dirname}/../${file}`, 'utf8')).split('---\n').at(-1) ?? '')
  return texts.join('\n\n').slice(0, 12_000)
}

const setUp = async (app: TestApp): Promise<{ account: Account; path: string }> => {
  const storyId = await app.test.database.transaction(async (tx) => {
    const row = { title: 'Długa bajka', content: await longStory() }
    return (await tx.insertInto('stories').values(row).returning('id').executeTakeFirstOrThrow()).id
  })
  // No mail is sent without a worker, so the account is confirmed by hand.
  const credentials = { email: 'noc@example.test', password: 'spokojny wieczór nad jeziorem' }
  await app.app.auth.createConfirmed({ ...credentials, credits: 100 })
  const login = await app.call('POST', '/auth/login', { json: credentials })
  const accessToken = String(login.body['access_token'])
  const form = recordingForm(await speakRecording())
  const voice = await app.call('POST', '/voices', { token: accessToken, body: form })
  assert.equal(voice.status, 201, voice.text)
  const path = `/voices/${String(voice.body['id'])}/stories/${storyId}/audio`
  return { account: { id: 0, ...credentials, accessToken, refreshToken: '' }, path }
}

const partsOf = (app: TestApp) =>
  app.test.database.read
    .selectFrom('narration_parts')
    .select(['id', 'render_key', 'part_index', 'created_at'])
    .orderBy('id')
    .execute()

for (const signal of ['SIGKILL', 'SIGTERM'] as const)
  test(`a worker that gets ${signal} in the middle of a narration loses no part and charges once`, async (t) => {
    const app = await startTestApp({ work: false, env: { LOCAL_SPEECH_CONCURRENCY: '1' } })
    try {
      const { account, path } = await setUp(app)
      const asked = await app.call('POST', path, { token: account.accessToken })
      assert.equal(asked.status, 202, asked.text)
      // Too short to finish the story: at SIGTERM the work has to be handed back.
      const first = startWorkerProcess(app, { SHUTDOWN_TIMEOUT_SECONDS: '4' })
      const before = await until(
        async () => {
          const parts = await partsOf(app)
          return parts.length >= 2 ? parts : null
        },
        'two finished parts',
        60_000,
      )
      first.child.kill(signal)
      const exit = await first.ended
      assert.equal(exit, signal === 'SIGKILL' ? 'SIGKILL' : 0, first.output())
      const atEnd = await partsOf(app)
      const total = Number(
        (await app.call('GET', `/audio/${String(asked.body['id'])}/status`, { token: account.accessToken }))
          .body['parts_total'],
      )
      assert.ok(atEnd.length < total, 'the worker was in the middle')
      const killedAt = performance.now()

      const second = startWorkerProcess(app)
      await until(
        async () => ((await partsOf(app)).length > atEnd.length ? true : null),
        'a new part',
        60_000,
      )
      t.diagnostic(`first new part ${((performance.now() - killedAt) / 1000).toFixed(1)} s after ${signal}`)
      await until(
        async () => {
          const status = await app.call('GET', `/audio/${String(asked.body['id'])}/status`, {
            token: account.accessToken,
          })
          assert.notEqual(status.body['status'], 'error', `${status.text}\n${second.output()}`)
          return status.body['status'] === 'ready' ? true : null
        },
        `the narration\n${second.output()}`,
        120_000,
      )
      t.diagnostic(`ready ${((performance.now() - killedAt) / 1000).toFixed(1)} s after ${signal}`)
      second.child.kill('SIGTERM')
      assert.equal(await second.ended, 0, second.output())

      const parts = await partsOf(app)
      assert.equal(parts.length, total)
      assert.equal(new Set(parts.map((part) => part.render_key)).size, total)
      assert.deepEqual(parts.slice(0, before.length), before)
      assert.deepEqual(parts.slice(0, atEnd.length), atEnd)
      const debits = await app.test.database.read
        .selectFrom('credit_transactions')
        .select(['type', 'status'])
        .where('type', 'in', ['debit', 'refund'])
        .execute()
      assert.deepEqual(debits, [{ type: 'debit', status: 'applied' }])
      const attempts = await app.test.database.read.selectFrom('narration_attempts').select('stage').execute()
      assert.deepEqual(attempts, [{ stage: 'done' }])
    } finally {
      await app.close()
    }
  })
