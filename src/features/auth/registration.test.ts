import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import * as scene from '../../../test/account-scene.ts'
import { startTestApp, type TestApp } from '../../../test/app.ts'

const fieldsText = 'Email, password, and password confirmation are required'
const weakText = 'This password is easy to guess. Use a longer phrase or less common words.'
const registered = 'Registration successful! Please check your email to confirm your account.'
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

describe('register, in the order of its rows', () => {
  test('1: a closed registration refuses before it looks at the fields', async () => {
    const closed = await startTestApp({ env: { ...env, REGISTRATION_MODE: 'closed' }, work: false })
    try {
      for (const json of [scene.registration(), {}, { email: 'x' }])
        assertRefused(await closed.call('POST', '/auth/register', { json }), 403, 'Registration is closed.')
      assert.equal(await scene.count(closed, 'users'), 0)
    } finally {
      await closed.close()
    }
  })

  for (const field of ['email', 'password', 'password_confirm'])
    for (const [name, value] of missing)
      test(`2: ${field} is ${name}`, async () => {
        assertRefused(await register(scene.registration({ [field]: value })), 400, fieldsText)
      })

  test('2 before 3: a missing confirmation is said before a bad address', async () => {
    assertRefused(await register({ email: 'bez-malpy', password: 'krótkie' }), 400, fieldsText)
  })

  for (const email of [
    'a',
    'a@b',
    'a@b@c.pl',
    'a b@c.pl',
    '@c.pl',
    'a@.',
    'a@c.',
    'a\u0007@c.pl',
    'a@c.pl\u0000'.replace('\u0000', '\u001f'),
    `${'a'.repeat(250)}@c.pl`,
  ])
    test(`3 before 4: ${JSON.stringify(email.slice(0, 20))} is not an address`, async () => {
      assertRefused(
        await register({ email, password: 'a', password_confirm: 'b' }),
        400,
        'Invalid email format',
      )
    })

  test('3: 254 characters are an address, 255 are not', async () => {
    const longest = `${scene.newAddress().split('@')[0] ?? ''}${'a'.repeat(254)}`.slice(0, 249) + '@b.pl'
    assert.equal(longest.length, 254)
    assert.equal((await register(scene.registration({ email: longest }))).status, 201)
    assertRefused(await register(scene.registration({ email: `a${longest}` })), 400, 'Invalid email format')
  })

  test('4 before 5: a short or long password is said before a differing confirmation', async () => {
    const short = { password: '1234567', password_confirm: 'inne' }
    assertRefused(await register(scene.registration(short)), 400, 'Password must be at least 8 characters')
    const long = { password: 'ą'.repeat(129), password_confirm: 'inne' }
    assertRefused(await register(scene.registration(long)), 400, 'Password must be at most 128 characters')
  })

  test('4: lengths are code points of the normal form', async () => {
    const eight = '🦊🐻🐼🐨🐯🦁🐮🐷'
    const decomposed = 'ó'.normalize('NFD').repeat(4)
    assert.equal(
      (await register(scene.registration({ password: eight, password_confirm: eight }))).status,
      201,
    )
    for (const password of ['🦊🐻🐼🐨', decomposed])
      assertRefused(
        await register(scene.registration({ password, password_confirm: password })),
        400,
        'Password must be at least 8 characters',
      )
  })

  test('5 before 6: a differing confirmation is said before a weak password', async () => {
    const json = scene.registration({ password: 'haslo123', password_confirm: 'haslo124' })
    assertRefused(await register(json), 400, 'Passwords do not match')
  })

  for (const password of ['haslo123', 'dawnotemu1', 'kasiaiwacek7'])
    test(`6 before 8: ${password} is weak, also for an address that is taken`, async () => {
      const email = 'kasia.iwacek@example.test'
      await app.app.auth.createConfirmed({ email, password: scene.newPassword() })
      const json = { email, password, password_confirm: password }
      assertRefused(await register(json), 400, weakText, 'WEAK_PASSWORD')
    })

  for (const status of ['active', 'pending', 'deactivated', 'deleting'])
    test(`8: the address of an account that is ${status} is taken`, async () => {
      const { id, email } = await scene.createAccount(app)
      await scene.setUser(app, id, `status = '${status}'`)
      assertRefused(await register(scene.registration({ email })), 409, 'Email already registered')
    })

  test('8: ten registrations of one address at once: one 201, nine 409', async () => {
    const email = scene.newAddress()
    const answers = await Promise.all(
      Array.from({ length: 10 }, () => register(scene.registration({ email }))),
    )
    assert.deepEqual(answers.map(({ status }) => status).sort(), [201, ...Array<number>(9).fill(409)])
    for (const answer of answers.filter(({ status }) => status === 409))
      assertRefused(answer, 409, 'Email already registered')
    assert.equal(await scene.count(app, 'users where email = $1', [email]), 1)
    assert.equal(await scene.count(app, 'emails where recipient = $1', [email]), 1)
  })

  test('ok: the message alone, no tokens, unknown keys ignored', async () => {
    const json = scene.registration({ is_admin: true, credits_balance: 1e6, __proto__x: 1 })
    const answer = await register(json)
    assert.equal(answer.status, 201)
    assert.deepEqual(answer.body, {
      message: `${registered} You can log in immediately after confirmation.`,
    })
    const [user] = await scene.rows(
      app,
      'select is_admin, status, email_confirmed, terms_version from users where email = $1',
      [json['email']],
    )
    assert.deepEqual(user, { is_admin: false, status: 'active', email_confirmed: false, terms_version: '1' })
  })

  test('mode beta: the account waits for approval, and its login says so', async () => {
    const beta = await startTestApp({ env: { ...env, REGISTRATION_MODE: 'beta' }, work: false })
    try {
      const json = scene.registration()
      const account = { email: String(json['email']), password: String(json['password']) }
      const answer = await beta.call('POST', '/auth/register', { json })
      assert.equal(answer.status, 201)
      assert.deepEqual(answer.body, {
        message: `${registered} You can log in once your account is approved.`,
      })
      assertRefused(await scene.login(beta, account), 403, unconfirmedText, 'EMAIL_NOT_CONFIRMED')
      const [user] = await scene.rows<{ id: number; status: string }>(beta, 'select id, status from users')
      assert.equal(user?.status, 'pending')
      const token = await scene.plantConfirmToken(beta, user.id, account.email)
      assert.equal((await beta.call('POST', `/auth/confirm-email/${token}`)).status, 200)
      const waiting = 'Your account is awaiting approval. We will e-mail you when it is ready.'
      assertRefused(await scene.login(beta, account), 403, waiting)
      await scene.setUser(beta, user.id, "status = 'active'")
      assert.equal((await scene.login(beta, account)).status, 200)
    } finally {
      await beta.close()
    }
  })
})

