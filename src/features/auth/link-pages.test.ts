import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { after, before, describe, test } from 'node:test'
import * as scene from '../../../test/account-scene.ts'
import { startTestApp, type Answer, type TestApp } from '../../../test/app.ts'

let app: TestApp
let limited: TestApp
before(async () => {
  app = await startTestApp({ work: false })
  app.expectErrors()
  limited = await startTestApp({
    work: false,
    // Each test speaks from an address of its own, as if behind a proxy.
    env: { RATELIMIT_ENABLED: 'true', TRUSTED_PROXY_HOPS: '1' },
  })
})
after(async () => {
  await app.close()
  await limited.close()
})

const html = { accept: 'text/html,application/xhtml+xml,*/*;q=0.8' }
const formType = { 'content-type': 'application/x-www-form-urlencoded' }
const deadReset = `/auth/reset-password/${'x'.repeat(43)}`
const deadConfirm = `/auth/confirm-email/${'x'.repeat(43)}`

const plantResetToken = async (on: TestApp, userId: number): Promise<string> => {
  const token = randomBytes(32).toString('base64url')
  await scene.rows(
    on,
    `insert into mail_tokens (user_id, kind, salt, token_hash, credential_version, created_at, expires_at)
     select id, 'reset', $2, $3, credential_version, now(), now() + interval '1 hour' from users where id = $1`,
    [userId, randomBytes(32), createHash('sha256').update(token).digest()],
  )
  return `/auth/reset-password/${token}`
}

const assertPage = (answer: Answer, status: number, reason: RegExp): void => {
  assert.equal(answer.status, status, answer.text)
  assert.match(answer.text, /<html lang="pl">/)
  assert.match(answer.text, reason)
  const expected = {
    'content-type': 'text/html; charset=utf-8',
    'cache-control': 'no-store',
    'referrer-policy': 'no-referrer',
    'x-content-type-options': 'nosniff',
    'x-robots-tag': 'noindex',
    'content-security-policy':
      "default-src 'none'; style-src 'self'; font-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    'set-cookie': null,
  }
  for (const [name, value] of Object.entries(expected)) assert.equal(answer.headers.get(name), value, name)
}

test('every page of both links carries the headers of its secret address', async () => {
  const account = await scene.createAccount(app)
  const path = await plantResetToken(app, account.id)
  const weak = 'new_password=haslo123&new_password_confirm=haslo123'
  assertPage(await app.call('GET', path), 200, /Resetuj hasło/)
  assertPage(await app.call('GET', deadReset), 400, /Wystąpił błąd/)
  assertPage(await app.call('GET', deadConfirm), 400, /Wystąpił błąd/)
  assertPage(await app.call('POST', path, { headers: formType, body: weak }), 400, /łatwo odgadnąć/)
  const good = new URLSearchParams({
    new_password: 'mokry parasol 7',
    new_password_confirm: 'mokry parasol 7',
  })
  const done = await app.call('POST', path, { headers: formType, body: good.toString() })
  assertPage(done, 200, /Hasło zostało zresetowane/)
})

