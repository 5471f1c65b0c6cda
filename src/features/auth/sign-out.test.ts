import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import * as scene from '../../../test/account-scene.ts'
import { startTestApp, type Account, type Answer, type TestApp } from '../../../test/app.ts'
import * as cookies from '../../../test/cookie-scene.ts'
import { manualClock } from '../../../test/ledger-fixtures.ts'
import { newRefreshToken } from '../../platform/crypto.ts'

const clock = manualClock()
const day = 86_400_000

let app: TestApp
before(async () => {
  app = await startTestApp({ overrides: { clock }, work: false })
})
after(() => app.close())

const present = (refreshToken: string): Promise<Answer> =>
  app.call('POST', '/auth/refresh', { json: { refresh_token: refreshToken } })
const refresh = async (refreshToken: string): Promise<string> =>
  String((await present(refreshToken)).body['refresh_token'])

interface Given {
  json?: unknown
  token?: string
  headers?: Record<string, string>
}
const logout = async (given: Given = {}): Promise<Answer> => {
  const answer = await app.call('POST', '/auth/logout', given)
  assert.equal(answer.status, 204, answer.text)
  assert.equal(answer.text, '')
  return answer
}

const isLive = async (token: string): Promise<boolean> =>
  (await app.call('GET', '/auth/me', { token })).status === 200
const sessionOver = 'Session is no longer valid. Please log in again.'

const events = async ({ id }: Account): Promise<unknown[]> =>
  (
    await scene.rows(
      app,
      "select kind from auth_events where user_id = $1 and kind not in ('sign_in') order by id",
      [id],
    )
  ).map(({ kind }) => kind)

describe('by a refresh token', () => {
  // R0 is the login's; R1 and its sibling are successors of R0; R1 was presented, so R0 and the sibling are dead.
  const issued = ['login’s, superseded', 'head', 'sibling, discarded', 'successor, never presented'] as const
  for (const [index, name] of issued.entries())
    test(`any that was ever issued: ${name}`, async () => {
      const account = await scene.createAccount(app)
      const other = await scene.signIn(app, account)
      const [head, sibling] = [await refresh(account.refreshToken), await refresh(account.refreshToken)]
      const successor = await refresh(head)
      const tokens = [account.refreshToken, head, sibling, successor]
      await logout({ json: { refresh_token: tokens[index] } })
      assert.equal(await isLive(account.accessToken), false)
      for (const token of tokens) scene.assertRefused(await present(token), 401, sessionOver)
      assert.equal(await isLive(other.accessToken), true)
      assert.deepEqual(await events(account), ['sign_out'])
      const mails = "emails where user_id = $1 and kind = 'session_closed'"
      assert.equal(await scene.count(app, mails, [account.id]), 0)
    })

  test('twice is 204 twice, with one event of the device that asked', async () => {
    const account = await scene.createAccount(app)
    const given = {
      json: { refresh_token: account.refreshToken },
      headers: { 'user-agent': 'DawnoTemu/3.0 (Android)' },
    }
    await logout(given)
    await logout(given)
    const found = await scene.rows(
      app,
      `select e.kind, e.ip_prefix, e.user_agent, s.end_reason from auth_events e
       join sessions s on s.id = e.session_id where e.user_id = $1 and e.kind <> 'sign_in'`,
      [account.id],
    )
    assert.deepEqual(found, [
      {
        kind: 'sign_out',
        ip_prefix: '127.0.0.0/24',
        user_agent: 'DawnoTemu/3.0 (Android)',
        end_reason: 'logout',
      },
    ])
  })

  test('of two at the same instant one writes the event', async () => {
    const account = await scene.createAccount(app)
    const json = { refresh_token: account.refreshToken }
    await Promise.all([logout({ json }), logout({ token: account.accessToken }), logout({ json })])
    assert.deepEqual(await events(account), ['sign_out'])
  })

  test('it decides: neither a cookie nor a bearer beside it is touched, and the cookie is cleared', async () => {
    const account = await scene.createAccount(app)
    const other = await scene.createAccount(app)
    const cookie = await cookies.openCookieSession(app)
    const answer = await logout({
      json: { refresh_token: account.refreshToken },
      token: other.accessToken,
      headers: cookies.cookieOf(cookie.token),
    })
    assert.deepEqual(answer.headers.getSetCookie(), [cookies.clearedCookie])
    assert.equal(await isLive(account.accessToken), false)
    assert.equal(await isLive(other.accessToken), true)
    assert.equal(await isLive(cookie.accessToken), true)
  })

  test('of a session that is over or already ended otherwise: 204 and no event', async () => {
    const account = await scene.createAccount(app)
    clock.advance(7 * day)
    await logout({ json: { refresh_token: account.refreshToken } })
    assert.deepEqual(await events(account), [])
  })

  test('of an account that is deactivated: the session ends', async () => {
    const account = await scene.createAccount(app)
    await scene.setUser(app, account.id, "status = 'deactivated'")
    await logout({ json: { refresh_token: account.refreshToken } })
    await scene.setUser(app, account.id, "status = 'active'")
    scene.assertRefused(await present(account.refreshToken), 401, sessionOver)
  })
})

