import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { after, before, beforeEach, test } from 'node:test'
import { advanceClock, count, createAccount, rows, signIn } from '../../../test/account-scene.ts'
import { startTestApp, until, type Account, type TestApp } from '../../../test/app.ts'
import { accountRetentionJob } from './retention.job.ts'

const day = 86_400

let app: TestApp
let account: Account

before(async () => {
  app = await startTestApp()
})
beforeEach(async () => {
  account = await createAccount(app)
})
after(() => app.close())

const sweep = async (): Promise<void> => {
  const { jobs, database } = app.app
  const id = await database.transaction((tx) => jobs.enqueue(tx, accountRetentionJob, {}))
  const end = await until(async () => {
    const job = await jobs.find(accountRetentionJob, id)
    return job && ['completed', 'failed', 'retry'].includes(job.state) ? job : null
  }, 'the sweep')
  assert.equal(end.state, 'completed')
}

const sessions = () => count(app, 'sessions where user_id = $1', [account.id])
const tokens = () =>
  count(app, 'refresh_tokens where session_id in (select id from sessions where user_id = $1)', [account.id])

test('it is planned for 03:20 every day', () =>
  assert.deepEqual(accountRetentionJob.schedule, { dailyAt: '03:20' }))

test('an ended session goes with its tokens after 30 days, a live one stays', async () => {
  const second = await signIn(app, account)
  const refreshed = await app.call('POST', '/auth/refresh', { json: { refresh_token: second.refreshToken } })
  assert.equal(refreshed.status, 200)
  assert.equal((await app.call('POST', '/auth/logout', { token: account.accessToken })).status, 204)
  assert.equal(await tokens(), 3)

  // Kept in use, as a client does that refreshes within each week.
  const useSecond = async () =>
    assert.equal(
      (await app.call('POST', '/auth/refresh', { json: { refresh_token: second.refreshToken } })).status,
      200,
    )
  for (let week = 0; week < 5; week += 1) {
    await advanceClock(app, week < 4 ? 7 * day - 60 : 2 * day)
    await useSecond()
    if (week === 3) {
      await sweep()
      assert.equal(await sessions(), 2)
    }
  }
  await advanceClock(app, 600)
  await sweep()
  assert.equal(await sessions(), 1)
  await useSecond()
})

test('a session that nobody ended goes 30 days after its time was over', async () => {
  await advanceClock(app, 7 * day + 30 * day - 60)
  await sweep()
  assert.equal(await sessions(), 1)
  await advanceClock(app, 120)
  await sweep()
  assert.equal(await sessions(), 0)
  assert.equal(
    await count(
      app,
      'refresh_tokens t where not exists (select 1 from sessions s where s.id = t.session_id)',
    ),
    0,
  )
})

test('security events go after 180 days', async () => {
  const events = () => count(app, 'auth_events where user_id = $1', [account.id])
  assert.equal(await events(), 1)
  await advanceClock(app, 180 * day - 60)
  await sweep()
  assert.equal(await events(), 1)
  await advanceClock(app, 120)
  await sweep()
  assert.equal(await events(), 0)
})

test('a link token goes 30 days after its end, and the mail that carried it stays', async () => {
  const now = app.app.clock.now()
  const [token] = await rows<{ id: number }>(
    app,
    `insert into mail_tokens (user_id, kind, salt, token_hash, address, created_at, expires_at)
     values ($1, 'confirm', $2, $3, $4, $5, $6) returning id`,
    [account.id, randomBytes(32), randomBytes(32), account.email, now, new Date(now.getTime() + day * 1000)],
  )
  await rows(
    app,
    `insert into emails (user_id, kind, mail_token_id, status, created_at, ended_at)
     values ($1, 'confirm_email', $2, 'sent', $3, $3)`,
    [account.id, token?.id, now],
  )
  const left = () => count(app, 'mail_tokens where user_id = $1', [account.id])
  await advanceClock(app, 31 * day - 60)
  await sweep()
  assert.equal(await left(), 1)
  await advanceClock(app, 120)
  await sweep()
  assert.equal(await left(), 0)
  assert.equal(await count(app, 'emails where user_id = $1 and mail_token_id is null', [account.id]), 1)
})

test('a lost mail request goes after 2 days, a counter once its window is over', async () => {
  const now = app.app.clock.now()
  const email = account.email
  await rows(app, `insert into mail_requests (kind, email, created_at) values ('reset', $1, $2)`, [
    email,
    now,
  ])
  await rows(app, `insert into rate_counters (key, count, window_ends) values ($1, 1, $2)`, [
    email,
    new Date(now.getTime() + 60_000),
  ])
  const requests = () => count(app, 'mail_requests where email = $1', [email])
  const counters = () => count(app, 'rate_counters where key = $1', [email])
  await sweep()
  assert.deepEqual([await requests(), await counters()], [1, 1])
  await advanceClock(app, 2 * day - 60)
  await sweep()
  assert.deepEqual([await requests(), await counters()], [1, 0])
  await advanceClock(app, 120)
  await sweep()
  assert.equal(await requests(), 0)
})

test('an export whose process died on its last try is closed after a day, and a new one may be asked for', async () => {
  const now = app.app.clock.now()
  await rows(
    app,
    `insert into account_exports (user_id, status, object_key, created_at) values ($1, 'processing', $2, $3)`,
    [account.id, `exports/${account.id}/lost.zip`, now],
  )
  const open = () => count(app, `account_exports where user_id = $1 and status = 'processing'`, [account.id])
  await advanceClock(app, day - 60)
  await sweep()
  assert.equal(await open(), 1)
  await advanceClock(app, 120)
  await sweep()
  assert.equal(await open(), 0)
  const { accessToken } = await signIn(app, account)
  const asked = await app.call('POST', '/auth/me/export', {
    token: accessToken,
    json: { current_password: account.password },
  })
  assert.equal(asked.status, 202)
  assert.equal(asked.body['status'], 'pending')
})

test('more rows than one batch holds all go, and a second run finds nothing to do', async () => {
  await rows(
    app,
    `insert into auth_events (user_id, kind, created_at)
     select $1, 'sign_in', $2 from generate_series(1, 10001)`,
    [account.id, new Date(app.app.clock.now().getTime() - 181 * day * 1000)],
  )
  await sweep()
  assert.equal(await count(app, 'auth_events where user_id = $1', [account.id]), 1)
  await sweep()
  assert.equal(await count(app, 'auth_events where user_id = $1', [account.id]), 1)
})
