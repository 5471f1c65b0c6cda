import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import * as scene from '../../../test/account-scene.ts'
import { startTestApp, until, type Account, type Answer, type TestApp } from '../../../test/app.ts'

let app: TestApp
before(async () => {
  app = await startTestApp()
})
after(() => app.close())

const doneText = 'Password has been reset successfully. You can now log in with your new password.'
const deadText = 'Invalid or expired reset link'
const weakText = 'This password is easy to guess. Use a longer phrase or less common words.'
const good = 'nowy srebrny czajnik 41'
const pair = (password: string, confirm = password) => ({
  new_password: password,
  new_password_confirm: confirm,
})

const asJson = (path: string, json: unknown): Promise<Answer> => app.call('POST', path, { json })
const asForm = (path: string, fields: Record<string, string>): Promise<Answer> =>
  app.call('POST', path, {
    body: new URLSearchParams(fields).toString(),
    headers: { 'content-type': 'application/x-www-form-urlencoded', accept: 'text/html,*/*;q=0.8' },
  })

/** Asks for a link and takes the newest of `count` from the mail. */
const requestLink = async (email: string, count = 1): Promise<string> => {
  const asked = await app.call('POST', '/auth/reset-password-request', { json: { email } })
  assert.equal(asked.status, 200, asked.text)
  const link = await until(async () => {
    const mails = await app.outbox(email, 'reset_password')
    return mails.length === count ? mails[0]?.links[0] : null
  }, 'the reset mail')
  return new URL(link).pathname
}

const passwordOf = async (account: Account): Promise<unknown> =>
  (
    await scene.rows(app, 'select password_hash, credential_version from users where id = $1', [account.id])
  )[0]

const assertDead = async (path: string): Promise<void> => {
  const page = await app.call('GET', path)
  assert.equal(page.status, 400)
  assert.equal(page.headers.get('content-type'), 'text/html; charset=utf-8')
  assert.match(page.text, /<html lang="pl">/)
  assert.match(page.text, /Link do zmiany hasła jest nieprawidłowy lub wygasł\./)
  assert.doesNotMatch(page.text, /<form/)
  scene.assertRefused(await asJson(path, pair(good)), 400, deadText)
  const form = await asForm(path, pair(good))
  assert.equal(form.status, 400)
  assert.equal(form.headers.get('content-type'), 'text/html; charset=utf-8')
  assert.match(form.text, /Link do zmiany hasła jest nieprawidłowy lub wygasł\./)
  assert.doesNotMatch(form.text, /<form/)
}

test('GET of a live link: the form, however often; HEAD too; nothing changes', async () => {
  const account = await scene.createAccount(app)
  const path = await requestLink(account.email)
  assert.match(path, /^\/auth\/reset-password\/[A-Za-z0-9_-]{43}$/)
  for (const method of ['GET', 'HEAD', 'GET'])
    for (const accept of ['text/html', 'application/json', '*/*']) {
      const answer = await app.call(method, path, { headers: { accept } })
      assert.equal(answer.status, 200)
      assert.equal(answer.headers.get('content-type'), 'text/html; charset=utf-8')
      if (method === 'HEAD') continue
      assert.match(answer.text, /Resetuj hasło/)
      assert.match(answer.text, new RegExp(`<form method="post" action="${path}">`))
      for (const name of ['new_password', 'new_password_confirm'])
        assert.match(answer.text, new RegExp(`<input[^>]* name="${name}"`))
      assert.doesNotMatch(answer.text, /role="alert"/)
    }
  assert.equal((await scene.login(app, account)).status, 200)
  assert.equal((await asJson(path, pair(good))).status, 200)
})

