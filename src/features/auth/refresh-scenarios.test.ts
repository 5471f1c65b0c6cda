import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { after, before, describe, test } from 'node:test'
import * as scene from '../../../test/account-scene.ts'
import { startTestApp, type Account, type Answer, type TestApp } from '../../../test/app.ts'
import { manualClock } from '../../../test/ledger-fixtures.ts'
import { newRefreshToken } from '../../platform/crypto.ts'

const clock = manualClock()

let app: TestApp
before(async () => {
  app = await startTestApp({ overrides: { clock }, work: false })
})
after(() => app.close())

const present = (refreshToken: unknown): Promise<Answer> =>
  app.call('POST', '/auth/refresh', { json: { refresh_token: refreshToken } })
const refresh = async (refreshToken: string): Promise<string> => {
  const answer = await present(refreshToken)
  assert.equal(answer.status, 200, answer.text)
  return String(answer.body['refresh_token'])
}
const sessionOver = 'Session is no longer valid. Please log in again.'
const invalid = 'Invalid token. Please log in again.'

/** The token with another character of the alphabet at this place. */
const changedAt = (token: string, place: number): string =>
  token.slice(0, place) + (token[place] === 'A' ? 'B' : 'A') + token.slice(place + 1)

test('F22: one character changed, at any place, is 401 without a look at the database', async () => {
  const { refreshToken } = await scene.createAccount(app)
  assert.equal(refreshToken.length, 53)
  const changed = Array.from(refreshToken, (_, place) => changedAt(refreshToken, place))
  const others = [
    refreshToken.slice(0, -1),
    `${refreshToken}A`,
    ` ${refreshToken}`,
    refreshToken.toLowerCase(),
  ]
  app.expectErrors()
  await scene.withoutDatabase(app, async () => {
    for (const token of [...changed, ...others]) scene.assertRefused(await present(token), 401, invalid)
    // The same request with a token of the right form does need the database.
    assert.equal((await present(newRefreshToken())).status, 503)
  })
  await refresh(refreshToken)
})

test('F17: a password reset ends every session', async () => {
  const account = await scene.createAccount(app)
  const other = await scene.signIn(app, account)
  const stranger = await scene.createAccount(app)
  const link = 'AbCdEfGhIjKlMnOpQrStUvWxYz0123456789_-AbCdE'
  await scene.rows(
    app,
    `insert into mail_tokens (user_id, kind, salt, token_hash, credential_version, created_at, expires_at)
     select id, 'reset', $2, $3, credential_version, $4::timestamptz, $4::timestamptz + interval '1 hour'
     from users where id = $1`,
    [account.id, Buffer.alloc(32), createHash('sha256').update(link).digest(), clock.now()],
  )
  const password = scene.newPassword()
  const json = { new_password: password, new_password_confirm: password }
  const answer = await app.call('POST', `/auth/reset-password/${link}`, { json })
  assert.equal(answer.status, 200, answer.text)
  for (const { accessToken, refreshToken } of [account, other]) {
    scene.assertRefused(await present(refreshToken), 401, sessionOver)
    assert.equal((await app.call('GET', '/auth/me', { token: accessToken })).status, 401)
  }
  await refresh(stranger.refreshToken)
  await refresh((await scene.signIn(app, { ...account, password })).refreshToken)
})

describe('F24, A-L19: what ends no session and no access token', () => {
  const assertWorks = async ({ accessToken, refreshToken }: Account): Promise<void> => {
    assert.equal((await app.call('GET', '/auth/me', { token: accessToken })).status, 200)
    await refresh(refreshToken)
  }

  test('a login elsewhere, right or wrong', async () => {
    const account = await scene.createAccount(app)
    clock.advance(2000)
    await scene.signIn(app, account)
    scene.assertRefused(await scene.login(app, { ...account, password: 'wrong' }), 401, 'Invalid credentials')
    await assertWorks(account)
  })

  test('points granted, spent, refunded, and a balance that is computed anew', async () => {
    const account = await scene.createAccount(app)
    clock.advance(2000)
    const { credits, database } = app.app
    const userId = account.id
    const [story] = await scene.rows<{ id: number }>(
      app,
      "insert into stories (title, content) values ('Latarnia', 'Była sobie latarnia.') returning id",
    )
    const [narration] = await scene.rows<{ id: number }>(
      app,
      `with voice as (insert into voices (user_id, name, provider, created_at, updated_at)
         values ($1, 'Mama', 'local', $3, $3) returning id)
       insert into narrations (story_id, voice_id, user_id, created_at, updated_at)
       select $2, id, $1, $3, $3 from voice returning id`,
      [userId, story?.id, clock.now()],
    )
    const grant = { userId, amount: 5, source: 'event', reason: 'admin_grant' } as const
    await database.transaction((tx) => credits.grant(tx, grant))
    const place = { narrationId: narration?.id ?? 0, storyId: story?.id ?? 0 }
    const debit = await database.transaction((tx) =>
      credits.debit(tx, { userId, amount: 3, reason: 'narration', ...place }),
    )
    assert.equal(await database.transaction((tx) => credits.refund(tx, debit.transactionId, 'failed')), true)
    assert.equal((await app.call('GET', '/me/credits', { token: account.accessToken })).status, 200)
    await assertWorks(account)
  })

  test('a subscription write, billing linking and a note on the account', async () => {
    const account = await scene.createAccount(app)
    clock.advance(2000)
    await scene.setUser(
      app,
      account.id,
      `subscription_active = true, subscription_plan = 'monthly', subscription_source = 'app_store',
       subscription_expires_at = now() + interval '30 days', subscription_will_renew = true,
       revenuecat_app_user_id = id::text, trial_expires_at = null, is_admin = true, updated_at = now() + interval '1 day'`,
    )
    await assertWorks(account)
  })
})

test('two devices of one account: the tokens of the one are never the other’s business', async () => {
  const account = await scene.createAccount(app)
  const other = await scene.signIn(app, account)
  const [mine, theirs] = [await refresh(account.refreshToken), await refresh(other.refreshToken)]
  await refresh(mine)
  await refresh(theirs)
  scene.assertRefused(await present(account.refreshToken), 401, sessionOver)
  await refresh(theirs)
  const ended = 'sessions where user_id = $1 and ended_at is not null'
  assert.equal(await scene.count(app, ended, [account.id]), 1)
})

test('reuse and a live token of the same session at the same instant: dead afterwards, one event, one mail', async () => {
  for (let round = 0; round < 5; round += 1) {
    const account = await scene.createAccount(app)
    const head = await refresh(account.refreshToken)
    const successor = await refresh(head)
    const [reuse, ...live] = await Promise.all([
      present(account.refreshToken),
      present(head),
      present(head),
      present(successor),
    ])
    scene.assertRefused(reuse, 401, sessionOver)
    const issued = live
      .filter(({ status }) => status === 200)
      .map(({ body }) => String(body['refresh_token']))
    for (const token of [account.refreshToken, head, successor, ...issued])
      scene.assertRefused(await present(token), 401, sessionOver)
    const events = "auth_events where user_id = $1 and kind = 'reuse'"
    const mails = "emails where user_id = $1 and kind = 'session_closed'"
    for (const from of [events, mails]) assert.equal(await scene.count(app, from, [account.id]), 1)
  }
})