describe('a form that is none', () => {
  const bodies: [what: string, body: string | Uint8Array<ArrayBuffer>, status: number, type?: string][] = [
    ['a field twice', 'new_password=a&new_password=b&new_password_confirm=a', 400],
    ['a broken escape', 'new_password=%zz&new_password_confirm=%zz', 400],
    ['an escape that is no UTF-8', 'new_password=%ff%fe&new_password_confirm=x', 400],
    ['bytes that are no UTF-8', new Uint8Array([0x61, 0x3d, 0xff]), 400],
    ['NUL', 'new_password=abcdefgh%00&new_password_confirm=abcdefgh%00', 400],
    ['too much', `new_password=${'x'.repeat(70_000)}`, 413],
    ['another type', 'a', 415, 'text/plain'],
  ]
  for (const [what, body, status, type] of bodies)
    test(`${what}: ${status}, a page for a browser, JSON for others`, async () => {
      const headers = { 'content-type': type ?? formType['content-type'] }
      assertPage(
        await app.call('POST', deadReset, { headers: { ...headers, ...html }, body }),
        status,
        /Nie udało się odczytać tego formularza/,
      )
      if (type === undefined) return
      const other = await app.call('POST', deadReset, { headers, body })
      assert.equal(other.status, status)
      assert.equal(typeof other.body['error'], 'string')
    })

  test('fields of other names, `__proto__` among them, change nothing', async () => {
    const body =
      '__proto__=a&constructor=b&new_password=mokry+parasol+7&new_password_confirm=mokry+parasol+7&=&&x'
    assertPage(
      await app.call('POST', deadReset, { headers: formType, body }),
      400,
      /Link do zmiany hasła jest nieprawidłowy lub wygasł/,
    )
  })

  test('JSON of a wrong type is refused by the name of its field', async () => {
    for (const value of [5, true, ['a'], { a: 1 }, 'a\u0000b']) {
      const json = { new_password: value, new_password_confirm: 'x' }
      scene.assertRefused(await app.call('POST', deadReset, { json }), 400, 'Invalid value for new_password.')
    }
    for (const [body, text] of [
      ['[]', 'Invalid request body'],
      ['{', 'Invalid JSON'],
    ] as const) {
      const headers = { 'content-type': 'application/json' }
      scene.assertRefused(await app.call('POST', deadReset, { headers, body }), 400, text)
    }
  })

  test('nothing else under /auth takes a form', async () => {
    for (const path of ['/auth/reset-password-request', '/auth/resend-confirmation', '/auth/login']) {
      const answer = await app.call('POST', path, { headers: { ...formType, ...html }, body: 'email=a@b.pl' })
      scene.assertRefused(answer, 415, 'Content-Type must be application/json')
    }
  })
})

describe('limits', () => {
  let lastAddress = 0
  const newClient = () => {
    lastAddress += 1
    return { 'x-forwarded-for': `192.0.2.${lastAddress}` }
  }
  const assertLimited = (answer: Answer): void => {
    assert.equal(answer.status, 429)
    const seconds = Number(answer.headers.get('retry-after'))
    assert.ok(Number.isInteger(seconds) && seconds >= 1)
    assert.match(answer.headers.get('ratelimit') ?? '', /;r=0;t=\d+$/)
  }

  test('opening the reset page 20 times leaves the POST quota: 5 posts of any links, then 429', async () => {
    const client = newClient()
    const { id } = await scene.createAccount(limited)
    const path = await plantResetToken(limited, id)
    for (let opened = 0; opened < 20; opened += 1)
      assert.equal((await limited.call('GET', path, { headers: client })).status, 200)
    for (let left = 4; left >= 0; left -= 1) {
      const target = left % 2 === 0 ? path : deadReset
      const answer = await limited.call('POST', target, { headers: client, json: {} })
      assert.equal(answer.status, 400)
      assert.equal(answer.headers.get('ratelimit-policy'), '"reset";q=5;w=300')
      assert.match(answer.headers.get('ratelimit') ?? '', new RegExp(`^"reset";r=${left};t=\\d+$`))
    }
    const refused = await limited.call('POST', path, { headers: client, json: {} })
    assertLimited(refused)
    assert.deepEqual(Object.keys(refused.body).sort(), ['error', 'retry_after'])
    const shown = await limited.call('POST', path, { headers: { ...client, ...formType }, body: 'a=b' })
    assertLimited(shown)
    assertPage(shown, 429, /Za dużo prób/)
    assert.equal((await limited.call('GET', path, { headers: client })).status, 200)
    assert.equal((await limited.call('POST', path, { headers: newClient(), json: {} })).status, 400)
  })

  test('30 openings and confirmations within 5 min, both links together', async () => {
    const client = newClient()
    const statuses: number[] = []
    for (let opened = 0; opened < 10; opened += 1)
      for (const [method, path] of [
        ['GET', deadReset],
        ['GET', deadConfirm],
        ['POST', deadConfirm],
      ] as const) {
        const answer = await limited.call(method, path, { headers: client })
        statuses.push(answer.status)
        assert.equal(answer.headers.get('ratelimit-policy'), '"link";q=30;w=300')
      }
    assert.deepEqual(statuses, Array<number>(30).fill(400))
    const page = await limited.call('GET', deadReset, { headers: { ...client, ...html } })
    assertLimited(page)
    assertPage(page, 429, /Za dużo prób/)
    const json = await limited.call('POST', deadConfirm, {
      headers: { ...client, accept: 'application/json' },
    })
    assertLimited(json)
    assert.deepEqual(Object.keys(json.body).sort(), ['error', 'retry_after'])
    await scene.advanceClock(limited, 301)
    assert.equal((await limited.call('GET', deadReset, { headers: client })).status, 400)
  })

  test('profile: 5 a minute and user; resend and reset-request: 5 in 5 min and address', async () => {
    const account = await scene.createAccount(limited)
    const change = () =>
      limited.call('PATCH', '/auth/me', { token: account.accessToken, headers: newClient(), json: {} })
    for (let sent = 0; sent < 5; sent += 1) assert.equal((await change()).status, 400)
    const refused = await change()
    assertLimited(refused)
    assert.equal(refused.headers.get('ratelimit-policy'), '"profile";q=5;w=60')
    for (const [name, path] of [
      ['resend', '/auth/resend-confirmation'],
      ['reset-request', '/auth/reset-password-request'],
    ] as const) {
      const client = newClient()
      const send = () => limited.call('POST', path, { headers: client, json: {} })
      for (let sent = 0; sent < 5; sent += 1) assert.equal((await send()).status, 400)
      const last = await send()
      assertLimited(last)
      assert.equal(last.headers.get('ratelimit-policy'), `"${name}";q=5;w=300`)
    }
    const headers = newClient()
    for (let sent = 0; sent < 7; sent += 1)
      assert.equal((await limited.call('PATCH', '/auth/me', { headers, json: {} })).status, 401)
  })

  test('a browser brings a proof to both mail requests, after the form of the address', async () => {
    const headers = { ...newClient(), 'sec-fetch-site': 'same-origin' }
    for (const path of ['/auth/resend-confirmation', '/auth/reset-password-request']) {
      const send = (json: unknown) => limited.call('POST', path, { headers, json })
      scene.assertRefused(await send({}), 400, 'Email is required')
      const text = 'Please complete the security challenge.'
      for (const proof of [undefined, 'x', 5])
        scene.assertRefused(await send({ email: 'a@b.pl', proof }), 403, text, 'CHALLENGE_REQUIRED')
    }
    assert.equal(await scene.count(limited, 'mail_requests'), 0)
  })
})

