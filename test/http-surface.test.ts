import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { after, before, describe, test } from 'node:test'
import { Validator } from '@seriousme/openapi-schema-validator'
import * as scene from './account-scene.ts'
import { startTestApp, type Account, type Answer, type TestApp } from './app.ts'

const env = { RATELIMIT_ENABLED: 'false', CORS_ORIGINS: 'https://dawnotemu.app,https://*.dawnotemu.app' }

let app: TestApp
let account: Account
before(async () => {
  app = await startTestApp({ env, work: false })
  account = await scene.createAccount(app)
})
after(() => app.close())

const assertRefused = scene.assertRefused
const asJson = { 'content-type': 'application/json' }
const requestId = /^[A-Za-z0-9-]{8,64}$/

/** What the server writes for these exact bytes. */
const raw = (text: string, endMs = 3000): Promise<string> =>
  new Promise((resolve, reject) => {
    const socket = connect(Number(new URL(app.url).port), '127.0.0.1', () => socket.write(text))
    let answer = ''
    socket.setTimeout(endMs, () => socket.destroy())
    socket.on('data', (chunk) => (answer += chunk.toString('latin1')))
    socket.on('error', reject)
    socket.on('close', () => resolve(answer))
  })

const rawJson = (answer: string): unknown => JSON.parse(answer.slice(answer.indexOf('\r\n\r\n') + 4))

describe('paths and methods', () => {
  for (const path of [
    '/nope',
    '/auth/me/',
    '/stories/',
    '/voices/',
    '/auth',
    '/test-sentry',
    '/AUTH/ME',
    '/admin',
    '//auth/me',
  ])
    for (const method of ['GET', 'POST', 'DELETE'])
      test(`${method} ${path} is 404 JSON`, async () => {
        assertRefused(await app.call(method, path), 404, 'Not found')
      })

  const wrong: [method: string, path: string, allow: string][] = [
    ['GET', '/auth/login', 'POST'],
    ['DELETE', '/auth/register', 'POST'],
    ['GET', '/auth/refresh', 'POST'],
    ['PUT', '/auth/confirm-email/abc', 'GET, HEAD, POST'],
    ['POST', '/stories', 'GET, HEAD'],
    ['PUT', '/stories/1', 'GET, HEAD'],
    ['POST', '/health/live', 'GET, HEAD'],
    ['PATCH', '/icons/logo.png', 'GET, HEAD'],
  ]
  for (const [method, path, allow] of wrong)
    test(`${method} ${path} is 405 with Allow`, async () => {
      const answer = await app.call(method, path)
      assertRefused(answer, 405, 'Method not allowed')
      assert.equal(answer.headers.get('allow'), allow)
    })

  for (const path of [
    '/%ff',
    '/stories/%ff',
    '/stories/%',
    '/auth/confirm-email/%E0%A4%A',
    '/%2e%2e/etc/passwd',
  ])
    test(`the malformed path ${path} is a 4xx in JSON`, async () => {
      const { status, body } = await app.call('GET', path)
      assert.ok(status === 404 || status === 400, String(status))
      assert.equal(typeof body['error'], 'string')
    })

  for (const id of ['0', '-1', '01', '1.0', '1e3', 'abc', '2147483648', '99999999999999999999', ' 1'])
    test(`the path id ${id} is 404`, async () => {
      assertRefused(await app.call('GET', `/stories/${id}`), 404, 'Story not found')
    })

  for (const path of [
    '/stories/%00',
    '/stories/1%00',
    '/voices/a%00b',
    '/auth/confirm-email/%00',
    '/files/a%00',
  ])
    test(`${path} names nothing: 404`, async () => {
      assertRefused(await app.call('GET', path, { token: account.accessToken }), 404, 'Not found')
    })

  for (const path of ['/stories', '/health/live', '/openapi.json', '/icons/logo.png', '/docs/', '/'])
    test(`HEAD ${path} answers as GET, without a body`, async () => {
      const [get, head] = [await app.call('GET', path), await app.call('HEAD', path)]
      assert.equal(head.status, get.status)
      assert.equal(head.text, '')
      assert.equal(head.headers.get('content-type'), get.headers.get('content-type'))
    })

  test('HEAD of a route for users asks for a user', async () => {
    assert.equal((await app.call('HEAD', '/auth/me')).status, 401)
    assert.equal((await app.call('HEAD', '/auth/me', { token: account.accessToken })).status, 200)
  })
})

