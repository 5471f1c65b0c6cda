import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import * as scene from '../../../test/account-scene.ts'
import { startTestApp, until, type Account, type Answer, type TestApp } from '../../../test/app.ts'

let app: TestApp
before(async () => {
  app = await startTestApp()
})
after(() => app.close())

const json = { accept: 'application/json' }
const invalidText = 'Invalid or expired confirmation link'

/** Asks for the change and goes on with the access token of the answer. */
const change = async (
  account: Account,
  email: string,
  own: Record<string, unknown> = {},
): Promise<Answer> => {
  const answer = await app.call('PATCH', '/auth/me', {
    token: account.accessToken,
    json: { current_password: account.password, email, ...own },
  })
  if (answer.status === 200) account.accessToken = String(answer.body['access_token'])
  return answer
}

/** Path of the newest link that was mailed to the address, once `count` were. */
const linkTo = async (address: string, count = 1): Promise<string> => {
  const link = await until(async () => {
    const mails = await app.outbox(address, 'confirm_email')
    return mails.length === count ? mails[0]?.links[0] : null
  }, 'the link')
  return new URL(link).pathname
}

const confirm = (path: string) => app.call('POST', path, { headers: json })
const me = async (account: Account) =>
  (await app.call('GET', '/auth/me', { token: account.accessToken })).body
const mailsOf = (account: Account) =>
  scene.rows(app, 'select kind, recipient from emails where user_id = $1 order by id', [account.id])
const eventsOf = async (account: Account) =>
  (
    await scene.rows(
      app,
      "select kind from auth_events where user_id = $1 and kind <> 'sign_in' order by id",
      [account.id],
    )
  ).map(({ kind }) => kind)

test('a new address waits: the user, the flags, exactly one link and one notice', async () => {
  const account = await scene.createAccount(app)
  const wanted = scene.newAddress()
  const { status, body } = await change(account, ` ${wanted.toUpperCase()} `)
  assert.equal(status, 200)
  const user = body['user'] as Record<string, unknown>
  assert.deepEqual(
    [user['email'], user['pending_email'], user['email_confirmed']],
    [account.email, wanted, true],
  )
  assert.deepEqual([body['email_confirmation_required'], body['password_updated']], [true, false])
  assert.deepEqual(await mailsOf(account), [
    { kind: 'confirm_email', recipient: wanted },
    { kind: 'email_change_requested', recipient: account.email },
  ])
  const notice = await until(
    async () => (await app.outbox(account.email, 'email_change_requested'))[0],
    'the notice',
  )
  assert.equal(notice.text.includes(wanted), false, 'the old address is not told the whole new one')
  assert.deepEqual(await eventsOf(account), ['email_change_requested'])
})

test('before it is confirmed the old address signs in, afterwards the new one', async () => {
  const account = await scene.createAccount(app)
  const wanted = scene.newAddress()
  assert.equal((await change(account, wanted)).status, 200)
  assert.equal((await scene.login(app, account)).status, 200)
  const renamed = { ...account, email: wanted }
  scene.assertRefused(await scene.login(app, renamed), 401, 'Invalid credentials')
  const path = await linkTo(wanted)
  assert.equal((await confirm(path)).status, 200)
  assert.equal((await scene.login(app, renamed)).status, 200)
  scene.assertRefused(await scene.login(app, account), 401, 'Invalid credentials')
  const after = await me(account)
  assert.deepEqual([after['email'], after['pending_email'], after['email_confirmed']], [wanted, null, true])
  assert.equal((await confirm(path)).status, 200, 'the same link again')
  await until(async () => (await app.outbox(account.email, 'email_changed'))[0], 'the former address is told')
  assert.equal(
    await scene.count(app, "emails where user_id = $1 and kind = 'email_changed'", [account.id]),
    1,
  )
})

test('a mistyped address locks nobody out: the old one is told and works, the change lapses after 24 h', async () => {
  const account = await scene.createAccount(app)
  const mistyped = scene.newAddress()
  assert.equal((await change(account, mistyped)).status, 200)
  const path = await linkTo(mistyped)
  await scene.advanceClock(app, 86_400 - 30)
  const later = { ...account, ...(await scene.signIn(app, account)) }
  assert.equal((await me(later))['pending_email'], mistyped)
  await scene.advanceClock(app, 31)
  assert.equal((await me(later))['pending_email'], null)
  scene.assertRefused(await confirm(path), 400, invalidText)
  assert.equal((await scene.login(app, account)).status, 200)
  scene.assertRefused(
    await change(later, account.email),
    400,
    'No changes detected. Submit a different email or password to update your profile.',
  )
})

test('sending the own address while a change waits cancels it and ends nothing', async () => {
  const account = await scene.createAccount(app)
  const wanted = scene.newAddress()
  assert.equal((await change(account, wanted)).status, 200)
  const path = await linkTo(wanted)
  const other = await scene.signIn(app, account)
  const { status, body } = await change(account, account.email.toUpperCase())
  assert.equal(status, 200)
  assert.deepEqual([body['email_confirmation_required'], body['password_updated']], [false, false])
  assert.equal((body['user'] as Record<string, unknown>)['pending_email'], null)
  scene.assertRefused(await confirm(path), 400, invalidText)
  assert.equal((await app.call('GET', '/auth/me', { token: other.accessToken })).status, 200)
  assert.deepEqual(await eventsOf(account), ['email_change_requested', 'email_change_cancelled'])
})

