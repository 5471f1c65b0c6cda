import assert from 'node:assert/strict'
import { createHmac, randomBytes, randomUUID } from 'node:crypto'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import * as scene from '../../../test/account-scene.ts'
import { startTestApp, type Account, type Answer, type TestApp } from '../../../test/app.ts'
import { deriveKeys } from '../../platform/crypto.ts'

const secretKey = randomBytes(32).toString('base64url')
const previousKey = randomBytes(32).toString('base64url')
const accessKey = deriveKeys(secretKey, []).access.current

let app: TestApp
let account: Account
before(async () => {
  const env = {
    SECRET_KEY: secretKey,
    SECRET_KEY_PREVIOUS: previousKey,
    DB_POOL_SIZE: '3',
    RATELIMIT_ENABLED: 'false',
  }
  app = await startTestApp({ env, work: false })
  account = await scene.createAccount(app)
})
after(() => app.close())

type Claims = Record<string, unknown>

const encode = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url')

const sign = (
  claims: unknown,
  key: Uint8Array = accessKey,
  header: unknown = { alg: 'HS256', typ: 'JWT' },
): string => {
  const text = `${encode(header)}.${encode(claims)}`
  return `${text}.${createHmac('sha256', key).update(text).digest('base64url')}`
}

const claimsOf = (token: string): Claims =>
  JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString())

const seconds = (): number => Math.floor(app.app.clock.now().getTime() / 1000)

/** The claims of a fresh token of the account's session. */
const claims = (own: Claims = {}): Claims => ({
  ...claimsOf(account.accessToken),
  iat: seconds(),
  exp: seconds() + 900,
  jti: randomUUID(),
  ...own,
})

const me = (token: string): Promise<Answer> => app.call('GET', '/auth/me', { token })
const invalid = 'Invalid token'

test('an access token has the header and claims of the specification, and no other', async () => {
  const { accessToken } = account
  assert.deepEqual(JSON.parse(Buffer.from(accessToken.split('.')[0] ?? '', 'base64url').toString()), {
    alg: 'HS256',
    typ: 'JWT',
  })
  const found = claimsOf(accessToken)
  assert.deepEqual(Object.keys(found).sort(), ['exp', 'iat', 'jti', 'sid', 'sub', 'type'])
  assert.deepEqual([found['sub'], found['type']], [String(account.id), 'access'])
  assert.equal(Number(found['exp']) - Number(found['iat']), 900)
  assert.ok(Number.isInteger(found['sid']) && Number.isInteger(found['iat']))
})

test('a token signed here by hand is accepted: the forgeries below differ in one thing each', async () => {
  assert.equal((await me(sign(claims()))).status, 200)
})

test('1: no token, other schemes, more or less than two parts', async () => {
  const { accessToken } = account
  const headers: (Record<string, string> | undefined)[] = [
    undefined,
    ...[
      '',
      'Bearer',
      accessToken,
      `Basic ${accessToken}`,
      `Bearer ${accessToken} x`,
      `Bearer, ${accessToken}`,
    ].map((authorization) => ({ authorization })),
  ]
  for (const own of headers)
    scene.assertRefused(
      await app.call('GET', '/auth/me', own ? { headers: own } : {}),
      401,
      'Authentication token is missing',
    )
})

test('1: the scheme in any case, any whitespace between', async () => {
  for (const scheme of ['Bearer', 'bearer', 'BEARER', 'Bearer   ', ' bearer\t'])
    assert.equal(
      (await app.call('GET', '/auth/me', { headers: { authorization: `${scheme} ${account.accessToken}` } }))
        .status,
      200,
    )
})

