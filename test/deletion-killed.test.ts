import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { startTestApp, until } from './app.ts'
import { advanceClock, count, createAccount, rows } from './account-scene.ts'
import { askForDeletion, finished, holdStep, itemsOf, statusOf, tick, tracesOf } from './deletion-scene.ts'
import { startScene, type Cast, type Scene } from './narration-scene.ts'
import { recordingForm, speakRecording } from './recordings.ts'
import { startWorkerProcess, type WorkerProcess } from './worker-process.ts'

const steps = ['stop', 'voices', 'exports', 'wait', 'recheck', 'points', 'scrub', 'notice']

describe('a deletion that is cut off', () => {
  let scene: Scene
  let expected: unknown
  before(async () => {
    scene = await startScene()
    scene.app.expectErrors()
    const cast = await narrated()
    await askForDeletion(scene.app, cast.account, 'bez powodu')
    expected = await endState(cast)
  })
  after(() => scene.close())

  /** An account with one finished narration, one voice that no provider knows, and a part of its points left. */
  const narrated = async (): Promise<Cast> => {
    const cast = await scene.cast()
    assert.equal((await scene.ask(cast)).status, 202)
    assert.equal((await scene.ended(cast))['status'], 'ready')
    await scene.addVoice(cast.account)
    return cast
  }

  /** What is the same for every deletion of such an account, however it went. */
  const endState = async ({ account, voiceId }: Cast) => {
    const { app } = scene
    const { attempts: _looks, ...deletion } = await finished(app, account, 40_000)
    const items = await itemsOf(app, account)
    return {
      status: await statusOf(app, account),
      deletion: [deletion.state, deletion.reason, deletion.notify_email, deletion.last_failure],
      items: items.map((item) => [item.kind, item.content, item.verified_at !== null]).sort(),
      ledger: await rows(
        app,
        `select type, status, amount, reason ~ '^audio' as is_story, metadata from credit_transactions
         where user_id = $1 order by id`,
        [account.id],
      ),
      traces: await tracesOf(app, account),
      objects: [
        await scene.keys(`voice_samples/${account.id}/`),
        await scene.keys(`audio_stories/${voiceId}/`),
      ],
      remoteVoices: scene.speech.voices.size,
      mails: (await app.outbox(account.email, 'deletion_finished')).length,
      reasons: await count(app, `account_deletion_reasons where reason = 'bez powodu'`),
    }
  }

  let reasons = 1
  for (const step of [...steps, 'voice'])
    test(`in the step "${step}" ends like one that was not`, async () => {
      const cast = await narrated()
      const held = await holdStep(scene.app, cast.account, step)
      await askForDeletion(scene.app, cast.account, 'bez powodu')
      const pid = await held.reached()
      await rows(scene.app, 'select pg_terminate_backend($1)', [pid])
      await held.release()
      await advanceClock(scene.app, 400)
      await tick(scene.app)
      reasons += 1
      assert.deepEqual(await endState(cast), { ...(expected as object), reasons })
    })
})

test('a worker killed in one step after the other leaves what an undisturbed one leaves', async (t) => {
  const app = await startTestApp({ work: false })
  const workers: WorkerProcess[] = []
  const startOne = (): WorkerProcess => {
    const worker = startWorkerProcess(app)
    workers.push(worker)
    return worker
  }
  try {
    const account = await createAccount(app)
    const [story] = await rows<{ id: number }>(
      app,
      `insert into stories (title, content) values ('Mała', 'Był sobie kot. Spał cały dzień.') returning id`,
    )
    const form = recordingForm(await speakRecording())
    const voice = await app.call('POST', '/voices', { token: account.accessToken, body: form })
    assert.equal(voice.status, 201, voice.text)
    const asked = await app.call('POST', `/voices/${String(voice.body['id'])}/stories/${story?.id}/audio`, {
      token: account.accessToken,
    })
    assert.equal(asked.status, 202, asked.text)
    let worker = startOne()
    await until(
      async () => ((await count(app, `narrations where status = 'ready'`)) === 1 ? true : null),
      `the narration\n${worker.output()}`,
      90_000,
    )
    let held = await holdStep(app, account, 'voices')
    await askForDeletion(app, account, 'bez powodu')
    for (const next of ['wait', 'scrub', 'notice', null]) {
      await held.reached()
      worker.child.kill('SIGKILL')
      assert.equal(await worker.ended, 'SIGKILL')
      await held.release()
      if (next !== null) held = await holdStep(app, account, next)
      worker = startOne()
      // The queue gives a dead worker's job to another after half a minute; the sweep does not wait for it.
      await advanceClock(app, 400)
      await tick(app)
    }
    await finished(app, account, 60_000)
    t.diagnostic(`${workers.length - 1} workers killed`)
    assert.equal(await statusOf(app, account), 'deleted')
    assert.deepEqual(await tracesOf(app, account), [])
    assert.equal(await count(app, 'voice_slots'), 0)
    const items = await itemsOf(app, account)
    assert.ok(items.every(({ verified_at: verified }) => verified !== null))
    assert.ok(items.some(({ content }) => content === 'narration'))
    assert.ok(items.some(({ content }) => content === 'stand_in'))
    assert.equal((await app.outbox(account.email, 'deletion_finished')).length, 1)
    assert.equal(await count(app, 'account_deletion_reasons'), 1)
    const moves = await rows(
      app,
      `select type, sum(amount)::int as sum from credit_transactions group by type`,
    )
    assert.equal(
      moves.reduce((sum, move) => sum + Number(move['sum']), 0),
      0,
    )
  } finally {
    for (const { child } of workers) child.kill('SIGKILL')
    await Promise.all(workers.map(({ ended }) => ended))
    await app.close()
  }
})