describe('bodies', () => {
  const login = (body: string, headers: Record<string, string> = asJson): Promise<Answer> =>
    app.call('POST', '/auth/login', { body, headers })

  for (const body of ['{', 'x', '{"a":}', '{}{}', "{'a':1}", '\ufeff{'])
    test(`${JSON.stringify(body)} is not JSON`, async () => {
      assertRefused(await login(body), 400, 'Invalid JSON')
    })

  for (const body of ['null', '[]', '[{}]', '1', '"text"', 'true'])
    test(`${body} is no request body`, async () => {
      assertRefused(await login(body), 400, 'Invalid request body')
    })

  test('an empty body counts as {}, with or without a content type', async () => {
    for (const headers of [asJson, {}, { 'content-type': 'text/plain' }])
      assertRefused(await login('', headers), 400, 'Email and password are required')
  })

  for (const type of ['application/merge-patch+json', 'application/json; charset=utf-8', 'APPLICATION/JSON'])
    test(`${type} is JSON`, async () => {
      const body = JSON.stringify({ email: account.email, password: account.password })
      assert.equal((await login(body, { 'content-type': type })).status, 200)
    })

  for (const type of [
    'text/plain',
    'application/x-www-form-urlencoded',
    'application/xml',
    'application/jsonx',
    'x',
  ])
    test(`${type} is 415`, async () => {
      assertRefused(
        await login('{"email":"a@b.pl"}', { 'content-type': type }),
        415,
        'Content-Type must be application/json',
      )
    })

  test('64 KiB are read, a byte more is 413, also without a length', async () => {
    const bodyOf = (length: number) => `{"email":"${'a'.repeat(length - 12)}"}`
    assert.equal(bodyOf(65_536).length, 65_536)
    assertRefused(await login(bodyOf(65_536)), 400, 'Email and password are required')
    assertRefused(await login(bodyOf(65_537)), 413, 'Request body is too large.')
    const chunk = bodyOf(65_537)
    const chunked = await raw(
      `POST /auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nConnection: close\r\n` +
        `Transfer-Encoding: chunked\r\n\r\n${chunk.length.toString(16)}\r\n${chunk}\r\n0\r\n\r\n`,
    )
    assert.match(chunked, /^HTTP\/1\.1 413 /)
    assert.deepEqual(rawJson(chunked), { error: 'Request body is too large.' })
  })

  test('the body of a DELETE is parsed', async () => {
    const { accessToken: token } = account
    const answer = await app.call('DELETE', '/voices/1', { token, body: '{', headers: asJson })
    assertRefused(answer, 400, 'Invalid JSON')
    assertRefused(
      await app.call('DELETE', '/voices/1', { token, json: { reason: 'x' } }),
      404,
      'Voice not found',
    )
  })

  test('keys that JavaScript treats in its own way are keys like others', async () => {
    const { email, password } = account
    const body = `{"__proto__":{"email":"x"},"constructor":1,"toString":null,"email":${JSON.stringify(email)},"password":${JSON.stringify(password)}}`
    assert.equal((await login(body)).status, 200)
    assertRefused(
      await login('{"__proto__":{"email":"a@b.pl","password":"x"}}'),
      400,
      'Email and password are required',
    )
  })
})

