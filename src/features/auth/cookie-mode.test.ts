import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import * as scene from '../../../test/account-scene.ts'
import * as scenery from '../../../test/cookie-scene.ts'
import { startTestApp, type Account, type Answer, type TestApp } from '../../../test/app.ts'
import { manualClock } from '../../../test/ledger-fixtures.ts'
import { newRefreshToken } from '../../platform/crypto.ts'

const clock = manualClock()
const day = 86_400_000
const backendUrl = 'https://bajki.example.test'

let app: TestApp
before(async () => {
  app = await startTestApp({ overrides: { clock }, work: false, env: { BACKEND_URL: backendUrl } })
})
after(() => app.close())

type Headers = Record<string, string>
const { clearedCookie: cleared, cookieOf: cookie, cookieTokenOf: tokenOf, sameOrigin, script } = scenery
const refresh = (token: string, headers?: Headers) => scenery.refreshByCookie(app, token, headers)
const logIn = (account: Account, headers?: Headers) => scenery.logInByCookie(app, account, headers)
const openSession = () => scenery.openCookieSession(app)
const tokenText = /dtr_[A-Za-z0-9_-]{49}/

/** Everything a refresh could change of the account's sessions. */
const stateOf = ({ id }: Account): Promise<unknown[]> =>
  scene.rows(
    app,
    `select s.*, t.id as token_id, t.superseded_at, t.first_presented_at, t.last_presented_at
     from sessions s join refresh_tokens t on t.session_id = s.id where s.user_id = $1 order by s.id, t.id`,
    [id],
  )

describe('form', () => {
  test('login: the token is in the cookie, in no body', async () => {
    const { account } = await openSession()
    const answer = await logIn(account)
    tokenOf(answer)
    assert.deepEqual(Object.keys(answer.body).sort(), ['access_token', 'expires_in', 'user'])
    assert.equal(answer.body['expires_in'], 900)
    const { text } = await app.call('GET', '/auth/me', { token: String(answer.body['access_token']) })
    assert.equal(JSON.parse(text).id, account.id)
  })

  test('login: "body" sets no cookie, any other word is refused before the origin is looked at', async () => {
    const account = await scene.createAccount(app)
    const json = { email: account.email, password: account.password }
    const answer = await app.call('POST', '/auth/login', { json: { ...json, session: 'body' } })
    assert.match(String(answer.body['refresh_token']), tokenText)
    assert.deepEqual(answer.headers.getSetCookie(), [])
    for (const session of ['Cookie', 'both', 5, {}])
      scene.assertRefused(
        await app.call('POST', '/auth/login', { json: { ...json, session } }),
        400,
        'Invalid value for session.',
      )
  })

  test('refresh: a successor in the cookie, which works in its turn', async () => {
    const { token } = await openSession()
    const first = await refresh(token)
    assert.deepEqual(Object.keys(first.body).sort(), ['access_token', 'expires_in'])
    const second = tokenOf(await refresh(tokenOf(first)))
    assert.equal(new Set([token, tokenOf(first), second]).size, 3)
  })

  test('refresh: a request without any body, among other cookies', async () => {
    const { token } = await openSession()
    const headers = { ...sameOrigin, cookie: `a=b; __Host-dt_refresh=${token}; dt_refresh=x` }
    tokenOf(await app.call('POST', '/auth/refresh', { headers }))
  })

  test('a token of a cookie session in a body is answered in the cookie', async () => {
    const { token } = await openSession()
    const answer = await app.call('POST', '/auth/refresh', { json: { refresh_token: token } })
    tokenOf(answer)
    assert.equal(answer.body['refresh_token'], undefined)
  })

  test('a token of a body session in the cookie is answered in the cookie', async () => {
    const account = await scene.createAccount(app)
    tokenOf(await refresh(account.refreshToken))
  })

  test('F28: the token of the body decides; the cookie is neither used nor touched', async () => {
    const { account, token } = await openSession()
    const other = await scene.createAccount(app)
    const before = await stateOf(account)
    const answer = await app.call('POST', '/auth/refresh', {
      json: { refresh_token: other.refreshToken },
      headers: cookie(token),
    })
    assert.match(String(answer.body['refresh_token']), tokenText)
    assert.deepEqual(answer.headers.getSetCookie(), [])
    const refused = await app.call('POST', '/auth/refresh', {
      json: { refresh_token: newRefreshToken() },
      headers: { ...sameOrigin, ...cookie(token) },
    })
    scene.assertRefused(refused, 401, 'Invalid token. Please log in again.')
    assert.deepEqual(refused.headers.getSetCookie(), [])
    assert.deepEqual(await stateOf(account), before)
  })
})

