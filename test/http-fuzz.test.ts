import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import * as scene from './account-scene.ts'
import { startTestApp, type Account, type TestApp } from './app.ts'

const seed = Number(process.env['TEST_SEED']) || Date.now() & 0x7fffffff
const requests = 1500
const lanes = 8

let app: TestApp
let account: Account
before(async () => {
  app = await startTestApp({ env: { RATELIMIT_ENABLED: 'false' }, work: false })
  account = await scene.createAccount(app)
})
after(() => app.close())

/** mulberry32: small and repeatable. */
const createRandom = (start: number) => {
  let state = start
  const next = (): number => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
  const below = (limit: number): number => Math.floor(next() * limit)
  const pick = <T>(from: readonly [T, ...T[]]): T => from[below(from.length)] ?? from[0]
  return { next, below, pick }
}
const random = createRandom(seed)

const methods = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'HEAD', 'OPTIONS'] as const
const hidden = ['/', '/docs', '/docs/', '/icons/logo.png', '/static/brand.css', '/files/{key}', '/dev/outbox']
const fields = [
  'email',
  'password',
  'password_confirm',
  'refresh_token',
  'client_name',
  'voice_id',
  'name',
  'text',
  'limit',
  '__proto__',
] as const

const oddText = (): string =>
  random.pick([
    '',
    '0',
    '1',
    '-1',
    '1e9',
    '2147483648',
    'NaN',
    'null',
    "' or 1=1 --",
    '../../etc/passwd',
    '%00',
    '%ff',
    '%',
    '%2e%2e%2f',
    '{{7*7}}',
    '<script>',
    '🦊'.repeat(50),
    'ą'.normalize('NFD'),
    'a\u0000b',
    '\u202eabc',
    'x'.repeat(600),
    String(random.next()),
  ])

const oddValue = (depth = 0): unknown =>
  random.pick<() => unknown>([
    oddText,
    oddText,
    () => random.below(1e12) - 5e11,
    () => random.next(),
    () => random.pick([true, false, null]),
    (): unknown => (depth > 3 ? [] : Array.from({ length: random.below(4) }, () => oddValue(depth + 1))),
    (): unknown => (depth > 3 ? {} : Object.fromEntries([[random.pick(fields), oddValue(depth + 1)]])),
    () => account.email,
    () => account.refreshToken.slice(0, random.below(60)),
  ])()

const oddBody = (): string =>
  random.pick<() => string>([
    () => '',
    () => JSON.stringify(oddValue()),
    () => JSON.stringify(Object.fromEntries(fields.map((name) => [name, oddValue()]))),
    () => JSON.stringify(Object.fromEntries(fields.map((name) => [name, oddValue()]))),
    () => JSON.stringify(oddValue()).slice(0, random.below(20)),
    () => '['.repeat(random.below(20_000)),
    () => `{"email":"\\ud800${oddText().replaceAll(/["\\\p{Cc}]/gu, '')}"}`,
    () => '--b\r\nContent-Disposition: form-data; name="file"; filename="a.mp3"\r\n\r\nabc\r\n--b--\r\n',
    () => 'x'.repeat(70_000),
  ])()

const oddHeaders = (): Record<string, string> => {
  const headers: Record<string, string> = {}
  const type = random.pick([
    'application/json',
    'application/json',
    'application/json',
    'application/x+json',
    'text/plain',
    'application/x-www-form-urlencoded',
    'multipart/form-data; boundary=b',
    'multipart/form-data',
    ';;;',
    '',
  ])
  if (type !== '') headers['content-type'] = type
  const authorization = random.pick([
    '',
    `Bearer ${account.accessToken}`,
    `Bearer ${account.accessToken}`,
    'Bearer x.y.z',
    `Bearer ${Buffer.from('{"alg":"none"}').toString('base64url')}.e30.`,
    'Basic Og==',
  ])
  if (authorization !== '') headers['authorization'] = authorization
  const name = random.pick([
    'accept',
    'range',
    'if-none-match',
    'origin',
    'x-forwarded-for',
    'cookie',
    'x-request-id',
  ])
  headers[name] = random.pick([
    '',
    'application/json',
    'bytes=0-',
    'bytes=9-1,x',
    '"x"',
    'null',
    'a=b; c',
    '*/*',
    '1'.repeat(900),
  ])
  return headers
}

const oddRequest = (paths: readonly [string, ...string[]]) => {
  const template = random.pick(paths)
  const path = template.replaceAll(/\{[^}]+\}/g, () =>
    random.pick([encodeURIComponent(oddText()), oddText().replaceAll(/[\s\p{Cc}#?]/gu, ''), '1']),
  )
  const query = random.pick([
    '',
    '',
    `?${random.pick(fields)}=${encodeURIComponent(oddText())}`,
    '?redirect&expires=x',
    '?limit[]=1&limit=2',
    '?%ff=%',
  ])
  const tail = random.pick(['', '', '', '', '/', '//', '/x'])
  const method = random.pick(methods)
  return {
    method,
    url: path + tail + query,
    headers: oddHeaders(),
    ...(method === 'GET' || method === 'HEAD' ? {} : { payload: oddBody() }),
  }
}

const problemOf = (
  answer: { statusCode: number; headers: Record<string, unknown>; body: string },
  url: string,
  isHead: boolean,
): string | null => {
  const { statusCode: status, headers, body } = answer
  if (status >= 500) return `status ${status}`
  if (typeof headers['x-request-id'] !== 'string') return 'no request id'
  if (status < 400 || isHead) return null
  const type = String(headers['content-type'])
  if (url.startsWith('/auth/confirm-email/') && status === 400 && type === 'text/html; charset=utf-8')
    return null
  if (!type.startsWith('application/json')) return `type ${type}`
  const parsed: { error?: unknown; code?: unknown } = JSON.parse(body)
  if (typeof parsed.error !== 'string' || parsed.error === '' || parsed.error.length > 120)
    return `body ${body}`
  if (status === 401 && parsed.code !== undefined) return `code ${body}`
  return /\b(select|insert|relation|undefined|TypeError|node_modules)\b/.test(body) ? `leak ${body}` : null
}

test(`${requests} malformed requests: no fault, every refusal in JSON, seed ${seed}`, async (t) => {
  t.diagnostic(`seed ${seed}`)
  const described = Object.keys(app.app.http.swagger().paths ?? {})
  assert.ok(described.length > 15, 'the routes were found')
  const paths: [string, ...string[]] = ['/', ...described, ...hidden, '/nope']
  const problems: string[] = []
  const seen = new Map<number, number>()
  // All are made before the first is sent, so that a seed repeats them whatever the timing.
  const waiting = Array.from({ length: requests }, () => oddRequest(paths))
  const run = async (): Promise<void> => {
    for (let request = waiting.pop(); request; request = waiting.pop()) {
      const answer = await app.app.http.inject(request)
      seen.set(answer.statusCode, (seen.get(answer.statusCode) ?? 0) + 1)
      const problem = problemOf(answer, request.url, request.method === 'HEAD')
      if (problem) problems.push(`${problem}: ${JSON.stringify(request).slice(0, 500)}`)
    }
  }
  await Promise.all(Array.from({ length: lanes }, run))
  t.diagnostic(JSON.stringify(Object.fromEntries(seen)))
  assert.deepEqual(problems, [])
  for (const status of [200, 400, 401, 404, 405, 413, 415])
    assert.ok(seen.has(status), `${status} was reached`)
  assert.equal((await app.call('GET', '/health/ready')).status, 200)
})
