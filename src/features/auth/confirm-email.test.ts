import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import * as scene from '../../../test/account-scene.ts'
import { startTestApp, until, type TestApp } from '../../../test/app.ts'

let app: TestApp
before(async () => {
  app = await startTestApp({ env: { RATELIMIT_ENABLED: 'false' } })
})
after(() => app.close())

const json = { accept: 'application/json' }
const confirmedText = 'Email confirmed successfully. You can now log in.'
const invalidText = 'Invalid or expired confirmation link'

interface Registered {
  id: number
  email: string
  password: string
  /** Path of the mailed link. */
  path: string
}

const register = async (): Promise<Registered> => {
  const fields = scene.registration()
  const email = String(fields['email'])
  assert.equal((await app.call('POST', '/auth/register', { json: fields })).status, 201)
  const link = await until(async () => (await app.outbox(email, 'confirm_email'))[0]?.links[0], 'the mail')
  assert.equal(new URL(link).port, new URL(app.url).port)
  const [user] = await scene.rows<{ id: number }>(app, 'select id from users where email = $1', [email])
  assert.ok(user)
  return { id: user.id, email, password: String(fields['password']), path: new URL(link).pathname }
}

const isConfirmed = async (id: number): Promise<unknown> =>
  (await scene.rows(app, 'select email_confirmed from users where id = $1', [id]))[0]?.['email_confirmed']

const mails = (id: number, kind: string) =>
  scene.count(app, 'emails where user_id = $1 and kind = $2', [id, kind])

const firstLink = (page: string): string => /<a [^>]*href="([^"]*)"/.exec(page)?.[1] ?? ''

test('the mail goes to the registered address, with the path that stays', async () => {
  const { path } = await register()
  assert.match(path, /^\/auth\/confirm-email\/[A-Za-z0-9_-]{43}$/)
})

test('GET and HEAD show the page and change nothing, however often and whatever else they accept', async () => {
  const { id, path } = await register()
  for (const accept of [
    'text/html',
    '*/*',
    'text/html, application/json',
    'application/json, text/html;q=0.1',
  ])
    for (const method of ['GET', 'HEAD']) {
      const answer = await app.call(method, path, { headers: { accept } })
      assert.equal(answer.status, 200)
      assert.equal(answer.headers.get('content-type'), 'text/html; charset=utf-8')
      if (method === 'GET') {
        assert.match(answer.text, /<h1>Potwierdź swój adres e-mail<\/h1>/)
        assert.match(answer.text, new RegExp(`<form method="post" action="${path}">`))
        assert.match(answer.text, />Potwierdź konto</)
      }
    }
  assert.equal((await app.call('HEAD', path, { headers: json })).status, 200)
  assert.equal(await isConfirmed(id), false)
})

test('POST confirms once, with a page; a second one is the same 200 without a second mail', async () => {
  const { path, ...account } = await register()
  for (const _ of [1, 2]) {
    const answer = await app.call('POST', path)
    assert.equal(answer.status, 200)
    assert.equal(answer.headers.get('content-type'), 'text/html; charset=utf-8')
    assert.match(answer.text, /<img alt="DawnoTemu Logo" src="\/icons\/logo\.png"/)
    assert.match(answer.text, /<h1>[^<]*Twój email został pomyślnie zweryfikowany!/)
    assert.equal(firstLink(answer.text), 'dawnotemu://login')
    assert.match(answer.text, />Przejdź do logowania</)
  }
  assert.equal(await mails(account.id, 'email_confirmed'), 1)
  assert.equal((await scene.login(app, account)).status, 200)
})

test('a form posted by a browser confirms', async () => {
  const { id, path } = await register()
  const headers = { 'content-type': 'application/x-www-form-urlencoded', accept: 'text/html' }
  assert.equal((await app.call('POST', path, { headers, body: '' })).status, 200)
  assert.equal(await isConfirmed(id), true)
})

