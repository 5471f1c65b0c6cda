import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import * as scene from './account-scene.ts'
import { startTestApp, type Account, type Answer, type TestApp } from './app.ts'

const env = { CORS_ORIGINS: 'https://dawnotemu.app,https://*.dawnotemu.app' }
const origin = 'https://www.dawnotemu.app'

let app: TestApp
let account: Account
before(async () => {
  app = await startTestApp({ env, work: false })
  account = await scene.createAccount(app)
})
after(() => app.close())

type Paths = Record<string, Record<string, { security?: unknown[]; requestBody?: unknown }>>

/** The routes of accounts as the server describes itself, parameters filled in. */
const routes = (): { method: string; path: string; isPublic: boolean; takesBody: boolean }[] => {
  const { paths }: { paths: Paths } = JSON.parse(JSON.stringify(app.app.http.swagger()))
  return Object.entries(paths)
    .filter(([path]) => /^\/(auth|tasks)\//.test(path))
    .flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, { security, requestBody }]) => ({
        method: method.toUpperCase(),
        path: path.replaceAll(/\{[^}]+\}/g, '1'),
        isPublic: security?.length === 0,
        takesBody: requestBody !== undefined,
      })),
    )
}

const assertNoStore = ({ headers }: Answer, what: string) =>
  assert.equal(headers.get('cache-control'), 'no-store', what)

describe('every route of accounts', () => {
  test('is found', () => {
    assert.ok(routes().length >= 8, 'the document has them')
  })

  test('answers without a token: 401 on those for users, before any body is read; never cached', async () => {
    for (const { method, path, isPublic } of routes()) {
      const body =
        method === 'GET' || method === 'HEAD' ? {} : { body: '{', headers: { 'content-type': 'x' } }
      const answer = await app.call(method, path, body)
      if (isPublic) assert.notEqual(answer.status, 401, `${method} ${path}`)
      else if (method === 'HEAD') assert.equal(answer.status, 401)
      else scene.assertRefused(answer, 401, 'Authentication token is missing')
      assertNoStore(answer, `${method} ${path}`)
    }
  })

  test('a stale bearer changes nothing on the public ones', async () => {
    for (const { method, path, isPublic } of routes()) {
      if (!isPublic || method === 'HEAD') continue
      const json = method === 'GET' ? {} : { json: {} }
      const [plain, stale] = [
        await app.call(method, path, json),
        await app.call(method, path, { ...json, token: 'x.y.z' }),
      ]
      assert.equal(stale.status, plain.status, `${method} ${path}`)
      if (!path.includes('challenge')) assert.equal(stale.text, plain.text)
    }
  })

  test('broken bodies, other types, too much: the same refusals everywhere', async () => {
    const { accessToken: token } = account
    const asJson = { 'content-type': 'application/json' }
    const taking = routes().filter(({ takesBody, method }) => takesBody && method !== 'GET')
    assert.ok(taking.length >= 4)
    for (const { method, path } of taking) {
      // The reset form is a page: its bodies and refusals are of its own.
      if (path.startsWith('/auth/reset-password/') || path.startsWith('/auth/confirm-email/')) continue
      const send = (body: string, headers: Record<string, string> = asJson) =>
        app.call(method, path, { token, body, headers })
      const what = `${method} ${path}`
      assert.deepEqual([(await send('{')).text, what], ['{"error":"Invalid JSON"}', what])
      for (const body of ['null', '[]', '1', '"x"', 'true'])
        assert.deepEqual(
          [(await send(body)).text, what, body],
          ['{"error":"Invalid request body"}', what, body],
        )
      const other = await send('a=b', { 'content-type': 'text/plain' })
      scene.assertRefused(other, 415, 'Content-Type must be application/json')
      const long = await send(`{"email":"${'x'.repeat(70_000)}"}`)
      scene.assertRefused(long, 413, 'Request body is too large.')
      for (const answer of [other, long]) assertNoStore(answer, what)
    }
  })

  test('another method is 405 with Allow, a tail is 404; neither is cached', async () => {
    for (const { path } of routes()) {
      const wrong = await app.call('PUT', path)
      scene.assertRefused(wrong, 405, 'Method not allowed')
      assert.match(wrong.headers.get('allow') ?? '', /^[A-Z]+(, [A-Z]+)*$/)
      const tail = await app.call('POST', `${path}/`)
      scene.assertRefused(tail, 404, 'Not found')
      for (const answer of [wrong, tail]) assertNoStore(answer, path)
    }
    assertNoStore(await app.call('GET', '/auth/nope'), 'unknown')
    assertNoStore(await app.call('GET', '/auth/%ff'), 'malformed')
  })

  test('CORS: the site may ask and read, also what is refused; never with credentials', async () => {
    for (const { method, path } of routes()) {
      const ask = {
        'access-control-request-method': method,
        'access-control-request-headers': 'x-requested-with',
      }
      const asked = await app.call('OPTIONS', path, { headers: { origin, ...ask } })
      assert.equal(asked.status, 204, path)
      const answer = await app.call(method, path, { headers: { origin } })
      for (const { headers } of [asked, answer]) {
        assert.equal(headers.get('access-control-allow-origin'), origin)
        assert.equal(headers.get('access-control-allow-credentials'), null)
      }
      const foreign = await app.call(method, path, { headers: { origin: 'https://a.b.dawnotemu.app' } })
      assert.equal(foreign.headers.get('access-control-allow-origin'), null)
    }
  })
})

