import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import * as scene from '../../../test/account-scene.ts'
import { startTestApp, type Account, type Answer, type TestApp } from '../../../test/app.ts'

let app: TestApp
before(async () => {
  app = await startTestApp({ work: false })
})
after(() => app.close())

const patch = (account: { accessToken: string }, json: unknown): Promise<Answer> =>
  app.call('PATCH', '/auth/me', { token: account.accessToken, json })

const assertRefused = scene.assertRefused
const weakText = 'This password is easy to guess. Use a longer phrase or less common words.'
const good = 'nowy srebrny czajnik 41'
/** What the wire counts as missing. */
const missing: unknown[] = [undefined, null, '', 0, false, []]

/** Everything that a refused change must leave as it was. */
const stateOf = (account: Account) =>
  scene.rows(
    app,
    `select u.email, u.pending_email, u.password_hash, u.credential_version, u.updated_at,
       (select count(*) from emails e where e.user_id = u.id) as mails,
       (select count(*) from mail_tokens t where t.user_id = u.id) as links,
       (select count(*) from sessions s where s.user_id = u.id and s.ended_at is null) as sessions,
       (select count(*) from refresh_tokens r join sessions s on s.id = r.session_id where s.user_id = u.id) as tokens
     from users u where u.id = $1`,
    [account.id],
  )

describe('PATCH /auth/me, its refusals in the order of the rows', () => {
  /** `change` breaks the row named and, where it can, every later one too. */
  const rows: [
    row: string,
    change: (account: Account, other: Account) => Record<string, unknown>,
    status: number,
    text: string,
    code?: string,
  ][] = [
    ['1: bad address', () => ({ email: 'x', new_password: 'a' }), 400, 'Invalid email format'],
    ['1: long address', () => ({ email: `${'a'.repeat(250)}@b.pl` }), 400, 'Invalid email format'],
    ['2: short', () => ({ new_password: '1234567' }), 400, 'Password must be at least 8 characters'],
    [
      '2: four emoji are short',
      () => ({ new_password: '🦊🐻🐼🐨' }),
      400,
      'Password must be at least 8 characters',
    ],
    ['2: long', () => ({ new_password: 'ą'.repeat(129) }), 400, 'Password must be at most 128 characters'],
    [
      '3: no current password',
      () => ({ new_password: 'haslo123', new_password_confirm: 'inne' }),
      400,
      'Current password is required to update your profile.',
    ],
    [
      '4: wrong, although nothing is asked for',
      () => ({ current_password: 'nie to haslo' }),
      403,
      'Current password is incorrect.',
    ],
    [
      '4: wrong, although the address is taken',
      (_account, other) => ({ current_password: 'x', email: other.email, new_password: 'haslo123' }),
      403,
      'Current password is incorrect.',
    ],
    [
      '5: neither address nor new password',
      ({ password }) => ({ current_password: password, new_password_confirm: good }),
      400,
      'Provide a new email and/or password to update your profile.',
    ],
    [
      '6: address of another account, in another spelling',
      ({ password }, other) => ({
        current_password: password,
        email: ` ${other.email.toUpperCase()} `,
        new_password: 'haslo123',
      }),
      409,
      'Email is already in use by another account.',
    ],
    [
      '7: no confirmation',
      ({ password }) => ({ current_password: password, new_password: 'haslo123' }),
      400,
      'New password confirmation is required.',
    ],
    [
      '8: differing confirmation, although the same as the current one',
      ({ password }) => ({ current_password: password, new_password: password, new_password_confirm: good }),
      400,
      'New password and confirmation do not match.',
    ],
    [
      '9: the current one again',
      ({ password, email }) => ({
        current_password: password,
        new_password: password,
        new_password_confirm: password,
        email,
      }),
      400,
      'New password must be different from the current password.',
    ],
    [
      '10: weak',
      ({ password, email }) => ({
        current_password: password,
        new_password: 'haslo123',
        new_password_confirm: 'haslo123',
        email,
      }),
      400,
      weakText,
      'WEAK_PASSWORD',
    ],
    [
      '11: the own address, in another spelling',
      ({ password, email }) => ({ current_password: password, email: ` ${email.toUpperCase()}` }),
      400,
      'No changes detected. Submit a different email or password to update your profile.',
    ],
  ]
  for (const [row, change, status, text, code] of rows)
    test(`${row}: refused, nothing changed`, async () => {
      const [account, other] = [await scene.createAccount(app), await scene.createAccount(app)]
      const before = await stateOf(account)
      assertRefused(await patch(account, change(account, other)), status, text, code)
      assert.deepEqual(await stateOf(account), before)
      assert.equal((await scene.login(app, account)).status, 200)
    })

  for (const value of missing)
    test(`current_password ${JSON.stringify(value) ?? 'absent'} is missing`, async () => {
      const account = await scene.createAccount(app)
      const json = { email: scene.newAddress(), current_password: value }
      assertRefused(await patch(account, json), 400, 'Current password is required to update your profile.')
    })

  test('missing values of the other fields are as absent', async () => {
    const account = await scene.createAccount(app)
    for (const value of missing) {
      const json = { current_password: account.password, email: value, new_password: value }
      assertRefused(
        await patch(account, json),
        400,
        'Provide a new email and/or password to update your profile.',
      )
    }
  })

  for (const field of ['email', 'current_password', 'new_password', 'new_password_confirm'])
    for (const value of [5, true, { a: 1 }, ['a'], 'a\u0000b'])
      test(`${field}: ${JSON.stringify(value)} is refused by name`, async () => {
        const account = await scene.createAccount(app)
        const json = { current_password: account.password, [field]: value }
        assertRefused(await patch(account, json), 400, `Invalid value for ${field}.`)
      })

  test('parts of the new address are weak as a password too', async () => {
    const account = await scene.createAccount(app)
    const json = {
      current_password: account.password,
      email: 'bronislawa.kwiecien@example.test',
      new_password: 'bronislawakwiecien7',
      new_password_confirm: 'bronislawakwiecien7',
    }
    assertRefused(await patch(account, json), 400, weakText, 'WEAK_PASSWORD')
  })

  test('the current password in another Unicode form is the same one', async () => {
    const account = await scene.createAccount(app)
    const polish = 'żółta łódź świeci 9'
    const change = { current_password: account.password, new_password: polish, new_password_confirm: polish }
    const changed = await patch(account, change)
    assert.equal(changed.status, 200)
    const decomposed = polish.normalize('NFD')
    assert.notEqual(decomposed, polish)
    const json = { current_password: polish, new_password: decomposed, new_password_confirm: decomposed }
    // The token from before the change ends with its second.
    assertRefused(
      await patch({ accessToken: String(changed.body['access_token']) }, json),
      400,
      'New password must be different from the current password.',
    )
  })

  test('without or with a dead token 401, whatever the body says', async () => {
    assertRefused(await app.call('PATCH', '/auth/me', { json: {} }), 401, 'Authentication token is missing')
    assertRefused(await patch({ accessToken: 'x' }, { email: 'x' }), 401, 'Invalid token')
  })
})