describe('headers of every answer', () => {
  const paths = ['/nope', '/auth/me', '/stories', '/health/live', '/', '/docs/', '/icons/logo.png', '/%ff']
  for (const path of paths)
    test(`${path} carries an id of its own and the security headers`, async () => {
      const [one, other] = [await app.call('GET', path), await app.call('GET', path)]
      const [id, otherId] = [one, other].map(({ headers }) => headers.get('x-request-id') ?? '')
      assert.match(id ?? '', requestId)
      assert.notEqual(id, otherId)
      const { headers } = one
      assert.equal(headers.get('x-content-type-options'), 'nosniff')
      assert.match(headers.get('content-security-policy') ?? '', /default-src 'none'.*frame-ancestors 'none'/)
      assert.ok(headers.get('referrer-policy'))
      for (const name of ['x-powered-by', 'server', 'set-cookie', 'strict-transport-security'])
        assert.equal(headers.get(name), null, name)
    })

  test('an id that the client sends is not taken without a proxy', async () => {
    const given = 'client-made-id-1'
    const { headers } = await app.call('GET', '/health/live', { headers: { 'x-request-id': given } })
    assert.notEqual(headers.get('x-request-id'), given)
  })

  test('behind a proxy a well-formed id is taken, a malformed one replaced', async () => {
    const proxied = await startTestApp({ env: { ...env, TRUSTED_PROXY_HOPS: '1' }, work: false })
    try {
      const answered = async (given: string) =>
        (await proxied.call('GET', '/nope', { headers: { 'x-request-id': given } })).headers.get(
          'x-request-id',
        )
      assert.equal(await answered('proxy-made-id-1'), 'proxy-made-id-1')
      for (const bad of ['short', 'with space here', 'x'.repeat(65), 'under_score_1', '<script>alert'])
        assert.match((await answered(bad)) ?? '', /^[0-9a-f-]{36}$/)
    } finally {
      await proxied.close()
    }
  })
})

describe('malformed connections', () => {
  test('headers beyond the limit are 431 in JSON', async () => {
    const answer = await raw(`GET / HTTP/1.1\r\nHost: x\r\nX-Long: ${'a'.repeat(20_000)}\r\n\r\n`)
    assert.match(answer, /^HTTP\/1\.1 431 /)
    assert.match(answer, /content-type: application\/json/i)
    assert.deepEqual(rawJson(answer), { error: 'Request headers are too large.' })
  })

  for (const text of [
    'nonsense\r\n\r\n',
    'GET / HTTP/9.9\r\n\r\n',
    'GET /\u0000 HTTP/1.1\r\nHost: x\r\n\r\n',
  ])
    test(`${JSON.stringify(text)} is 400 in JSON`, async () => {
      const answer = await raw(text)
      assert.match(answer, /^HTTP\/1\.1 400 /)
      assert.deepEqual(rawJson(answer), { error: 'Malformed request' })
    })

  test('two lengths, or a length and chunks, are refused: no request is smuggled', async () => {
    const smuggled = 'GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n'
    for (const lengths of [
      'Content-Length: 0\r\nContent-Length: 5',
      'Content-Length: 5\r\nTransfer-Encoding: chunked',
    ]) {
      const answer = await raw(
        `POST /auth/login HTTP/1.1\r\nHost: x\r\n${lengths}\r\n\r\n0\r\n\r\n${smuggled}`,
      )
      assert.match(answer, /^HTTP\/1\.1 400 /)
      assert.doesNotMatch(answer, / 200 /)
    }
  })

  test('an expectation that nobody knows is ignored', async () => {
    const answer = await raw(
      'POST /auth/login HTTP/1.1\r\nHost: x\r\nExpect: the-unexpected\r\nConnection: close\r\n' +
        'Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}',
    )
    assert.match(answer, /^HTTP\/1\.1 400 /)
    assert.deepEqual(rawJson(answer), { error: 'Email and password are required' })
  })

  test('the deadlines of the server are set', () => {
    const { server } = app.app.http
    assert.equal(server.headersTimeout, 20_000)
    assert.equal(server.requestTimeout, 125_000)
    assert.equal(server.keepAliveTimeout, 65_000)
    assert.equal(server.timeout, 70_000)
  })

  test('half a request is cut once its deadline is over', { timeout: 60_000 }, async () => {
    const { server } = app.app.http
    const { timeout } = server
    server.timeout = 300
    try {
      const started = performance.now()
      await raw('POST /auth/login HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n{', 20_000)
      assert.ok(performance.now() - started < 5000)
    } finally {
      server.timeout = timeout
    }
  })
})