test('a fault: the fixed text as JSON, a Polish page for a browser, nothing of its cause', async () => {
  const account = await scene.createAccount(app)
  const path = await plantResetToken(app, account.id)
  const json = { new_password: 'mokry parasol 7', new_password_confirm: 'mokry parasol 7' }
  const email = scene.newAddress()
  await scene.rows(app, 'alter table mail_tokens rename column address to address_gone')
  await scene.rows(app, 'alter table mail_requests rename to mail_requests_gone')
  const change = (own: object) =>
    app.call('PATCH', '/auth/me', {
      token: account.accessToken,
      json: { current_password: account.password, ...own },
    })
  const answers: [answer: Answer, text: string][] = [
    [await change({ email }), 'Unable to update profile at this time.'],
    [await app.call('POST', path, { json }), 'Something went wrong. Please try again later.'],
    [
      await app.call('POST', '/auth/resend-confirmation', { json: { email } }),
      'Something went wrong. Please try again later.',
    ],
  ]
  for (const [{ status, body, headers }, text] of answers) {
    assert.equal(status, 500)
    assert.deepEqual(body, { error: text, request_id: headers.get('x-request-id') })
  }
  for (const method of ['GET', 'POST'])
    for (const target of [path, deadConfirm]) {
      const body = new URLSearchParams(json).toString()
      const shown = await app.call(method, target, {
        headers: { ...html, ...(method === 'POST' ? formType : {}) },
        ...(method === 'POST' ? { body } : {}),
      })
      assertPage(shown, 500, /Coś poszło nie tak po naszej stronie/)
      assert.doesNotMatch(shown.text, /address|column|select|Error/)
    }
  await scene.rows(app, 'alter table mail_tokens rename column address_gone to address')
  await scene.rows(app, 'alter table mail_requests_gone rename to mail_requests')
  const [user] = await scene.rows(app, 'select pending_email, credential_version from users where id = $1', [
    account.id,
  ])
  assert.deepEqual(user, { pending_email: null, credential_version: 1 })
  assert.equal((await app.call('GET', '/auth/me', { token: account.accessToken })).status, 200)
})