test('a second address voids the first link', async () => {
  const account = await scene.createAccount(app)
  const [first, second] = [scene.newAddress(), scene.newAddress()]
  assert.equal((await change(account, first)).status, 200)
  const early = await linkTo(first)
  assert.equal((await change(account, second)).status, 200)
  scene.assertRefused(await confirm(early), 400, invalidText)
  assert.equal((await confirm(await linkTo(second))).status, 200)
  assert.equal((await me(account))['email'], second)
})

test('the same address again makes a new link and no second notice', async () => {
  const account = await scene.createAccount(app)
  const wanted = scene.newAddress()
  assert.equal((await change(account, wanted)).status, 200)
  const early = await linkTo(wanted)
  const again = await change(account, wanted)
  assert.deepEqual([again.status, again.body['email_confirmation_required']], [200, true])
  const late = await linkTo(wanted, 2)
  scene.assertRefused(await confirm(early), 400, invalidText)
  assert.equal((await confirm(late)).status, 200)
  const notices = (await mailsOf(account)).filter(({ kind }) => kind === 'email_change_requested')
  assert.equal(notices.length, 1)
})

test('three link mails an hour: the fourth request answers alike, sends nothing and leaves the link alive', async () => {
  const account = await scene.createAccount(app)
  const wanted = scene.newAddress()
  const answers: Answer[] = []
  for (let sent = 0; sent < 4; sent += 1) answers.push(await change(account, wanted))
  for (const { status, body } of answers)
    assert.deepEqual([status, body['email_confirmation_required']], [200, true])
  assert.equal(await scene.count(app, "emails where recipient = $1 and kind = 'confirm_email'", [wanted]), 3)
  const path = await linkTo(wanted, await deliveredTo(wanted))
  await scene.advanceClock(app, 3601)
  assert.equal((await change(account, wanted)).status, 401, 'the access token is over')
  assert.equal((await confirm(path)).status, 200)
  assert.equal(await scene.count(app, 'users where email = $1', [wanted]), 1)
})

/** A mail whose link was voided before it was sent is not sent: the number of those that were. */
const deliveredTo = (address: string): Promise<number> =>
  until(async () => {
    const [row] = await scene.rows<{ open: number; sent: number }>(
      app,
      `select count(*) filter (where status = 'queued')::int as open,
         count(*) filter (where status = 'sent')::int as sent from emails where recipient = $1`,
      [address],
    )
    return row?.open === 0 ? row.sent : null
  }, 'all mails to be done')

test('the cap counts an address whoever names it', async () => {
  const wanted = scene.newAddress()
  const accounts = await Promise.all(Array.from({ length: 5 }, () => scene.createAccount(app)))
  const answers = await Promise.all(accounts.map((account) => change(account, wanted)))
  assert.deepEqual(
    answers.map(({ status }) => status),
    Array<number>(5).fill(200),
  )
  assert.equal(await scene.count(app, 'emails where recipient = $1', [wanted]), 3)
})

test('a waiting address blocks nobody: another account may ask for it, a newcomer may register it', async () => {
  const [first, second] = [await scene.createAccount(app), await scene.createAccount(app)]
  const wanted = scene.newAddress()
  assert.equal((await change(first, wanted)).status, 200)
  assert.equal((await change(second, wanted)).status, 200)
  const registered = await app.call('POST', '/auth/register', { json: scene.registration({ email: wanted }) })
  assert.equal(registered.status, 201)
  const link = await scene.rows<{ kind: string }>(app, 'select kind from emails where recipient = $1', [
    wanted,
  ])
  assert.equal(link.length, 3)
  scene.assertRefused(await change(first, wanted), 409, 'Email is already in use by another account.')
})

test('two accounts confirm one waiting address at once: one 200, one 409', async () => {
  const wanted = scene.newAddress()
  const [first, second] = [await scene.createAccount(app), await scene.createAccount(app)]
  assert.equal((await change(first, wanted)).status, 200)
  const early = await linkTo(wanted)
  assert.equal((await change(second, wanted)).status, 200)
  const late = await linkTo(wanted, 2)
  const answers = await Promise.all([confirm(early), confirm(late)])
  assert.deepEqual(answers.map(({ status }) => status).sort(), [200, 409])
  assert.equal(await scene.count(app, 'users where email = $1', [wanted]), 1)
  assert.equal(await scene.count(app, 'users where pending_email = $1', [wanted]), 0)
})

test('address and password at once: both flags; a bad password pair changes neither', async () => {
  const account = await scene.createAccount(app)
  const wanted = scene.newAddress()
  const password = scene.newPassword()
  const bad = await change(account, wanted, { new_password: password, new_password_confirm: 'inne' })
  scene.assertRefused(bad, 400, 'New password and confirmation do not match.')
  assert.deepEqual(await mailsOf(account), [])
  assert.equal((await me(account))['pending_email'], null)
  const { status, body } = await change(account, wanted, {
    new_password: password,
    new_password_confirm: password,
  })
  assert.equal(status, 200)
  assert.deepEqual([body['email_confirmation_required'], body['password_updated']], [true, true])
  assert.deepEqual(
    (await mailsOf(account)).map(({ kind }) => kind),
    ['confirm_email', 'email_change_requested', 'password_changed'],
  )
  assert.equal((await scene.login(app, { ...account, password })).status, 200)
})

test('any spelling of an address is one account: at registration, login and change', async () => {
  const email = `ą${scene.newAddress()}`
  const account = await scene.createAccount(app, email)
  for (const spelling of [email.toUpperCase(), ` ${email} `, email.normalize('NFD')]) {
    assert.equal((await scene.login(app, { ...account, email: spelling })).status, 200)
    const json = scene.registration({ email: spelling })
    scene.assertRefused(await app.call('POST', '/auth/register', { json }), 409, 'Email already registered')
    assert.equal((await change(account, spelling)).status, 400, 'no change')
  }
})