describe('an accepted password', () => {
  test('flags, keys, tokens; the new one works, the old one does not; no link mail', async () => {
    const account = await scene.createAccount(app)
    const json = { current_password: account.password, new_password: good, new_password_confirm: good }
    const { status, body, headers } = await patch(account, json)
    assert.equal(status, 200)
    assert.deepEqual(Object.keys(body).sort(), [
      'access_token',
      'email_confirmation_required',
      'expires_in',
      'message',
      'password_updated',
      'refresh_token',
      'user',
    ])
    assert.equal(body['message'], 'Profile updated successfully.')
    assert.deepEqual([body['email_confirmation_required'], body['password_updated']], [false, true])
    assert.equal(body['expires_in'], 900)
    assert.equal(headers.get('cache-control'), 'no-store')
    assert.equal((await scene.login(app, { ...account, password: good })).status, 200)
    assertRefused(await scene.login(app, account), 401, 'Invalid credentials')
    assert.deepEqual(
      await scene.rows(app, 'select kind, recipient from emails where user_id = $1', [account.id]),
      [{ kind: 'password_changed', recipient: account.email }],
    )
    assert.equal(
      await scene.count(app, "auth_events where user_id = $1 and kind = 'password_changed'", [account.id]),
      1,
    )
  })

  test('spaces count and nothing is cut; unknown keys are ignored', async () => {
    const account = await scene.createAccount(app)
    const spaced = `  ${good}  `
    const json = {
      current_password: account.password,
      new_password: spaced,
      new_password_confirm: spaced,
      is_admin: true,
      email_confirmed: false,
    }
    const { status, body } = await patch(account, json)
    assert.equal(status, 200)
    assert.equal((body['user'] as { is_admin: boolean }).is_admin, false)
    assert.equal((await scene.login(app, { ...account, password: spaced })).status, 200)
    assertRefused(await scene.login(app, { ...account, password: good }), 401, 'Invalid credentials')
  })

  test('two changes at once: one 200, the other finds its current password outdated', async () => {
    const account = await scene.createAccount(app)
    const answers = await Promise.all(
      ['pierwszy mokry parasol', 'drugi suchy parasol'].map((password) =>
        patch(account, {
          current_password: account.password,
          new_password: password,
          new_password_confirm: password,
        }),
      ),
    )
    assert.deepEqual(answers.map(({ status }) => status).sort(), [200, 403])
    const refused = answers.find(({ status }) => status === 403)
    assert.deepEqual(refused?.body, { error: 'Current password is incorrect.' })
    const [user] = await scene.rows(app, 'select credential_version from users where id = $1', [account.id])
    assert.equal(user?.['credential_version'], 2)
  })

  test('an imported v1 hash is checked as well', async () => {
    const account = await scene.createAccount(app)
    const [{ scryptSync }, salt] = [await import('node:crypto'), 'abcdefghijklmnop']
    const key = scryptSync(account.password, salt, 64, { N: 32_768, r: 8, p: 1, maxmem: 2 ** 27 })
    await scene.setUser(app, account.id, `password_hash = 'scrypt:32768:8:1$${salt}$${key.toString('hex')}'`)
    const json = { current_password: account.password, new_password: good, new_password_confirm: good }
    assert.equal((await patch(account, json)).status, 200)
    const [user] = await scene.rows(app, 'select password_hash from users where id = $1', [account.id])
    assert.match(String(user?.['password_hash']), /^\$argon2id\$/)
  })
})