const forgeries: [name: string, make: () => string][] = [
  ['no JWT at all', () => 'x'],
  ['two parts', () => sign(claims()).split('.').slice(0, 2).join('.')],
  ['algorithm none, no signature', () => `${encode({ alg: 'none', typ: 'JWT' })}.${encode(claims())}.`],
  ['algorithm none, signed', () => sign(claims(), accessKey, { alg: 'none' })],
  ['algorithm HS512', () => sign(claims(), accessKey, { alg: 'HS512' })],
  ['no algorithm', () => sign(claims(), accessKey, {})],
  ['another key', () => sign(claims(), randomBytes(32))],
  ['the root secret as key', () => sign(claims(), Buffer.from(secretKey))],
  ['a key of another purpose', () => sign(claims(), deriveKeys(secretKey, []).admin.current)],
  ['an empty key', () => sign(claims(), new Uint8Array())],
  ['critical header', () => sign(claims(), accessKey, { alg: 'HS256', crit: ['x'], x: 1 })],
  ['claims that are no object', () => sign('claims')],
  ['claims that are a list', () => sign([])],
  ['null claims', () => sign(null)],
  [
    'signature of other claims',
    () => sign(claims()).replace(/\.[^.]+\./, `.${encode(claims({ sub: '1' }))}.`),
  ],
  ['iat 31 s ahead', () => sign(claims({ iat: seconds() + 40, exp: seconds() + 900 }))],
  ['a refresh token', () => account.refreshToken],
  ...['sub', 'sid', 'type', 'iat', 'exp', 'jti'].map((name): [string, () => string] => [
    `without ${name}`,
    () => sign(claims({ [name]: undefined })),
  ]),
  ...(
    [
      ['sub', 1],
      ['sub', 'abc'],
      ['sub', ''],
      ['sub', '-1'],
      ['sub', '01'],
      ['sub', '1e3'],
      ['sub', '9999999999'],
      ['sub', null],
      ['sid', '1'],
      ['sid', 0],
      ['sid', 1.5],
      ['sid', 3e9],
      ['iat', 'now'],
      ['iat', 1.5],
      ['exp', '9999999999'],
      ['exp', null],
      ['jti', 5],
      ['jti', ''],
      ['type', 5],
    ] as const
  ).map(([name, value]): [string, () => string] => [
    `${name} = ${JSON.stringify(value)}`,
    () => sign(claims({ [name]: value })),
  ]),
]
for (const [name, make] of forgeries)
  test(`2: ${name}`, async () => {
    scene.assertRefused(await me(make()), 401, invalid)
  })

test('2: iat up to 30 s ahead is accepted', async () => {
  assert.equal((await me(sign(claims({ iat: seconds() + 25 })))).status, 200)
})

test('2 before 3, 3 before 4, 4 before 5: the earlier row answers', async () => {
  const past = { iat: seconds() - 1000, exp: seconds() - 100 }
  scene.assertRefused(await me(sign(claims({ ...past, jti: undefined }))), 401, invalid)
  scene.assertRefused(await me(sign(claims({ ...past, type: 'admin' }))), 401, 'Token has expired')
  scene.assertRefused(await me(sign(claims({ type: 'admin', sub: '999999' }))), 401, 'Invalid token type')
})

test('3: expired by the application’s clock', async () => {
  const own = await scene.createAccount(app)
  await scene.advanceClock(app, 890)
  assert.equal((await me(own.accessToken)).status, 200)
  await scene.advanceClock(app, 15)
  scene.assertRefused(await me(own.accessToken), 401, 'Token has expired')
})

for (const type of ['admin', 'refresh', 'ACCESS', ''])
  test(`4: type "${type}"`, async () => {
    scene.assertRefused(await me(sign(claims({ type }))), 401, 'Invalid token type')
  })

test('5: no such account, and a tombstone', async () => {
  scene.assertRefused(await me(sign(claims({ sub: '2147483647' }))), 401, 'User not found')
  const own = await scene.createAccount(app)
  await scene.setUser(
    app,
    own.id,
    "status = 'deleted', email = null, password_hash = null, revenuecat_app_user_id = null",
  )
  scene.assertRefused(await me(own.accessToken), 401, 'User not found')
})

for (const status of ['pending', 'deactivated', 'deleting'])
  test(`6 before 7 and 8: an account that is ${status}`, async () => {
    const own = await scene.createAccount(app)
    await scene.setUser(app, own.id, `status = '${status}', email_confirmed = false`)
    await scene.rows(app, "update sessions set ended_at = now(), end_reason = 'logout' where user_id = $1", [
      own.id,
    ])
    scene.assertRefused(await me(own.accessToken), 403, 'User account is inactive')
  })