describe('POST, its refusals in the order of the rows, as JSON and as a page', () => {
  const dead = `/auth/reset-password/${'x'.repeat(43)}`
  const rows: [
    row: string,
    isLive: boolean,
    fields: Record<string, string>,
    text: string,
    page: string,
    code?: string,
  ][] = [
    [
      '1: no fields',
      false,
      {},
      'New password and confirmation are required',
      'Nowe hasło i potwierdzenie są wymagane\\.',
    ],
    [
      '1: no confirmation, although short',
      false,
      { new_password: 'a', new_password_confirm: '' },
      'New password and confirmation are required',
      'Nowe hasło i potwierdzenie są wymagane\\.',
    ],
    [
      '2: short, although differing',
      false,
      pair('1234567', 'inne'),
      'Password must be at least 8 characters',
      'Hasło musi mieć co najmniej 8 znaków\\.',
    ],
    [
      '2: long, although differing',
      false,
      pair('ą'.repeat(129), 'inne'),
      'Password must be at most 128 characters',
      'Hasło może mieć najwyżej 128 znaków\\.',
    ],
    [
      '3: differing, although the link is dead',
      false,
      pair('haslo123', 'haslo124'),
      'Passwords do not match',
      'Hasła nie są takie same\\.',
    ],
    [
      '4: a dead link, although weak',
      false,
      pair('haslo123'),
      deadText,
      'Link do zmiany hasła jest nieprawidłowy lub wygasł\\.',
    ],
    [
      '5: weak',
      true,
      pair('haslo123'),
      weakText,
      'To hasło łatwo odgadnąć\\. Użyj dłuższego zwrotu lub rzadszych słów\\.',
      'WEAK_PASSWORD',
    ],
  ]
  for (const [row, isLive, fields, text, page, code] of rows)
    test(row, async () => {
      const account = await scene.createAccount(app)
      const path = isLive ? await requestLink(account.email) : dead
      const before = await passwordOf(account)
      scene.assertRefused(await asJson(path, fields), 400, text, code)
      const shown = await asForm(path, fields)
      assert.equal(shown.status, 400)
      assert.equal(shown.headers.get('content-type'), 'text/html; charset=utf-8')
      assert.match(shown.text, new RegExp(page))
      assert.equal(/<form/.test(shown.text), text !== deadText, 'the form stays unless the link is dead')
      if (text !== deadText) assert.match(shown.text, /<p class="error" role="alert">/)
      assert.deepEqual(await passwordOf(account), before)
      if (isLive) assert.equal((await asJson(path, pair(good))).status, 200, 'the link lives on')
    })
})

test('JSON: the new password works, every session is over, the mail and the events are written', async () => {
  const account = await scene.createAccount(app)
  const other = await scene.signIn(app, account)
  const path = await requestLink(account.email)
  const { status, body } = await asJson(path, pair(good))
  assert.deepEqual([status, body], [200, { message: doneText }])
  for (const { accessToken, refreshToken } of [account, other]) {
    const answer = await app.call('GET', '/auth/me', { token: accessToken })
    scene.assertRefused(answer, 401, 'Token is no longer valid, please log in again')
    const refreshed = await app.call('POST', '/auth/refresh', { json: { refresh_token: refreshToken } })
    scene.assertRefused(refreshed, 401, 'Session is no longer valid. Please log in again.')
  }
  assert.equal((await scene.login(app, { ...account, password: good })).status, 200)
  scene.assertRefused(await scene.login(app, account), 401, 'Invalid credentials')
  assert.equal(
    await scene.count(app, "sessions where user_id = $1 and end_reason = 'password_reset'", [account.id]),
    2,
  )
  const events = await scene.rows(
    app,
    "select kind, count(*)::int from auth_events where user_id = $1 and kind <> 'sign_in' group by kind order by kind",
    [account.id],
  )
  assert.deepEqual(events, [
    { kind: 'password_reset', count: 1 },
    { kind: 'session_ended', count: 2 },
  ])
  await until(async () => (await app.outbox(account.email, 'password_changed'))[0], 'the notice')
})

