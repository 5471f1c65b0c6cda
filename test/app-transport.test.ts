import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import * as scene from './account-scene.ts'
import { startTestApp, type Account, type TestApp } from './app.ts'
import { afterLogin, createAppClient, type AppClient } from './app-client.ts'
import { manualClock } from './ledger-fixtures.ts'

const clock = manualClock()
const minute = 60_000
const day = 86_400_000

let app: TestApp
before(async () => {
  app = await startTestApp({ overrides: { clock }, work: false })
})
after(() => app.close())

/** The app on a phone that is signed in; what it sent so far is forgotten. */
const signedIn = async (): Promise<{ client: AppClient; account: Account }> => {
  const account = await scene.createAccount(app)
  const client = createAppClient(app.url)
  assert.equal(afterLogin(await client.login(account.email, account.password)), 'home')
  client.sent.length = 0
  return { client, account }
}

const brief = ({ sent }: AppClient): string[] =>
  sent.map(({ method, path, status }) => `${method} ${path} ${status}`)

describe('a 401', () => {
  test('one refresh with no bearer, one retry with the new token, success', async () => {
    const { client, account } = await signedIn()
    const { accessToken: old, refreshToken } = client.stored
    clock.advance(16 * minute)
    const started = performance.now()
    const result = await client.request('GET', '/auth/me')
    assert.ok(performance.now() - started < 3000, 'the start-up check waits 3 s')
    assert.equal(result.data['id'], account.id)
    assert.deepEqual(brief(client), ['GET /auth/me 401', 'POST /auth/refresh 200', 'GET /auth/me 200'])
    const bearers = client.sent.map(({ authorization }) => authorization)
    assert.deepEqual(bearers, [`Bearer ${old}`, null, `Bearer ${client.stored.accessToken}`])
    assert.notEqual(client.stored.accessToken, old)
    assert.equal(client.stored.refreshToken, refreshToken)
  })

  test('without an access token at all the refresh token alone brings the app back', async () => {
    const { client } = await signedIn()
    client.stored.accessToken = null
    assert.equal((await client.request('GET', '/auth/me')).status, 200)
    assert.deepEqual(brief(client), ['GET /auth/me 401', 'POST /auth/refresh 200', 'GET /auth/me 200'])
  })

  test('six at once: each refreshes with the same first token, all succeed', async () => {
    const { client } = await signedIn()
    clock.advance(16 * minute)
    const paths = ['/auth/me', '/voices', '/me/credits', '/auth/me', '/me/credits', '/auth/me']
    const results = await Promise.all(paths.map((path) => client.request('GET', path)))
    assert.deepEqual(
      results.map(({ status }) => status),
      paths.map(() => 200),
    )
    assert.equal(client.sent.filter(({ path }) => path === '/auth/refresh').length, 6)
    assert.notEqual(client.stored.accessToken, null)
  })

  test('89 days of an app that is opened every six days: never signed out', async () => {
    const { client } = await signedIn()
    for (let days = 0; days < 84; days += 6) {
      clock.advance(6 * day)
      const results = await Promise.all([1, 2].map(() => client.request('GET', '/auth/me')))
      for (const { status } of results) assert.equal(status, 200)
    }
    clock.advance(6 * day)
    assert.equal((await client.request('GET', '/auth/me')).code, 'AUTH_ERROR')
    assert.equal(client.stored.refreshToken, null)
  })

  test('a refresh that fails signs the app out, once, without a loop', async () => {
    const { client, account } = await signedIn()
    const elsewhere = await scene.signIn(app, account)
    assert.equal((await app.call('POST', '/auth/logout-all', { token: elsewhere.accessToken })).status, 204)
    const result = await client.request('GET', '/auth/me')
    assert.deepEqual([result.code, result.status], ['AUTH_ERROR', 401])
    assert.deepEqual(brief(client), ['GET /auth/me 401', 'POST /auth/refresh 401'])
    assert.deepEqual(client.stored, { accessToken: null, refreshToken: null, user: null })
    assert.equal((await client.request('GET', '/auth/me')).code, 'AUTH_REQUIRED')
  })

  test('of the voice screens: the code is AUTH_ERROR, because no 401 says another', async () => {
    const { client, account } = await signedIn()
    clock.advance(16 * minute)
    assert.equal((await client.voiceRequest('GET', '/voices')).status, 200)
    const { accessToken } = await scene.signIn(app, account)
    await app.call('POST', '/auth/logout-all', { token: accessToken })
    const result = await client.voiceRequest('GET', '/voices')
    assert.deepEqual([result.code, Object.keys(result.data)], ['AUTH_ERROR', ['error']])
  })
})

describe('a 403 never makes the app refresh or sign out', () => {
  test('a wrong current password', async () => {
    const { client } = await signedIn()
    const body = { current_password: 'not this one', email: scene.newAddress() }
    const result = await client.request('PATCH', '/auth/me', body)
    assert.deepEqual([result.code, result.error], ['FORBIDDEN', 'Current password is incorrect.'])
    assert.deepEqual(brief(client), ['PATCH /auth/me 403'])
  })

  test('a deactivated account', async () => {
    const { client, account } = await signedIn()
    await scene.setUser(app, account.id, "status = 'deactivated'")
    const result = await client.request('GET', '/auth/me')
    assert.deepEqual([result.code, result.error], ['FORBIDDEN', 'User account is inactive'])
    assert.notEqual(client.stored.refreshToken, null)
  })
})