describe('faults', () => {
  test('a fault is the fixed text with the id of the log line, and no cause', async () => {
    const own = await startTestApp({ env, work: false })
    own.expectErrors()
    try {
      const { accessToken: token, ...credentials } = await scene.createAccount(own)
      await scene.rows(own, 'alter table users rename to users_gone')
      const answers = [
        await scene.login(own, credentials),
        await own.call('POST', '/auth/register', { json: scene.registration() }),
        await own.call('GET', '/auth/me', { token }),
        await own.call('POST', '/auth/refresh', { json: { refresh_token: credentials.refreshToken } }),
      ]
      for (const { status, body, headers, text } of answers) {
        assert.equal(status, 500, text)
        assert.deepEqual(body, {
          error: 'Something went wrong. Please try again later.',
          request_id: headers.get('x-request-id'),
        })
        const all = text + JSON.stringify([...headers])
        assert.doesNotMatch(all, /users|relation|select|Error:|\.ts|argon2|42P01/i)
      }
      assert.equal(own.lines.filter(({ level }) => level === 'error').length, answers.length)
    } finally {
      await own.close()
    }
  })

  test('a database that is down is 503 with Retry-After, and the server recovers', async () => {
    const own = await startTestApp({ env, work: false })
    own.expectErrors()
    try {
      const { accessToken: token } = await scene.createAccount(own)
      await scene.withoutDatabase(own, async () => {
        for (const { status, body, headers, text } of [
          await own.call('GET', '/auth/me', { token }),
          await own.call('POST', '/auth/register', { json: scene.registration() }),
        ]) {
          assert.equal(status, 503, text)
          assert.ok(Number(headers.get('retry-after')) >= 1)
          assert.deepEqual(body, {
            error: 'Service temporarily unavailable. Please try again later.',
            request_id: headers.get('x-request-id'),
          })
        }
        const ready = await own.call('GET', '/health/ready')
        assert.equal(ready.status, 503)
        assert.equal(ready.body['status'], 'unavailable')
        assert.equal((ready.body['checks'] as Record<string, string>)['database'], 'failed')
        assert.doesNotMatch(ready.text, /127\.0\.0\.1|ECONN|postgres/)
        assert.equal((await own.call('GET', '/health/live')).status, 200)
      })
      assert.equal((await own.call('GET', '/health/ready')).status, 200)
      assert.equal((await own.call('GET', '/auth/me', { token })).status, 200)
    } finally {
      await own.close()
    }
  })
})

describe('CORS', () => {
  const allowed = ['https://dawnotemu.app', 'https://www.dawnotemu.app', 'https://a-1.dawnotemu.app']
  const refused = [
    'https://a.b.dawnotemu.app',
    'http://dawnotemu.app',
    'http://www.dawnotemu.app',
    'https://evil-dawnotemu.app',
    'https://dawnotemu.app.evil.com',
    'https://dawnotemu.app:8443',
    'https://www.dawnotemu.app:443',
    'https://.dawnotemu.app',
    'https://WWW.dawnotemu.app',
    'https://dawnotemuxapp',
    'https://evil.com/https://dawnotemu.app',
    'null',
  ]
  const exposed =
    'X-Request-Id, Retry-After, RateLimit, RateLimit-Policy, X-Voice-Queue-Position, X-Voice-Queue-Length, X-Voice-Remote-ID, Content-Range, Accept-Ranges, ETag'
  const corsOf = ({ headers }: Answer) =>
    [...headers.keys()].filter((name) => name.startsWith('access-control-'))
  const varies = ({ headers }: Answer) => (headers.get('vary') ?? '').split(/,\s*/).includes('Origin')
  const ask = {
    'access-control-request-method': 'PATCH',
    'access-control-request-headers': 'authorization, x-own',
  }

  for (const origin of allowed) {
    test(`${origin} may read, errors too, never with credentials`, async () => {
      for (const path of ['/stories', '/auth/me', '/nope']) {
        const answer = await app.call('GET', path, { headers: { origin } })
        assert.equal(answer.headers.get('access-control-allow-origin'), origin)
        assert.equal(answer.headers.get('access-control-expose-headers'), exposed)
        assert.equal(answer.headers.get('access-control-allow-credentials'), null)
        assert.ok(varies(answer))
      }
    })

    test(`${origin} may ask first`, async () => {
      const answer = await app.call('OPTIONS', '/auth/me', { headers: { origin, ...ask } })
      assert.equal(answer.status, 204)
      assert.equal(answer.text, '')
      assert.equal(answer.headers.get('access-control-allow-origin'), origin)
      assert.equal(answer.headers.get('access-control-allow-headers'), 'authorization, x-own')
      assert.equal(
        answer.headers.get('access-control-allow-methods'),
        'DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT',
      )
      assert.equal(answer.headers.get('access-control-max-age'), '600')
      assert.equal(answer.headers.get('access-control-allow-credentials'), null)
      assert.ok(varies(answer))
    })
  }

  for (const origin of refused)
    test(`${origin} gets the normal answer without CORS headers`, async () => {
      const answer = await app.call('GET', '/stories', { headers: { origin } })
      assert.equal(answer.status, 200)
      assert.deepEqual(corsOf(answer), [])
      assert.ok(varies(answer))
      const asked = await app.call('OPTIONS', '/stories', { headers: { origin, ...ask } })
      assert.equal(asked.status, 405)
      assert.deepEqual(corsOf(asked), [])
    })

  test('Vary without an Origin too; nothing under /admin', async () => {
    for (const path of ['/stories', '/auth/me', '/nope', '/health/live', '/docs/', '/icons/logo.png'])
      assert.ok(varies(await app.call('GET', path)), path)
    const headers = { origin: 'https://dawnotemu.app', ...ask }
    for (const path of ['/admin', '/admin/login', '/admin/api/users'])
      for (const method of ['GET', 'OPTIONS'])
        assert.deepEqual(corsOf(await app.call(method, path, { headers })), [])
  })
})