describe('F26: cross-site defence', () => {
  const host = () => new URL(app.url).host
  const own: [name: string, headers: () => Headers][] = [
    ['Sec-Fetch-Site', () => sameOrigin],
    ['Origin of the request, without Sec-Fetch-Site', () => ({ ...script, origin: app.url })],
    ['Origin of BACKEND_URL, without Sec-Fetch-Site', () => ({ ...script, origin: backendUrl })],
  ]
  for (const [name, headers] of own)
    test(`own: ${name}`, async () => {
      const { account, token } = await openSession()
      tokenOf(await logIn(account, headers()))
      tokenOf(await refresh(token, headers()))
      const answer = await app.call('POST', '/auth/logout', { headers: { ...headers(), ...cookie(token) } })
      assert.equal(answer.status, 204)
    })

  const site = (value: string) => () => ({ ...script, 'sec-fetch-site': value })
  const origin = (value: string) => () => ({ ...script, origin: value })
  const foreign: [name: string, headers: () => Headers][] = [
    ['no X-Requested-With', () => ({ 'sec-fetch-site': 'same-origin', origin: app.url })],
    ['another X-Requested-With', () => ({ ...sameOrigin, 'x-requested-with': 'XMLHttpRequest' })],
    ['neither Sec-Fetch-Site nor Origin', () => script],
    ['cross-site', site('cross-site')],
    ['a sibling subdomain by Sec-Fetch-Site', site('same-site')],
    ['a navigation of the user', site('none')],
    ['same-site with an own Origin', () => ({ ...site('same-site')(), origin: app.url })],
    ['an empty Sec-Fetch-Site with an own Origin', () => ({ ...site('')(), origin: app.url })],
    ['a foreign Origin', origin('https://evil.example')],
    ['Origin null', origin('null')],
    ['a sibling subdomain by Origin', origin('https://x.bajki.example.test')],
    ['the parent domain', origin('https://example.test')],
    ['BACKEND_URL over http', origin('http://bajki.example.test')],
    ['BACKEND_URL on another port', origin('https://bajki.example.test:8443')],
    ['BACKEND_URL as a prefix', origin('https://bajki.example.test.evil.example')],
    ['the own host on another port', origin('http://127.0.0.1:1')],
    [
      'the own host over https that no trusted proxy names',
      () => ({ ...script, origin: `https://${host()}`, 'x-forwarded-proto': 'https' }),
    ],
  ]
  for (const [name, headers] of foreign)
    test(`foreign: ${name}`, async () => {
      const { account, token, accessToken } = await openSession()
      const before = await stateOf(account)
      const withCookie = { ...headers(), ...cookie(token) }
      for (const answer of [
        await logIn(account, headers()),
        await logIn({ ...account, password: 'wrong' }, headers()),
        await refresh(token, headers()),
        await refresh(newRefreshToken(), headers()),
        await app.call('POST', '/auth/logout', { json: {}, headers: withCookie }),
        await app.call('POST', '/auth/logout', { token: accessToken, headers: withCookie }),
      ]) {
        scene.assertRefused(answer, 403, 'Cross-site request refused.')
        assert.deepEqual(answer.headers.getSetCookie(), [])
      }
      assert.deepEqual(await stateOf(account), before)
      tokenOf(await refresh(token))
    })

  test('behind a trusted proxy the scheme that the proxy names counts', async () => {
    const proxied = await startTestApp({ env: { TRUSTED_PROXY_HOPS: '1' }, work: false })
    try {
      const { email, password } = await scene.createAccount(proxied)
      const statusFrom = async (scheme: string, forwarded: string): Promise<number> => {
        const headers = {
          ...script,
          origin: `${scheme}://${new URL(proxied.url).host}`,
          'x-forwarded-proto': forwarded,
        }
        const json = { email, password, session: 'cookie' }
        return (await proxied.call('POST', '/auth/login', { json, headers })).status
      }
      assert.equal(await statusFrom('https', 'https'), 200)
      assert.equal(await statusFrom('http', 'https'), 403)
      assert.equal(await statusFrom('https', 'https, http'), 403)
    } finally {
      await proxied.close()
    }
  })
})

describe('F27: a cookie that is refused with 401 is cleared', () => {
  const assertCleared = (answer: Answer, error: string) => {
    scene.assertRefused(answer, 401, error)
    assert.deepEqual(answer.headers.getSetCookie(), [cleared])
  }
  test('unknown, malformed, empty', async () => {
    for (const token of [newRefreshToken(), 'x', '"', ''])
      assertCleared(await refresh(token), 'Invalid token. Please log in again.')
  })

  test('over, ended, reused', async () => {
    const { account, token } = await openSession()
    tokenOf(await refresh(tokenOf(await refresh(token))))
    assertCleared(await refresh(token), 'Session is no longer valid. Please log in again.')
    const mails = "emails where user_id = $1 and kind = 'session_closed'"
    assert.equal(await scene.count(app, mails, [account.id]), 1)
    assertCleared(await refresh(token), 'Session is no longer valid. Please log in again.')
    const { token: idle } = await openSession()
    clock.advance(7 * day)
    assertCleared(await refresh(idle), 'Refresh token has expired. Please log in again.')
  })

  test('an inactive account', async () => {
    const { account, token } = await openSession()
    await scene.setUser(app, account.id, "status = 'deactivated'")
    assertCleared(await refresh(token), 'Invalid or inactive user')
  })

  test('not with 400 and 403', async () => {
    const { account, token } = await openSession()
    await scene.setUser(app, account.id, 'email_confirmed = false')
    for (const answer of [
      await app.call('POST', '/auth/refresh', { json: {}, headers: sameOrigin }),
      await refresh(token),
    ])
      assert.deepEqual(answer.headers.getSetCookie(), [])
    await scene.setUser(app, account.id, 'email_confirmed = true')
    tokenOf(await refresh(token))
  })
})

test('the cookie alone opens no other route', async () => {
  const { token } = await openSession()
  const document = JSON.stringify(app.app.http.swagger())
  const { paths }: { paths: Record<string, Record<string, { security?: unknown[] }>> } = JSON.parse(document)
  const guarded = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods)
      .filter(([, { security }]) => security?.length !== 0)
      .map(([method]) => [method.toUpperCase(), path.replaceAll(/\{[^}]+\}/g, '1')] as const),
  )
  assert.ok(guarded.length > 10, 'the routes were found')
  for (const [method, path] of guarded) {
    const answer = await app.call(method, path, { headers: { ...sameOrigin, ...cookie(token) } })
    if (method !== 'HEAD') scene.assertRefused(answer, 401, 'Authentication token is missing')
    assert.equal(answer.status, 401, `${method} ${path}`)
    assert.deepEqual(answer.headers.getSetCookie(), [])
  }
})