const over = 'Token is no longer valid, please log in again'

test('7: session unknown, another account’s, ended, idle or over', async () => {
  const other = await scene.createAccount(app)
  const foreign = claimsOf(other.accessToken)['sid']
  scene.assertRefused(await me(sign(claims({ sid: 2_147_483_647 }))), 401, over)
  scene.assertRefused(await me(sign(claims({ sid: foreign }))), 401, over)
  for (const change of [
    "ended_at = now(), end_reason = 'logout'",
    "idle_expires_at = now() - interval '1 s'",
    "idle_expires_at = now() - interval '1 s', expires_at = now() - interval '1 s'",
  ]) {
    const own = await scene.createAccount(app)
    await scene.rows(app, `update sessions set ${change} where user_id = $1`, [own.id])
    scene.assertRefused(await me(own.accessToken), 401, over)
  }
})

test('7: a token of an earlier second than access_valid_from is refused, one of that second accepted', async () => {
  const own = await scene.createAccount(app)
  const issued = Number(claimsOf(own.accessToken)['iat'])
  const validFrom = (second: number) =>
    scene.rows(app, 'update sessions set access_valid_from = to_timestamp($2) where user_id = $1', [
      own.id,
      second,
    ])
  await validFrom(issued)
  assert.equal((await me(own.accessToken)).status, 200)
  await validFrom(issued + 1)
  scene.assertRefused(await me(own.accessToken), 401, over)
})

test('7 before 8, and 8: an unconfirmed address', async () => {
  const own = await scene.createAccount(app)
  await scene.setUser(app, own.id, 'email_confirmed = false')
  const text = 'Please confirm your email address before accessing this resource'
  scene.assertRefused(await me(own.accessToken), 403, text)
  await scene.rows(app, "update sessions set ended_at = now(), end_reason = 'logout' where user_id = $1", [
    own.id,
  ])
  scene.assertRefused(await me(own.accessToken), 401, over)
})

test('a refused request does not reach its handler, nor is its body looked at', async () => {
  const headers = { 'content-type': 'application/json', authorization: 'Bearer x' }
  scene.assertRefused(await app.call('POST', '/voices', { body: '{', headers }), 401, invalid)
})

test('no 401 carries a code', async () => {
  for (const token of ['x', sign(claims({ type: 'admin' })), sign(claims({ sub: '2147483646' }))])
    assert.deepEqual(Object.keys((await me(token)).body), ['error'])
})

test('a token of the previous secret is verified, new ones use the current one', async () => {
  const earlier = sign(claims(), deriveKeys(previousKey, []).access.current)
  assert.equal((await me(earlier)).status, 200)
  const { accessToken } = await scene.signIn(app, account)
  const [header = '', body = '', signature] = accessToken.split('.')
  assert.equal(createHmac('sha256', accessKey).update(`${header}.${body}`).digest('base64url'), signature)
})

/** Holds every connection of the server, so that whatever asks the database waits until `release`. */
const exhaustPool = async (): Promise<() => void> => {
  const clients = await Promise.all([1, 2, 3].map(() => app.app.database.pool.connect()))
  return () => clients.splice(0).forEach((client) => client.release())
}

test('garbage is refused without the database: bearer and refresh tokens with one wrong character', async () => {
  const release = await exhaustPool()
  try {
    let hasAnswered = false
    const asking = me(sign(claims())).finally(() => {
      hasAnswered = true
    })
    const { refreshToken } = account
    for (const place of [4, 20, 46, 47, 52]) {
      const changed = refreshToken[place] === 'A' ? 'B' : 'A'
      const token = refreshToken.slice(0, place) + changed + refreshToken.slice(place + 1)
      const answer = await app.call('POST', '/auth/refresh', { json: { refresh_token: token } })
      scene.assertRefused(answer, 401, 'Invalid token. Please log in again.')
    }
    scene.assertRefused(await me(sign(claims(), randomBytes(32))), 401, invalid)
    await sleep(100)
    assert.equal(hasAnswered, false, 'a good token needs the database')
    release()
    assert.equal((await asking).status, 200)
  } finally {
    release()
  }
})
