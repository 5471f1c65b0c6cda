import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import * as scene from '../../../test/account-scene.ts'
import { startTestApp, type Account, type Answer, type TestApp } from '../../../test/app.ts'

let app: TestApp
before(async () => {
  app = await startTestApp({ work: false })
})
after(() => app.close())

const overText = 'Token is no longer valid, please log in again'
const endedText = 'Session is no longer valid. Please log in again.'

interface Tokens {
  accessToken: string
  refreshToken: string
}

const patch = (tokens: { accessToken: string }, json: unknown): Promise<Answer> =>
  app.call('PATCH', '/auth/me', { token: tokens.accessToken, json })
const refresh = (refreshToken: string): Promise<Answer> =>
  app.call('POST', '/auth/refresh', { json: { refresh_token: refreshToken } })
const me = (accessToken: string): Promise<Answer> => app.call('GET', '/auth/me', { token: accessToken })

const tokensOf = ({ body }: Answer): Tokens => ({
  accessToken: String(body['access_token']),
  refreshToken: String(body['refresh_token']),
})

const newPasswordFor = (account: Account) => {
  const password = scene.newPassword()
  return { current_password: account.password, new_password: password, new_password_confirm: password }
}
const newAddressFor = (account: Account) => ({
  current_password: account.password,
  email: scene.newAddress(),
})

const changes: [what: string, json: (account: Account) => Record<string, unknown>, reason: string][] = [
  ['password', newPasswordFor, 'password_change'],
  ['address', newAddressFor, 'email_change'],
]

for (const [what, changeOf, reason] of changes)
  describe(`a changed ${what}`, () => {
    test('F15: the acting session lives on with its old refresh token, every other one is over', async () => {
      const account = await scene.createAccount(app)
      const other = await scene.signIn(app, account)
      const stranger = await scene.createAccount(app)
      await scene.advanceClock(app, 2)
      assert.equal((await patch(account, changeOf(account))).status, 200)
      scene.assertRefused(await me(account.accessToken), 401, overText)
      const renewed = await refresh(account.refreshToken)
      assert.equal(renewed.status, 200)
      assert.equal((await me(tokensOf(renewed).accessToken)).status, 200)
      scene.assertRefused(await me(other.accessToken), 401, overText)
      scene.assertRefused(await refresh(other.refreshToken), 401, endedText)
      assert.equal((await me(stranger.accessToken)).status, 200)
      const ended = await scene.rows(
        app,
        `select s.end_reason, e.kind from sessions s left join auth_events e
           on e.session_id = s.id and e.kind = 'session_ended' where s.user_id = $1 order by s.id`,
        [account.id],
      )
      assert.deepEqual(ended, [
        { end_reason: null, kind: null },
        { end_reason: reason, kind: 'session_ended' },
      ])
    })

    test('F16: once the answer’s refresh token is presented, the login’s is reuse', async () => {
      const account = await scene.createAccount(app)
      const answered = tokensOf(await patch(account, changeOf(account)))
      assert.notEqual(answered.refreshToken, account.refreshToken)
      assert.equal((await me(answered.accessToken)).status, 200)
      assert.equal((await refresh(answered.refreshToken)).status, 200)
      scene.assertRefused(await refresh(account.refreshToken), 401, endedText)
      assert.equal(
        await scene.count(app, "auth_events where user_id = $1 and kind = 'reuse'", [account.id]),
        1,
      )
    })

    test('an access token that was made earlier in the same second goes on', async () => {
      for (let tries = 1; tries <= 10; tries += 1) {
        const account = await scene.createAccount(app)
        const earlier = tokensOf(await refresh(account.refreshToken)).accessToken
        assert.equal((await patch(account, changeOf(account))).status, 200)
        const [session] = await scene.rows<{ second: number }>(
          app,
          'select extract(epoch from access_valid_from)::int as second from sessions where user_id = $1',
          [account.id],
        )
        const claims: { iat: number } = JSON.parse(
          Buffer.from(earlier.split('.')[1] ?? '', 'base64url').toString(),
        )
        if (session?.second !== claims.iat) continue
        assert.equal((await me(earlier)).status, 200)
        return
      }
      assert.fail('never were both within one second')
    })

    test('F19: while another session refreshes, none of its tokens works afterwards', async () => {
      const account = await scene.createAccount(app)
      const other = await scene.signIn(app, account)
      const [changed, ...refreshed] = await Promise.all([
        patch(account, changeOf(account)),
        ...Array.from({ length: 6 }, () => refresh(other.refreshToken)),
      ])
      assert.equal(changed.status, 200)
      for (const answer of refreshed) {
        if (answer.status === 200) {
          scene.assertRefused(await me(tokensOf(answer).accessToken), 401, overText)
          scene.assertRefused(await refresh(tokensOf(answer).refreshToken), 401, endedText)
        } else scene.assertRefused(answer, 401, endedText)
      }
      scene.assertRefused(await refresh(other.refreshToken), 401, endedText)
      assert.equal((await refresh(account.refreshToken)).status, 200)
    })

    test('a session that was ended meanwhile changes nothing', async () => {
      const account = await scene.createAccount(app)
      await scene.rows(app, "update sessions set ended_at = now(), end_reason = 'user' where user_id = $1", [
        account.id,
      ])
      scene.assertRefused(await patch(account, changeOf(account)), 401, overText)
      const [user] = await scene.rows(
        app,
        'select credential_version, pending_email from users where id = $1',
        [account.id],
      )
      assert.deepEqual(user, { credential_version: 1, pending_email: null })
    })

    test('a cookie session gets its refresh token as a cookie and in no body', async () => {
      const account = await scene.createAccount(app)
      const signedIn = await app.call('POST', '/auth/login', {
        json: { email: account.email, password: account.password, session: 'cookie' },
        headers: { 'x-requested-with': 'DawnoTemu', 'sec-fetch-site': 'same-origin' },
      })
      assert.equal(signedIn.status, 200, signedIn.text)
      const answer = await patch({ accessToken: tokensOf(signedIn).accessToken }, changeOf(account))
      assert.equal(answer.status, 200)
      assert.equal('refresh_token' in answer.body, false)
      const cookie = answer.headers.get('set-cookie') ?? ''
      assert.match(
        cookie,
        /^__Host-dt_refresh=dtr_[^;]+; Path=\/; Max-Age=604800; Secure; HttpOnly; SameSite=Strict$/,
      )
      assert.equal(answer.text.includes('dtr_'), false)
    })
  })