describe('the login and register screens', () => {
  const attempt = async (email: string, password: string): Promise<string> =>
    afterLogin(await createAppClient(app.url).login(email, password))
  const wrong = 'Nieprawidłowy email lub hasło.'

  test('unconfirmed goes to the confirm screen, only with the right password', async () => {
    const { email, password } = await scene.createAccount(app)
    await scene.rows(app, 'update users set email_confirmed = false where email = $1', [email])
    assert.equal(await attempt(email, password), 'confirm your e-mail')
    assert.equal(await attempt(email, 'confirm'), wrong)
  })

  test('wrong password, unknown account, untrimmed address', async () => {
    const { email, password } = await scene.createAccount(app)
    assert.equal(await attempt(email, 'not this one'), wrong)
    assert.equal(await attempt(scene.newAddress(), password), wrong)
    assert.equal(await attempt(` ${email.toUpperCase()} `, password), 'home')
  })

  test('other states show their text and do not lead to the confirm screen', async () => {
    const { id, email, password } = await scene.createAccount(app)
    for (const [status, text] of [
      ['deactivated', 'Account is deactivated. Please contact support.'],
      ['pending', 'Your account is awaiting approval. We will e-mail you when it is ready.'],
    ] as const) {
      await scene.setUser(app, id, `status = '${status}'`)
      assert.equal(await attempt(email, password), text)
    }
  })

  test('a stale token from an earlier login is on every call and disturbs neither login nor register', async () => {
    const { client, account } = await signedIn()
    clock.advance(91 * day)
    const registered = await client.request('POST', '/auth/register', scene.registration())
    assert.equal(registered.status, 201, registered.error ?? '')
    const again = scene.registration({ email: account.email })
    assert.match((await client.request('POST', '/auth/register', again)).error ?? '', /already registered/)
    const asked = await client.request('POST', '/auth/reset-password-request', { email: account.email })
    assert.equal(asked.status, 200)
    assert.equal(afterLogin(await client.login(account.email, account.password)), 'home')
    assert.ok(client.sent.every(({ authorization }) => authorization?.startsWith('Bearer ')))
    assert.ok(client.sent.every(({ path }) => path !== '/auth/refresh'))
  })

  test('a wrong password while an old token is stored: the app refreshes and asks again, and still says the same', async () => {
    const { client, account } = await signedIn()
    assert.equal(afterLogin(await client.login(account.email, 'not this one')), wrong)
    assert.deepEqual(brief(client), [
      'POST /auth/login 401',
      'POST /auth/refresh 200',
      'POST /auth/login 401',
    ])
    assert.notEqual(client.stored.refreshToken, null)
  })

  test('the user that is kept has what the screens use', async () => {
    const { client, account } = await signedIn()
    const user = client.stored.user ?? {}
    assert.deepEqual([user['id'], user['email'], user['email_confirmed']], [account.id, account.email, true])
    for (const name of ['created_at', 'last_login'])
      assert.ok(!Number.isNaN(new Date(String(user[name])).getTime()), name)
  })
})

describe('the settings screen', () => {
  const password = scene.newPassword()
  const changes: [name: string, body: () => Record<string, string>, isConfirmationAsked: boolean][] = [
    ['password', () => ({ new_password: password, new_password_confirm: password }), false],
    ['address', () => ({ email: scene.newAddress() }), true],
  ]
  for (const [name, body, isConfirmationAsked] of changes)
    test(`15.6: after a change of ${name} the app goes on with its old pair`, async () => {
      const { client, account } = await signedIn()
      clock.advance(2000)
      const { accessToken: old, refreshToken } = client.stored
      const result = await client.request('PATCH', '/auth/me', {
        current_password: account.password,
        ...body(),
      })
      assert.equal(result.status, 200, result.error ?? '')
      assert.equal(result.data['email_confirmation_required'], isConfirmationAsked)
      assert.equal(result.data['message'], 'Profile updated successfully.')
      assert.equal((result.data['user'] as { email: string }).email, account.email)
      for (let round = 0; round < 3; round += 1) {
        assert.equal((await client.request('GET', '/auth/me')).status, 200)
        clock.advance(16 * minute)
      }
      const refreshes = client.sent.filter(({ path }) => path === '/auth/refresh')
      assert.deepEqual(
        refreshes.map(({ status }) => status),
        [200, 200, 200],
      )
      assert.equal(client.stored.refreshToken, refreshToken)
      assert.notEqual(client.stored.accessToken, old)
    })

  test('deleting the account: a DELETE with a JSON body', async () => {
    const { client, account } = await signedIn()
    const wrong = await client.request('DELETE', '/auth/me', { current_password: 'not this one' })
    assert.deepEqual([wrong.code, wrong.error], ['FORBIDDEN', 'Current password is incorrect.'])
    const result = await client.request('DELETE', '/auth/me', { current_password: account.password })
    assert.deepEqual([result.status, typeof result.data['task_id']], [202, 'string'])
    assert.deepEqual(brief(client), ['DELETE /auth/me 403', 'DELETE /auth/me 202'])
    assert.equal((await client.request('GET', '/auth/me')).code, 'FORBIDDEN')
  })
})

test('errors of every kind are short texts in `error`', async () => {
  const { client } = await signedIn()
  for (const [method, path, body, code] of [
    ['GET', '/nope', undefined, 'NOT_FOUND'],
    ['PUT', '/auth/login', undefined, 'API_ERROR'],
    ['POST', '/auth/login', {}, 'BAD_REQUEST'],
    ['POST', '/auth/login', { email: 'x'.repeat(70_000) }, 'API_ERROR'],
    ['POST', '/auth/register', { email: 5 }, 'BAD_REQUEST'],
  ] as const) {
    const result = await client.request(method, path, body)
    assert.equal(result.code, code, `${method} ${path}`)
    assert.ok((result.error ?? '').length < 120 && !result.error?.startsWith('Request failed'))
  }
})