test('POST twice at once: 200 and 200, one mail', async () => {
  const { id, path } = await register()
  const answers = await Promise.all(Array.from({ length: 5 }, () => app.call('POST', path)))
  assert.deepEqual(
    answers.map(({ status }) => status),
    Array<number>(5).fill(200),
  )
  assert.equal(await mails(id, 'email_confirmed'), 1)
})

for (const method of ['GET', 'POST'])
  test(`${method} that accepts JSON and no HTML confirms and answers JSON`, async () => {
    const { id, path } = await register()
    for (const _ of [1, 2]) {
      const answer = await app.call(method, path, { headers: json })
      assert.equal(answer.status, 200)
      assert.deepEqual(answer.body, { message: confirmedText })
    }
    assert.equal(await isConfirmed(id), true)
    assert.equal(await mails(id, 'email_confirmed'), 1)
  })

for (const status of ['pending', 'deactivated'])
  test(`confirming leaves an account that is ${status} as it was`, async () => {
    const { id, path } = await register()
    await scene.setUser(app, id, `status = '${status}'`)
    assert.equal((await app.call('POST', path)).status, 200)
    const [user] = await scene.rows(app, 'select status, email_confirmed from users where id = $1', [id])
    assert.deepEqual(user, { status, email_confirmed: true })
  })

test('a link of an account that is being deleted is dead', async () => {
  const { id, path } = await register()
  await scene.setUser(app, id, "status = 'deleting'")
  scene.assertRefused(await app.call('POST', path, { headers: json }), 400, invalidText)
  assert.equal(await isConfirmed(id), false)
})

const assertDead = async (path: string): Promise<void> => {
  for (const method of ['GET', 'POST']) {
    const page = await app.call(method, path)
    assert.equal(page.status, 400, `${method} ${path}`)
    assert.equal(page.headers.get('content-type'), 'text/html; charset=utf-8')
    assert.match(page.text, /<html lang="pl">/)
    assert.match(page.text, /<h1>Wystąpił błąd<\/h1>/)
    assert.match(page.text, /Link jest nieprawidłowy lub wygasł\./)
    assert.match(page.text, /pomoc@dawnotemu\.app/)
    assert.doesNotMatch(page.text, /<form/)
    scene.assertRefused(await app.call(method, path, { headers: json }), 400, invalidText)
  }
}

test('an unknown, malformed, long or foreign token is a dead link', async () => {
  const { path, id } = await register()
  const token = path.split('/').at(-1) ?? ''
  const altered = (token.startsWith('A') ? 'B' : 'A') + token.slice(1)
  for (const bad of [altered, token.slice(1), `${token}A`, 'x', '%F0%9F%A6%8A', "'--", 'a'.repeat(512)])
    await assertDead(`/auth/confirm-email/${bad}`)
  await scene.rows(
    app,
    "update mail_tokens set kind = 'reset', address = null, credential_version = 1 where user_id = $1",
    [id],
  )
  await assertDead(path)
})

test('a newer link voids an older one', async () => {
  const { id, email, path } = await register()
  await scene.rows(app, 'update mail_tokens set voided_at = now() where user_id = $1', [id])
  const newer = await scene.plantConfirmToken(app, id, email)
  await assertDead(path)
  assert.equal((await app.call('POST', `/auth/confirm-email/${newer}`)).status, 200)
})

test('the registration link cannot confirm an address set later', async () => {
  const { id, path } = await register()
  await scene.setUser(app, id, `email = 'later-${id}@example.test'`)
  await assertDead(path)
  assert.equal(await isConfirmed(id), false)
})