test('A-L15, A-L38: paths that v1 had or that end in a slash; static files shadow no path', async () => {
  for (const path of ['/test-sentry', '/auth/me/', '/auth/refresh/', '/tasks/', '/icons/', '/icons/nope.png'])
    for (const method of ['GET', 'POST']) scene.assertRefused(await app.call(method, path), 404, 'Not found')
  for (const path of ['/auth/refresh', '/auth/logout', '/auth/logout-all', '/auth/login', '/auth/register']) {
    const answer = await app.call('GET', path)
    scene.assertRefused(answer, 405, 'Method not allowed')
    assert.equal(answer.headers.get('allow'), 'POST')
  }
  const logo = await app.call('GET', '/icons/logo.png')
  assert.deepEqual([logo.status, logo.headers.get('content-type')], [200, 'image/png'])
  assert.equal((await app.call('POST', '/icons/logo.png')).status, 405)
})

describe('A-L30: fields of the wrong kind', () => {
  const wrong: [value: unknown, text: string][] = [
    [5, 'Invalid value for email.'],
    [true, 'Invalid value for email.'],
    [{ a: 1 }, 'Invalid value for email.'],
    [['a@b.pl'], 'Invalid value for email.'],
    ['a\u0000@b.pl', 'Invalid value for email.'],
    ['\ud800@b.pl', 'Invalid value for email.'],
  ]
  for (const [path, method] of [
    ['/auth/register', 'POST'],
    ['/auth/login', 'POST'],
    ['/auth/me', 'PATCH'],
    ['/auth/resend-confirmation', 'POST'],
    ['/auth/reset-password-request', 'POST'],
  ] as const)
    test(`${method} ${path}`, async () => {
      const { accessToken: token, password } = account
      const rest = { password, password_confirm: password, current_password: password }
      const send = (json: unknown) => app.call(method, path, { token, json })
      for (const [email, text] of wrong) scene.assertRefused(await send({ ...rest, email }), 400, text)
      const long = await send({ ...rest, email: `${'a'.repeat(295)}@b.pl` })
      if (path === '/auth/resend-confirmation') assert.equal(long.status, 200)
      else scene.assertRefused(long, 400, 'Invalid email format')
    })

  test('passwords', async () => {
    const { accessToken: token, email } = account
    for (const value of [5, {}, ['x'], 'zielony\u0000kubek', 'zielony \udfff kubek']) {
      scene.assertRefused(
        await app.call('POST', '/auth/login', { json: { email, password: value } }),
        400,
        'Invalid value for password.',
      )
      scene.assertRefused(
        await app.call('PATCH', '/auth/me', { token, json: { current_password: value, email } }),
        400,
        'Invalid value for current_password.',
      )
    }
  })
})

test('A-L23: every timestamp of the account routes has milliseconds and Z', async () => {
  const { accessToken: token } = account
  const texts = [
    (await app.call('GET', '/auth/me', { token })).text,
    (await app.call('GET', '/auth/sessions', { token })).text,
    (await scene.login(app, account)).text,
  ]
  const times = texts.flatMap((text) => [...text.matchAll(/"[a-z_]+_(?:at|login)":"([^"]+)"/g)])
  assert.ok(times.length >= 9, String(times.length))
  for (const [, time] of times) assert.match(time ?? '', /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
})