describe('health and documents', () => {
  test('live and ready', async () => {
    const live = await app.call('GET', '/health/live')
    assert.deepEqual([live.status, live.body], [200, { status: 'ok' }])
    const ready = await app.call('GET', '/health/ready')
    assert.equal(ready.status, 200, ready.text)
    assert.deepEqual(Object.keys(ready.body).sort(), ['checks', 'release', 'status'])
    assert.equal(ready.body['status'], 'ok')
    for (const { headers } of [live, ready]) assert.equal(headers.get('cache-control'), 'no-store')
  })

  test('a server that is stopping says so while it still answers', async () => {
    const own = await startTestApp({ env, work: false })
    try {
      own.app.drain()
      const ready = await own.call('GET', '/health/ready')
      assert.deepEqual([ready.status, ready.body['status']], [503, 'draining'])
      assert.equal((await own.call('GET', '/health/live')).status, 200)
      assert.equal((await own.call('GET', '/stories')).status, 200)
    } finally {
      await own.close()
    }
  })

  test('the OpenAPI document is valid and knows who needs a token', async () => {
    const { status, text } = await app.call('GET', '/openapi.json')
    assert.equal(status, 200)
    const document: { paths: Record<string, Record<string, { security?: unknown[] }>> } = JSON.parse(text)
    const { valid, errors } = await new Validator().validate(JSON.parse(text))
    assert.ok(valid, JSON.stringify(errors))
    assert.deepEqual(document.paths['/auth/me']?.['get']?.security, [{ bearer: [] }])
    assert.deepEqual(document.paths['/auth/login']?.['post']?.security, [])
    assert.equal(
      Object.keys(document.paths).some((path) => path.startsWith('/dev')),
      false,
    )
  })

  test('the reference page and the logo', async () => {
    const docs = await fetch(`${app.url}/docs`)
    assert.equal(docs.status, 200)
    assert.match(docs.headers.get('content-type') ?? '', /^text\/html/)
    assert.doesNotMatch(await docs.text(), /(?:src|href)="https?:/)
    const logo = await fetch(`${app.url}/icons/logo.png`)
    assert.deepEqual([logo.status, logo.headers.get('content-type')], [200, 'image/png'])
    const bytes = Buffer.from(await logo.arrayBuffer())
    assert.equal(bytes.subarray(0, 8).toString('hex'), '89504e470d0a1a0a')
  })
})