test('form: the done page with the app as its first link and no form', async () => {
  const account = await scene.createAccount(app)
  const { status, headers, text } = await asForm(
    await requestLink(account.email),
    pair(' z odstępami i ą+&= '),
  )
  assert.equal(status, 200)
  assert.equal(headers.get('content-type'), 'text/html; charset=utf-8')
  assert.match(text, /Hasło zostało zresetowane\. Możesz się teraz zalogować\./)
  assert.match(text, /<a [^>]*href="dawnotemu:\/\/login"[^>]*>Przejdź do logowania<\/a>/)
  assert.doesNotMatch(text, /<form/)
  assert.equal((await scene.login(app, { ...account, password: ' z odstępami i ą+&= ' })).status, 200)
})

describe('a dead link', () => {
  test('used', async () => {
    const path = await requestLink((await scene.createAccount(app)).email)
    assert.equal((await asJson(path, pair(good))).status, 200)
    await assertDead(path)
  })

  test('superseded by a newer one', async () => {
    const { email } = await scene.createAccount(app)
    const older = await requestLink(email)
    const newer = await requestLink(email, 2)
    await assertDead(older)
    assert.equal((await app.call('GET', newer)).status, 200)
  })

  test('of a password that was changed since', async () => {
    const account = await scene.createAccount(app)
    const path = await requestLink(account.email)
    const json = { current_password: account.password, ...pair(good) }
    assert.equal((await app.call('PATCH', '/auth/me', { token: account.accessToken, json })).status, 200)
    await assertDead(path)
  })

  test('of an address that was changed since', async () => {
    const account = await scene.createAccount(app)
    const path = await requestLink(account.email)
    const wanted = scene.newAddress()
    await scene.setUser(app, account.id, `pending_email = '${wanted}', pending_email_at = now()`)
    const token = await scene.plantConfirmToken(app, account.id, wanted)
    assert.equal((await app.call('POST', `/auth/confirm-email/${token}`)).status, 200)
    await assertDead(path)
  })

  test('of the other kind, in both directions', async () => {
    const { id, email } = await scene.createAccount(app)
    const confirm = await scene.plantConfirmToken(app, id, email)
    await assertDead(`/auth/reset-password/${confirm}`)
    const reset = (await requestLink(email)).split('/').at(-1) ?? ''
    const answer = await app.call('POST', `/auth/confirm-email/${reset}`, {
      headers: { accept: 'application/json' },
    })
    scene.assertRefused(answer, 400, 'Invalid or expired confirmation link')
  })

  test('of an account that is being deleted', async () => {
    const account = await scene.createAccount(app)
    const path = await requestLink(account.email)
    await scene.setUser(app, account.id, "status = 'deleting'")
    await assertDead(path)
  })

  for (const bad of ['x', 'a'.repeat(512), '%F0%9F%A6%8A', "'--"])
    test(`unknown: ${bad.slice(0, 20)}`, () => assertDead(`/auth/reset-password/${bad}`))

  test('expired: it lives one hour by the application’s clock', async () => {
    const { email } = await scene.createAccount(app)
    const path = await requestLink(email)
    await scene.advanceClock(app, 3600 - 30)
    assert.equal((await app.call('GET', path)).status, 200)
    await scene.advanceClock(app, 31)
    await assertDead(path)
  })
})

test('two posts of one link at once: one 200, one 400; one password, one notice', async () => {
  const account = await scene.createAccount(app)
  const path = await requestLink(account.email)
  const passwords = ['pierwszy mokry parasol', 'drugi suchy parasol']
  const answers = await Promise.all(passwords.map((password) => asJson(path, pair(password))))
  assert.deepEqual(answers.map(({ status }) => status).sort(), [200, 400])
  const logins = await Promise.all(passwords.map((password) => scene.login(app, { ...account, password })))
  assert.deepEqual(
    logins.map(({ status }) => status),
    answers.map(({ status }) => (status === 200 ? 200 : 401)),
  )
  assert.equal(
    await scene.count(app, "emails where user_id = $1 and kind = 'password_changed'", [account.id]),
    1,
  )
})
