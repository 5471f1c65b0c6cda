import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { test } from 'node:test'
import { newRefreshToken } from '../crypto.ts'
import { createLogger, currentContext, withContext, type LogFields, type Logger } from './logger.ts'

const capture = (format: 'json' | 'pretty' = 'json', level: 'debug' | 'info' = 'info') => {
  const lines: string[] = []
  const logger = createLogger({
    level,
    format,
    role: 'web',
    release: '1.2.3',
    destination: { write: (line) => void lines.push(line) },
  })
  return { logger, lines, text: () => lines.join('') }
}

const parse = (line: string | undefined): Record<string, unknown> => {
  assert.ok(line !== undefined)
  const value: unknown = JSON.parse(line)
  assert.ok(typeof value === 'object' && value !== null)
  return { ...value }
}

test('a line has the documented fields', () => {
  const { logger, lines } = capture()
  logger.info({ route: '/voices/:id', status: 200, duration_ms: 1.5, user_id: 7 }, 'request')
  const { time, ...rest } = parse(lines[0])
  assert.match(String(time), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
  assert.deepEqual(rest, {
    level: 'info',
    role: 'web',
    release: '1.2.3',
    route: '/voices/:id',
    status: 200,
    duration_ms: 1.5,
    user_id: 7,
    msg: 'request',
  })
})

test('levels below the chosen one are not written', () => {
  const { logger, lines } = capture()
  logger.debug({}, 'quiet')
  logger.warn({}, 'loud')
  assert.equal(lines.length, 1)
  const talkative = capture('json', 'debug')
  talkative.logger.debug({}, 'quiet')
  assert.equal(talkative.lines.length, 1)
})

test('the context reaches every line inside, over awaits, without mixing', async () => {
  const { logger, lines } = capture()
  const child = logger.child({ part: 'jobs' })
  await Promise.all(
    ['first-id', 'second-id'].map((requestId) =>
      withContext({ request_id: requestId }, async () => {
        await sleep(2)
        await withContext({ job_id: `job of ${requestId}` }, async () => {
          await sleep(1)
          child.info({}, requestId)
        })
      }),
    ),
  )
  logger.info({}, 'outside')
  assert.equal(lines.length, 3)
  for (const line of lines.slice(0, 2).map(parse)) {
    assert.equal(line['request_id'], line['msg'])
    assert.equal(line['job_id'], `job of ${String(line['msg'])}`)
    assert.equal(line['part'], 'jobs')
  }
  assert.equal(parse(lines[2])['request_id'], undefined)
  assert.deepEqual(currentContext(), {})
})

const base64 = 'eyJzdWIiOiI0MiIsInR5cGUiOiJhY2Nlc3MifQ'
const jwt = `eyJhbGciOiJIUzI1NiJ9.${base64}.c2lnbmF0dXJlLW9mLXRlc3Q`
const refresh = newRefreshToken()
const apiKey = `dt_live_Ab3dEf6hIj_${'k'.repeat(49)}`
const secretOf = (name: string): string => `PLANTED${name}9f27c1`

/** What must not be found, and a text that holds it. */
const planted: Record<string, [needle: string, text: string]> = {
  jwt: [base64, `token was ${jwt}`],
  'jwt cut off': [base64, `got eyJhbGciOiJIUzI1NiJ9.${base64}`],
  'refresh token': [refresh.slice(4, 40), `refresh ${refresh} refused`],
  'refresh token inside a word': [refresh.slice(4, 40), `x${refresh}y`],
  'API key': ['kkkkkkkk', `key ${apiKey} refused`],
  'API key of development': ['kkkkkkkk', apiKey.replace('live', 'test')],
  'e-mail address': ['alicja', 'no account for alicja.nowak@example.com here'],
  'e-mail address, encoded': ['alicja', '/users?q=alicja%40example.com'],
  'e-mail address with accents': ['łucja', 'łucja@przykład.pl'],
  'S3 signature': [
    secretOf('S3'),
    `https://b.s3.amazonaws.com/k?X-Amz-Signature=${secretOf('S3')}&X-Amz-Date=1`,
  ],
  'S3 credential without a host': [secretOf('CRED'), `/k?X-Amz-Credential=${secretOf('CRED')}%2F20260101`],
  'own file link': [secretOf('FILE'), `/files/a/b.mp3?expires=1&type=a&signature=${secretOf('FILE')}`],
  'confirm link': [secretOf('CONFIRM'), `https://dawnotemu.app/auth/confirm-email/${secretOf('CONFIRM')}`],
  'reset link': [secretOf('RESET'), `GET /auth/reset-password/${secretOf('RESET')} 404`],
  'authorization header': [secretOf('AUTH'), `authorization: Custom ${secretOf('AUTH')}`],
  'bearer value': [secretOf('BEARER'), `sent Bearer ${secretOf('BEARER')}`],
  'basic value': ['dXNlcjpwYXNz', 'sent Basic dXNlcjpwYXNzd29yZA=='],
  'X-API-Key header': [secretOf('XKEY'), `X-API-Key: ${secretOf('XKEY')}`],
  'cookie header': [secretOf('COOKIE'), `Cookie: a=1; session=${secretOf('COOKIE')}`],
  'panel cookie': [secretOf('PANEL'), `value __Host-dt_admin=${secretOf('PANEL')}; Path=/`],
  'password in a form': [secretOf('FORM'), `email=a&password=${secretOf('FORM')}&x=1`],
  'password in JSON': [secretOf('JSON'), `{"current_password": "${secretOf('JSON')} with spaces"}`],
  'database URL': [secretOf('DB'), `cannot reach postgres://dawnotemu:${secretOf('DB')}@db.internal/app`],
  'query of a link': [secretOf('QUERY'), `fetch https://example.com/x?whatever=${secretOf('QUERY')}`],
  'provider key': ['0123456789abcdef', 'refused sk_0123456789abcdef0123456789abcdef'],
  'AWS key id': ['AKIAIOSFODNN7', 'InvalidAccessKeyId AKIAIOSFODNN7EXAMPLE'],
  'IPv4 address': ['203.0.113.77', 'closed by 203.0.113.77:51234'],
  'IPv6 address': ['1:2:3:5', 'closed by [2001:db8:17:1:2:3:5:8]:443'],
  'mapped address': ['203.0.113.78', 'closed by ::ffff:203.0.113.78'],
  'password hash': ['c29tZXNhbHQ', 'stored $argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQ$aGFzaA'],
}

/** The ways a text can get into a line. */
const ways: Record<string, (logger: Logger, text: string) => void> = {
  message: (logger, text) => logger.info({}, text),
  field: (logger, text) => logger.info({ detail: text }, 'm'),
  'name of a field': (logger, text) => logger.info({ [text]: 1 }, 'm'),
  'deep field': (logger, text) => logger.info({ a: [{ b: { c: text } }] }, 'm'),
  error: (logger, text) => logger.error({ err: new Error(text) }, 'm'),
  cause: (logger, text) => logger.error({ err: new Error('outer', { cause: new Error(text) }) }, 'm'),
  'error of several': (logger, text) =>
    logger.error({ err: new AggregateError([new Error(text)], 'several') }, 'm'),
  child: (logger, text) => logger.child({ bound: text }).info({}, 'm'),
  context: (logger, text) => withContext({ inside: text }, () => logger.info({}, 'm')),
  'after a line break': (logger, text) => logger.info({}, `\u001b\n${text}`),
  'long text': (logger, text) =>
    logger.info({ detail: `${'x '.repeat(480)}${text}${' y'.repeat(900)}` }, 'm'),
}

for (const format of ['json', 'pretty'] as const)
  test(`no planted value is in a ${format} line, whichever way it comes`, () => {
    for (const [kind, [needle, text]] of Object.entries(planted)) {
      assert.ok(text.includes(needle), `${kind} tests nothing`)
      for (const [way, log] of Object.entries(ways)) {
        const output = capture(format)
        log(output.logger, text)
        assert.ok(output.text().length > 0)
        assert.ok(!output.text().includes(needle), `${kind} by ${way}: ${output.text()}`)
        if (format === 'json') parse(output.lines[0])
      }
    }
  })

test('values of withheld names never appear, whatever they look like', () => {
  const names = [
    'password',
    'current_password',
    'Authorization',
    'cookie',
    'set-cookie',
    'X-API-Key',
    'apiKey',
    'token',
  ]
  const more = [
    'refresh_token',
    'secret',
    'webhook_secret',
    'body',
    'text',
    'story_text',
    'html',
    'sql',
    'parameters',
  ]
  for (const name of [...names, ...more, 'headers', 'payload', 'query', 'subject', 'code_and_secret']) {
    const { logger, text } = capture()
    logger.info({ [name]: 'plain words', deep: [{ [name]: { inner: 'plain words' } }] }, 'm')
    assert.ok(!text().includes('plain words'), name)
  }
})

test('an error shows class, code, message and frames, and nothing else of it', () => {
  const { logger, lines, text } = capture()
  const error = Object.assign(new TypeError('could not'), {
    code: '23505',
    constraint: 'users_email_key',
    detail: 'Key (email)=(planted detail) exists',
    query: 'select planted query',
    parameters: ['planted parameter'],
    body: 'planted body',
    response: { data: 'planted response' },
  })
  logger.error({ err: error }, 'failed')
  const err = parse(lines[0])['err'] as Record<string, unknown>
  assert.deepEqual(Object.keys(err), ['type', 'code', 'constraint', 'message', 'stack'])
  assert.equal(err['type'], 'TypeError')
  assert.equal(err['constraint'], 'users_email_key')
  assert.ok(Array.isArray(err['stack']) && String(err['stack'][0]).includes('logger.test.ts'))
  assert.ok(!text().includes('planted'))
})

test('input that parsers and the database quote in messages is left out', () => {
  const caught = (run: () => unknown): unknown => {
    try {
      run()
    } catch (error) {
      return error
    }
    return assert.fail('nothing was thrown')
  }
  const errors = [
    caught(() => JSON.parse('planted story text')),
    caught(() => Buffer.alloc('planted' as unknown as number)),
    Object.assign(new Error('invalid input syntax for type integer: "planted"'), { code: '22P02' }),
  ]
  for (const err of errors) {
    const { logger, text } = capture()
    logger.error({ err }, 'failed')
    assert.ok(!text().includes('planted'), text())
    assert.ok(text().includes('"type"'))
  }
  const { logger, text } = capture()
  const violation = new Error('duplicate key value violates unique constraint "users_email_key"')
  logger.error({ err: Object.assign(violation, { code: '23505' }) }, 'failed')
  assert.ok(text().includes('users_email_key'))
})

test('no text forges a line or steers a terminal', () => {
  const forged = '{"level":"error","time":"2020-01-01T00:00:00.000Z","msg":"forged"}'
  const breaks = [
    '\n',
    '\r\n',
    '\r',
    '\u2028',
    '\u2029',
    '\u0085',
    '\v',
    '\f',
    '\u001b[2J',
    '\u009b2J',
    '\0',
    '\u202e',
  ]
  for (const format of ['json', 'pretty'] as const)
    for (const breaker of breaks)
      for (const [way, log] of Object.entries(ways)) {
        const output = capture(format)
        log(output.logger, `before${breaker}${forged}`)
        const text = output.text()
        assert.equal(output.lines.length, 1)
        if (format === 'json') assert.equal(text.indexOf('\n'), text.length - 1)
        assert.ok(!/^\s*\{"level"/m.test(text.slice(1)), `${way}: ${text}`)
        assert.ok(
          !/[\p{Cc}\u2028\u2029\u202e]/u.test(text.replaceAll('\n', '')),
          `${way}: ${JSON.stringify(text)}`,
        )
      }
})

test('fields cannot pose as parts of the line', () => {
  const { logger, lines } = capture()
  logger.info({ level: 'error', time: 'never', msg: 'forged', role: 'x', release: 'y' }, 'true')
  const line = parse(lines[0])
  assert.deepEqual(
    [line['level'], line['msg'], line['role'], line['release']],
    ['info', 'true', 'web', '1.2.3'],
  )
  assert.equal(lines[0]?.match(/"msg":/g)?.length, 1)
  assert.equal(line['field_level'], 'error')
})

test('strange values do not break logging', () => {
  const ring: Record<string, unknown> = { name: 'ring' }
  ring['self'] = ring
  const fields: LogFields = {
    ring,
    bytes: Buffer.from('planted bytes'),
    big: 10n,
    when: new Date(Number.NaN),
    nothing: undefined,
    call: () => 'x',
    map: new Map([['planted', 'planted']]),
    many: Array.from({ length: 1000 }, (_, index) => index),
    lone: '\ud800',
  }
  const { logger, lines, text } = capture()
  logger.info(fields, 'odd')
  assert.equal(parse(lines[0])['bytes'], '[13 bytes]')
  assert.ok(!text().includes('planted'))
  assert.ok(text().length < 4000)
})

test('ordinary texts stay as they are', () => {
  const texts = [
    'listening on http://127.0.0.1:8000',
    'narration 12 of voice 7 ready in 3.4 s',
    'release 0.1.0+abcdef123456',
    'migrate up: 0007_add_table.sql at 12:34:56',
    'zażółć gęślą jaźń',
    'job voices.clone done',
  ]
  for (const text of texts) {
    const { logger, lines } = capture()
    logger.info({ detail: text }, text)
    assert.equal(parse(lines[0])['msg'], text)
    assert.equal(parse(lines[0])['detail'], text)
  }
})

test('scrubbing grows with the text, not with its square', () => {
  const { logger, lines } = capture()
  const started = performance.now()
  for (const part of ['-a', 'a.', 'a@', ':1', 'token', '1.', '://', '"\\', 'x-'])
    logger.info({ detail: part.repeat(100_000) }, part.repeat(100_000))
  assert.equal(lines.length, 9)
  assert.ok(performance.now() - started < 2000, `${performance.now() - started} ms`)
})