describe('creating an account', () => {
  test('a failing initial grant leaves no account, no token, no mail behind', async () => {
    const own = await startTestApp({ env, work: false })
    own.expectErrors()
    try {
      await scene.rows(
        own,
        `create function refuse() returns trigger language plpgsql as $$ begin raise 'no grant today'; end $$;
         create trigger refuse before insert on credit_lots for each row execute function refuse()`,
      )
      const json = scene.registration()
      const failed = await own.call('POST', '/auth/register', { json })
      assert.equal(failed.status, 500)
      assert.doesNotMatch(failed.text, /no grant today/)
      for (const table of ['users', 'mail_tokens', 'emails', 'pgboss.job'])
        assert.equal(await scene.count(own, table), 0, table)
      await scene.rows(own, 'drop trigger refuse on credit_lots')
      assert.equal((await own.call('POST', '/auth/register', { json })).status, 201)
      assert.equal(await scene.count(own, 'credit_lots'), 1)
    } finally {
      await own.close()
    }
  })

  test('one account for all spellings of its address', async () => {
    const word = scene.newAddress().split('@')[0] ?? ''
    const stored = `łóś.${word}@example.test`
    const password = scene.newPassword()
    const spelling = `  ŁÓŚ.${word.toUpperCase()}@EXAMPLE.test\n`.normalize('NFD')
    const json = { email: spelling, password, password_confirm: password }
    assert.equal((await register(json)).status, 201)
    const [user] = await scene.rows<{ id: number; email: string }>(
      app,
      'select id, email from users where email = $1',
      [stored],
    )
    assert.equal(user?.email, stored)
    await scene.setUser(app, user.id, 'email_confirmed = true')
    for (const email of [
      stored,
      stored.toUpperCase(),
      ` ${stored}`,
      `${stored}\t`,
      stored.normalize('NFD'),
    ]) {
      assertRefused(await register({ ...json, email }), 409, 'Email already registered')
      assert.equal((await scene.login(app, { email, password })).status, 200)
    }
  })

  test('the new account has its trial and its first points', async () => {
    const account = await app.signUp()
    const { body } = await app.call('GET', '/auth/me', { token: account.accessToken })
    const days = (Date.parse(String(body['trial_expires_at'])) - Date.now()) / 86_400_000
    assert.ok(days > 13 && days <= 14, `${days} days`)
    assert.deepEqual(
      [body['trial_is_active'], body['can_generate'], body['subscription_is_active']],
      [true, true, false],
    )
    assert.deepEqual(
      [body['subscription_plan'], body['subscription_source'], body['subscription_expires_at']],
      [null, null, null],
    )
    assert.equal(body['credits_balance'], 10)
  })
})
