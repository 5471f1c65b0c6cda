import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import * as scene from '../../../test/account-scene.ts'
import { startTestApp, type TestApp } from '../../../test/app.ts'

const unconfirmedText =
  'Please confirm your email address before logging in. Check your email for the confirmation link.'

/** What the wire counts as missing. */
const missing: [name: string, value: unknown][] = [
  ['absent', undefined],
  ['null', null],
  ['an empty text', ''],
  ['zero', 0],
  ['false', false],
  ['an empty list', []],
]

let app: TestApp
const env = { RATELIMIT_ENABLED: 'false' }
before(async () => {
  app = await startTestApp({ env })
})
after(() => app.close())

const register = (json: Record<string, unknown>) => app.call('POST', '/auth/register', { json })
const assertRefused = scene.assertRefused

describe('login, in the order of its rows', () => {
  for (const field of ['email', 'password'])
    for (const [name, value] of missing)
      test(`1: ${field} is ${name}`, async () => {
        const json = { email: 'zle', password: 'haslo', [field]: value }
        assertRefused(await app.call('POST', '/auth/login', { json }), 400, 'Email and password are required')
      })

  test('2: the form of the address', async () => {
    assertRefused(await scene.login(app, { email: 'zle', password: 'x' }), 400, 'Invalid email format')
    const long = { email: `${'a'.repeat(300)}@b.pl`, password: 'x' }
    assertRefused(await scene.login(app, long), 400, 'Invalid email format')
  })

  test('6: an unknown address and a wrong password look alike, and take 300 ms', async () => {
    const { email } = await scene.createAccount(app)
    for (const credentials of [
      { email: scene.newAddress(), password: scene.newPassword() },
      { email, password: scene.newPassword() },
      { email, password: 'x'.repeat(1025) },
    ]) {
      const started = performance.now()
      const answer = await scene.login(app, credentials)
      const took = performance.now() - started
      assertRefused(answer, 401, 'Invalid credentials')
      assert.ok(took >= 299, `answered after ${took} ms`)
    }
  })

  const states: [row: string, assignments: string, text: string, code?: string][] = [
    ['7', "status = 'deactivated'", 'Account is deactivated. Please contact support.'],
    ['7', "status = 'deleting'", 'Account is deactivated. Please contact support.'],
    [
      '7 before 8',
      "status = 'deactivated', email_confirmed = false",
      'Account is deactivated. Please contact support.',
    ],
    ['8', 'email_confirmed = false', unconfirmedText, 'EMAIL_NOT_CONFIRMED'],
    ['8 before 9', "email_confirmed = false, status = 'pending'", unconfirmedText, 'EMAIL_NOT_CONFIRMED'],
    ['9', "status = 'pending'", 'Your account is awaiting approval. We will e-mail you when it is ready.'],
  ]
  for (const [row, assignments, text, code] of states)
    test(`${row}: ${assignments}, told only with the right password`, async () => {
      const account = await scene.createAccount(app)
      await scene.setUser(app, account.id, assignments)
      const [earlier] = await scene.rows(app, 'select last_login from users where id = $1', [account.id])
      const wrong = await scene.login(app, { ...account, password: scene.newPassword() })
      assertRefused(wrong, 401, 'Invalid credentials')
      assertRefused(await scene.login(app, account), 403, text, code)
      assert.equal(await scene.count(app, 'sessions where user_id = $1', [account.id]), 1)
      const [later] = await scene.rows(app, 'select last_login from users where id = $1', [account.id])
      assert.deepEqual(later, earlier)
    })

  test('only the unconfirmed one says "confirm"', async () => {
    const { id, ...account } = await scene.createAccount(app)
    const texts = [
      await scene.login(app, { ...account, password: 'x' }),
      await scene.login(app, { email: 'x', password: '' }),
    ]
    for (const status of ['deactivated', 'deleting', 'pending']) {
      await scene.setUser(app, id, `status = '${status}'`)
      texts.push(await scene.login(app, account))
    }
    for (const { status, text } of texts) {
      assert.ok(status >= 400)
      assert.doesNotMatch(text, /confirm/i)
    }
  })

  test('ok: two tokens, 900 s, and the user with this login as last_login', async () => {
    const { id: _, ...account } = await scene.createAccount(app)
    const started = Date.now()
    const { status, body } = await scene.login(app, account)
    assert.equal(status, 200)
    assert.deepEqual(Object.keys(body).sort(), ['access_token', 'expires_in', 'refresh_token', 'user'])
    assert.equal(typeof body['access_token'], 'string')
    assert.match(String(body['refresh_token']), /^dtr_[A-Za-z0-9_-]{43}[0-9A-Za-z]{6}$/)
    assert.equal(body['expires_in'], 900)
    const user = body['user'] as Record<string, unknown>
    assert.ok(Date.parse(String(user['last_login'])) >= started - 1)
  })

  test('the session keeps a device record of bounded size', async () => {
    const account = await scene.createAccount(app)
    const headers = { 'user-agent': `DawnoTemu/2.1 (${'x'.repeat(400)})` }
    const named = { ...scene.registration(), email: account.email, password: account.password }
    for (const json of [named, { ...named, client_name: 'Telefon mamy' }])
      assert.equal((await app.call('POST', '/auth/login', { json, headers })).status, 200)
    const found = await scene.rows<{ client_name: string; user_agent: string; ip_prefix: string }>(
      app,
      'select client_name, user_agent, ip_prefix from sessions where user_id = $1 order by id desc limit 2',
      [account.id],
    )
    assert.deepEqual(
      found.map(({ client_name: name }) => name),
      ['Telefon mamy', 'DawnoTemu'],
    )
    for (const { user_agent: agent, ip_prefix: prefix } of found) {
      assert.equal(agent.length, 256)
      assert.equal(prefix, '127.0.0.0/24')
    }
    const long = { ...named, client_name: 'x'.repeat(65) }
    assertRefused(
      await app.call('POST', '/auth/login', { json: long }),
      400,
      'Invalid value for client_name.',
    )
  })
})