test('a changed password voids the reset links, a changed address does not', async () => {
  const account = await scene.createAccount(app)
  const plant = (hash: string) =>
    scene.rows(
      app,
      `insert into mail_tokens (user_id, kind, salt, token_hash, credential_version, created_at, expires_at)
       values ($1, 'reset', sha256('salt'), sha256($2::bytea), 1, now(), now() + interval '1 hour')`,
      [account.id, hash],
    )
  await plant('one')
  const live = () =>
    scene.count(app, "mail_tokens where user_id = $1 and kind = 'reset' and voided_at is null", [account.id])
  const changed = await patch(account, newAddressFor(account))
  assert.equal(changed.status, 200)
  assert.equal(await live(), 1)
  assert.equal((await patch(tokensOf(changed), newPasswordFor(account))).status, 200)
  assert.equal(await live(), 0)
})

test('an account that is deactivated between the check and the change is left alone', async () => {
  const account = await scene.createAccount(app)
  const gate = await app.test.database.pool.connect()
  try {
    await gate.query('begin')
    await gate.query("update users set status = 'deactivated' where id = $1", [account.id])
    const running = patch(account, newPasswordFor(account))
    // Long enough for the request to check the password and to wait for the account's lock.
    await new Promise((resolve) => setTimeout(resolve, 500))
    await gate.query('commit')
    scene.assertRefused(await running, 403, 'User account is inactive')
  } finally {
    gate.release()
  }
  const [user] = await scene.rows(app, 'select credential_version, status from users where id = $1', [
    account.id,
  ])
  assert.deepEqual(user, { credential_version: 1, status: 'deactivated' })
})