test('a pending address becomes the account’s; the former one is told; status and sessions stay', async () => {
  const account = await scene.createAccount(app)
  const wanted = scene.newAddress()
  await scene.setUser(app, account.id, `pending_email = '${wanted}', pending_email_at = now()`)
  const token = await scene.plantConfirmToken(app, account.id, wanted)
  assert.equal((await app.call('POST', `/auth/confirm-email/${token}`)).status, 200)
  const { body } = await app.call('GET', '/auth/me', { token: account.accessToken })
  assert.deepEqual([body['email'], body['pending_email'], body['email_confirmed']], [wanted, null, true])
  const [told] = await scene.rows(
    app,
    "select recipient from emails where user_id = $1 and kind = 'email_changed'",
    [account.id],
  )
  assert.equal(told?.['recipient'], account.email)
  const again = await app.call('POST', `/auth/confirm-email/${token}`)
  assert.equal(again.status, 200)
  assert.equal(await mails(account.id, 'email_changed'), 1)
})

test('a pending address that another account owns by now: 409, the change is dropped', async () => {
  const wanted = scene.newAddress()
  const account = await scene.createAccount(app)
  await scene.setUser(app, account.id, `pending_email = '${wanted}', pending_email_at = now()`)
  const token = await scene.plantConfirmToken(app, account.id, wanted)
  await scene.createAccount(app, wanted)
  const page = await app.call('POST', `/auth/confirm-email/${token}`)
  assert.equal(page.status, 409)
  assert.match(page.text, /Ten adres jest już używany\./)
  const [user] = await scene.rows(app, 'select email, pending_email from users where id = $1', [account.id])
  assert.deepEqual(user, { email: account.email, pending_email: null })
})

test('two accounts confirm the same pending address at once: one 200, one 409', async () => {
  const wanted = scene.newAddress()
  const accounts = await Promise.all([scene.createAccount(app), scene.createAccount(app)])
  const tokens = await Promise.all(
    accounts.map(async ({ id }) => {
      await scene.setUser(app, id, `pending_email = '${wanted}', pending_email_at = now()`)
      return scene.plantConfirmToken(app, id, wanted)
    }),
  )
  const answers = await Promise.all(
    tokens.map((token) => app.call('POST', `/auth/confirm-email/${token}`, { headers: json })),
  )
  assert.deepEqual(answers.map(({ status }) => status).sort(), [200, 409])
  const loser = answers.find(({ status }) => status === 409)
  assert.deepEqual(loser?.body, { error: 'Email is already in use by another account.' })
  assert.equal(await scene.count(app, 'users where email = $1', [wanted]), 1)
  assert.equal(await scene.count(app, 'users where pending_email = $1', [wanted]), 0)
})

test('landing pages carry exactly the headers of their secret address', async () => {
  const { path } = await register()
  const dead = '/auth/confirm-email/x'
  const answers = await Promise.all([
    app.call('GET', path),
    app.call('HEAD', path),
    app.call('GET', dead),
    app.call('POST', dead),
  ])
  answers.push(await app.call('POST', path))
  for (const { headers } of answers) {
    assert.equal(headers.get('cache-control'), 'no-store')
    assert.equal(headers.get('referrer-policy'), 'no-referrer')
    assert.equal(headers.get('x-content-type-options'), 'nosniff')
    assert.equal(headers.get('x-robots-tag'), 'noindex')
    assert.equal(
      headers.get('content-security-policy'),
      "default-src 'none'; style-src 'self'; font-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    )
    assert.equal(headers.get('set-cookie'), null)
  }
})

test('a link lives 24 h by the application’s clock, a used one answers the same 200 within them', async () => {
  const [live, used, late] = [await register(), await register(), await register()]
  assert.equal((await app.call('POST', used.path)).status, 200)
  await scene.rows(
    app,
    "update mail_tokens set expires_at = expires_at + interval '1 day' where user_id = $1",
    [late.id],
  )
  await advanceAlmostADay()
  assert.equal((await app.call('GET', live.path)).status, 200)
  assert.equal((await app.call('POST', used.path)).status, 200)
  await scene.advanceClock(app, 60)
  await assertDead(live.path)
  await assertDead(used.path)
  assert.equal(await isConfirmed(live.id), false)
  assert.equal((await app.call('POST', late.path)).status, 200)
})

const advanceAlmostADay = () => scene.advanceClock(app, 86_400 - 30)