describe('the form of the fields', () => {
  const wrong: [value: unknown, name: string][] = [
    [5, 'a number'],
    [true, 'true'],
    [{ a: 1 }, 'an object'],
    [['a'], 'a list'],
    ['a\u0000b', 'a text with NUL'],
  ]
  for (const path of ['/auth/register', '/auth/login'])
    for (const field of ['email', 'password'])
      for (const [value, name] of wrong)
        test(`${path}: ${field} is ${name}`, async () => {
          const json = scene.registration({ [field]: value })
          assertRefused(await app.call('POST', path, { json }), 400, `Invalid value for ${field}.`)
        })

  for (const path of ['/auth/register', '/auth/login', '/auth/refresh'])
    test(`${path}: an unpaired surrogate is refused by the name of its field`, async () => {
      const field = path === '/auth/refresh' ? 'refresh_token' : 'password'
      const body = `{"email":"a@b.pl","password_confirm":"x","${field}":"abcdefgh\\ud800"}`
      const answer = await app.call('POST', path, { body, headers: { 'content-type': 'application/json' } })
      assertRefused(answer, 400, `Invalid value for ${field}.`)
    })

  test('a megabyte of password is refused at once, without hashing', async () => {
    const json = scene.registration({ password: 'x'.repeat(1024 * 1024) })
    for (const path of ['/auth/register', '/auth/login']) {
      const started = performance.now()
      assertRefused(await app.call('POST', path, { json }), 413, 'Request body is too large.')
      assert.ok(performance.now() - started < 2000)
    }
  })
})

describe('answers under /auth', () => {
  test('GET /auth/me: the bare user, 17 keys, timestamps with milliseconds and Z', async () => {
    const account = await scene.createAccount(app)
    const { status, body, headers } = await app.call('GET', '/auth/me', { token: account.accessToken })
    assert.equal(status, 200)
    assert.deepEqual(
      Object.keys(body).sort(),
      [
        'id email email_confirmed is_active is_admin credits_balance created_at last_login trial_is_active',
        'trial_expires_at subscription_is_active subscription_plan subscription_expires_at',
        'subscription_will_renew subscription_source can_generate pending_email',
      ]
        .flatMap((line) => line.split(' '))
        .sort(),
    )
    assert.deepEqual(
      [body['id'], body['email'], body['email_confirmed'], body['is_active'], body['pending_email']],
      [account.id, account.email, true, true, null],
    )
    for (const key of ['created_at', 'last_login', 'trial_expires_at'])
      assert.match(String(body[key]), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/, key)
    assert.equal(headers.get('cache-control'), 'no-store')
  })

  const derived: [what: string, assignments: string, trial: boolean, subscription: boolean][] = [
    ['trial ahead', '', true, false],
    ['trial over', "trial_expires_at = now() - interval '1 s'", false, false],
    ['no trial', 'trial_expires_at = null', false, false],
    [
      'subscribed',
      "trial_expires_at = null, subscription_active = true, subscription_expires_at = now() + interval '1 day'",
      false,
      true,
    ],
    [
      'subscription over',
      "trial_expires_at = null, subscription_active = true, subscription_expires_at = now() - interval '1 s'",
      false,
      false,
    ],
    ['no expiry', 'trial_expires_at = null, subscription_active = true', false, false],
    [
      'flag off',
      "trial_expires_at = null, subscription_active = false, subscription_expires_at = now() + interval '1 day'",
      false,
      false,
    ],
  ]
  for (const [what, assignments, trial, subscription] of derived)
    test(`GET /auth/me: ${what}`, async () => {
      const { id, accessToken } = await scene.createAccount(app)
      if (assignments !== '') await scene.setUser(app, id, assignments)
      const { body } = await app.call('GET', '/auth/me', { token: accessToken })
      assert.deepEqual(
        [body['trial_is_active'], body['subscription_is_active'], body['can_generate']],
        [trial, subscription, trial || subscription],
      )
    })

  test('no-store on success and refusal', async () => {
    const { accessToken, email, password } = await scene.createAccount(app)
    const json = { email, password }
    const answers = await Promise.all([
      register({}),
      app.call('POST', '/auth/login', { json }),
      app.call('POST', '/auth/login', { json: { email, password: 'falsch' } }),
      app.call('POST', '/auth/refresh', { json: {} }),
      app.call('GET', '/auth/me', { token: accessToken }),
      app.call('GET', '/auth/me'),
      app.call('GET', '/auth/confirm-email/x'),
      app.call('POST', '/auth/login', { body: '{', headers: { 'content-type': 'application/json' } }),
    ])
    for (const answer of answers) assert.equal(answer.headers.get('cache-control'), 'no-store', answer.text)
  })

  test('a stale Authorization header changes nothing on public routes', async () => {
    const account = await scene.createAccount(app)
    for (const authorization of ['Bearer stale', 'Basic x', 'Bearer', account.accessToken]) {
      const headers = { authorization }
      const sent = (path: string, json: unknown) => app.call('POST', path, { json, headers })
      assert.equal((await sent('/auth/register', scene.registration())).status, 201)
      const { email, password } = account
      assert.equal((await sent('/auth/login', { email, password })).status, 200)
      assert.equal((await sent('/auth/refresh', { refresh_token: account.refreshToken })).status, 200)
      assert.equal((await app.call('GET', '/stories', { headers })).status, 200)
      assert.equal((await app.call('GET', '/health/live', { headers })).status, 200)
    }
  })
})
