import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, before, test } from 'node:test'
import { sendMailJob } from '../src/features/mail/mail.ts'
import { produceNarrationJob } from '../src/features/narrations/narrations.ts'
import { prepareSampleJob } from '../src/features/voices/voices.ts'
import { accountRetentionJob, exportAccountJob } from '../src/features/auth/auth.ts'
import { assertRefused, rows } from './account-scene.ts'
import { until, type Account, type Answer } from './app.ts'
import { startScene, type Cast, type Scene } from './narration-scene.ts'

let scene: Scene

before(async () => {
  scene = await startScene()
})
after(() => scene.close())

const get = (account: Account, id: string): Promise<Answer> =>
  scene.app.call('GET', `/tasks/${id}`, { token: account.accessToken })

/** Prepares the sample of the cast's voice anew, as after an upload. */
const prepare = async ({ voiceId }: Cast): Promise<string> => {
  await scene.sql(`update voices set state = 'recorded' where id = ${voiceId}`)
  const { jobs, database } = scene.app.app
  return database.transaction((tx) => jobs.enqueue(tx, prepareSampleJob, { voice_id: voiceId }))
}

const ended = (account: Account, id: string): Promise<Answer> =>
  until(async () => {
    const answer = await get(account, id)
    return answer.body['ready'] === true ? answer : null
  }, 'the task to end')

test('a task of the caller shows its state, and a foreign one is as unknown as any (A-L14)', async () => {
  const [mine, other] = [await scene.cast(), await scene.cast()]
  const id = await prepare(mine)
  const done = await ended(mine.account, id)
  assert.equal(done.status, 200)
  assert.equal(done.headers.get('cache-control'), 'no-store')
  assert.deepEqual(done.body, { id, state: 'SUCCESS', ready: true, successful: true })

  assertRefused(await get(other.account, id), 404, 'Task not found')
  assertRefused(await get(mine.account, randomUUID()), 404, 'Task not found')
  for (const odd of ['1', 'x', `${id}0`, id.toUpperCase(), '%00'])
    assert.equal((await get(mine.account, odd)).status, 404, odd)
  assertRefused(await scene.app.call('GET', `/tasks/${id}`), 401, 'Authentication token is missing')
})

test('a task that waits, runs or waits for its next try is not ready', async () => {
  const cast = await scene.cast()
  const { jobs, database } = scene.app.app
  const id = await database.transaction((tx) =>
    jobs.enqueue(tx, prepareSampleJob, { voice_id: cast.voiceId }, { startAfterSeconds: 3600 }),
  )
  const shown = async () => (await get(cast.account, id)).body
  assert.deepEqual(await shown(), { id, state: 'PENDING', ready: false, successful: null })
  for (const [state, wire] of [
    ['active', 'STARTED'],
    ['retry', 'RETRY'],
  ]) {
    await rows(scene.app, 'update pgboss.job set state = $1::pgboss.job_state where id = $2', [state, id])
    assert.deepEqual(await shown(), { id, state: wire, ready: false, successful: null })
  }
})

test('a failed task says so in fixed words', async (t) => {
  const cast = await scene.cast()
  scene.app.expectErrors()
  t.after(await scene.lastTry('voices.prepare-sample'))
  t.after(() => scene.faults.heal())
  scene.faults.breakDown('head', 'voice_samples/')
  scene.faults.breakDown('get', 'voice_samples/')
  scene.faults.breakDown('put', 'voice_samples/')
  await scene.sql(`update voices set clone_sample_key = null where id = ${cast.voiceId}`)
  const id = await prepare(cast)
  assert.deepEqual((await ended(cast.account, id)).body, {
    id,
    state: 'FAILURE',
    ready: true,
    successful: false,
    error: 'The task failed. Please try again later.',
  })
})

test('tasks of narrations and exports are shown, those of the system are not', async () => {
  const cast = await scene.cast()
  const { account } = cast
  assert.equal((await scene.ask(cast)).status, 202)
  await scene.ended(cast)
  await scene.app.call('POST', '/auth/me/export', {
    token: account.accessToken,
    json: { current_password: account.password },
  })
  const idOf = (name: string, where: string): Promise<string> =>
    until(async () => {
      const found = await rows<{ id: string }>(
        scene.app,
        `select id from pgboss.job where name = $1 and ${where} order by created_on desc limit 1`,
        [name],
      )
      return found[0]?.id
    }, `a job ${name}`)
  const narration = await idOf(
    produceNarrationJob.name,
    `data->>'attempt_id' in (select a.id::text from narration_attempts a join narrations n on n.id = a.narration_id
       where n.voice_id = ${cast.voiceId})`,
  )
  assert.equal((await ended(account, narration)).body['state'], 'SUCCESS')
  const exported = await idOf(
    exportAccountJob.name,
    `data->>'export_id' in (select id::text from account_exports where user_id = ${account.id})`,
  )
  assert.equal((await ended(account, exported)).body['state'], 'SUCCESS')

  const { jobs, database } = scene.app.app
  const system = await database.transaction((tx) => jobs.enqueue(tx, accountRetentionJob, {}))
  const mail = await idOf(
    sendMailJob.name,
    `data->>'email_id' in (select id::text from emails where user_id = ${account.id})`,
  )
  for (const id of [system, mail]) assertRefused(await get(account, id), 404, 'Task not found')
})

test('a finished task is gone after 7 days of the application clock, whatever the clock was before', async () => {
  const cast = await scene.cast()
  await scene.advance(20 * 86_400, cast)
  const id = await prepare(cast)
  await ended(cast.account, id)
  await scene.advance(7 * 86_400 - 60, cast)
  assert.equal((await get(cast.account, id)).status, 200)
  await scene.advance(120, cast)
  assertRefused(await get(cast.account, id), 404, 'Task not found')
})

test('the task of a voice that was deleted is gone', async () => {
  const cast = await scene.cast()
  const id = await prepare(cast)
  await ended(cast.account, id)
  const removed = await scene.app.call('DELETE', `/voices/${cast.voiceId}`, {
    token: cast.account.accessToken,
  })
  assert.equal(removed.status, 200, removed.text)
  assertRefused(await get(cast.account, id), 404, 'Task not found')
})