test('with rubbish: 204, and nothing changes', async () => {
  const account = await scene.createAccount(app)
  const changed = `${account.refreshToken.slice(0, 10)}${account.refreshToken[10] === 'A' ? 'B' : 'A'}`
  const tokens = [
    newRefreshToken(),
    changed + account.refreshToken.slice(11),
    account.accessToken,
    'x',
    5,
    {},
    ['x'],
  ]
  for (const token of tokens) await logout({ json: { refresh_token: token } })
  assert.equal(await isLive(account.accessToken), true)
  assert.deepEqual(await events(account), [])
})

test('with nothing: 204', async () => {
  for (const given of [{}, { json: {} }, { json: { refresh_token: null } }, { json: { refresh_token: '' } }])
    assert.deepEqual((await logout(given)).headers.getSetCookie(), [])
})

describe('by a bearer', () => {
  test('without a token, or beside one that names no session', async () => {
    for (const json of [undefined, {}, { refresh_token: newRefreshToken() }, { refresh_token: 5 }]) {
      const account = await scene.createAccount(app)
      await logout({ token: account.accessToken, ...(json === undefined ? {} : { json }) })
      assert.equal(await isLive(account.accessToken), false)
      scene.assertRefused(await present(account.refreshToken), 401, sessionOver)
      assert.deepEqual(await events(account), ['sign_out'])
      await logout({ token: account.accessToken })
    }
  })

  test('one that is not valid any more or never was ends nothing', async () => {
    const account = await scene.createAccount(app)
    clock.advance(900_000)
    for (const token of [account.accessToken, account.refreshToken, 'x']) await logout({ token })
    assert.equal((await present(account.refreshToken)).status, 200)
  })
})

describe('by the cookie', () => {
  test('ends its session and is cleared', async () => {
    const { account, token, accessToken } = await cookies.openCookieSession(app)
    const given = { headers: { ...cookies.sameOrigin, ...cookies.cookieOf(token) } }
    assert.deepEqual((await logout(given)).headers.getSetCookie(), [cookies.clearedCookie])
    assert.equal(await isLive(accessToken), false)
    scene.assertRefused(await cookies.refreshByCookie(app, token), 401, sessionOver)
    assert.deepEqual(await events(account), ['sign_out'])
    assert.deepEqual((await logout(given)).headers.getSetCookie(), [cookies.clearedCookie])
  })

  test('one that names no session is cleared too, and the bearer beside it counts', async () => {
    for (const token of [newRefreshToken(), 'rubbish', '']) {
      const { accessToken } = await cookies.openCookieSession(app)
      const headers = { ...cookies.sameOrigin, ...cookies.cookieOf(token) }
      const answer = await logout({ headers, token: accessToken })
      assert.deepEqual(answer.headers.getSetCookie(), [cookies.clearedCookie])
      assert.equal(await isLive(accessToken), false)
    }
  })
})
