import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import {
  advanceClock,
  assertRefused,
  count,
  createAccount,
  login,
  registration,
  rows,
  setUser,
  signIn,
} from '../../../test/account-scene.ts'
import { startTestApp, until, type TestApp } from '../../../test/app.ts'

const day = 86_400

let app: TestApp
let beta: TestApp

before(async () => {
  app = await startTestApp()
  beta = await startTestApp({ env: { REGISTRATION_MODE: 'beta' } })
})
after(async () => {
  await app.close()
  await beta.close()
})

const register = async (server: TestApp) => {
  const fields = registration()
  const answer = await server.call('POST', '/auth/register', { json: fields })
  return { answer, email: String(fields['email']), password: String(fields['password']) }
}

const confirm = async (server: TestApp, email: string): Promise<void> => {
  const link = await until(
    async () => (await server.outbox(email, 'confirm_email'))[0]?.links[0],
    'the confirmation mail',
  )
  assert.equal((await server.call('POST', link)).status, 200)
}

const idOf = async (server: TestApp, email: string): Promise<number> => {
  const [row] = await rows<{ id: number }>(server, 'select id from users where email = $1', [email])
  assert.ok(row)
  return row.id
}

const mails = (server: TestApp, email: string, kind: string) =>
  until(async () => {
    const found = await server.outbox(email, kind)
    return found.length > 0 ? found : null
  }, `the mail ${kind}`)

const pendingIds = async (server: TestApp): Promise<number[]> =>
  (await server.app.accountStatus.listPending(server.app.database.read)).map(({ id }) => id)

test('mode open: the account is active at once and may sign in after confirming', async () => {
  const { answer, ...account } = await register(app)
  assert.equal(answer.status, 201)
  await confirm(app, account.email)
  assert.equal((await login(app, account)).status, 200)
  assert.deepEqual(await pendingIds(app), [])
})

test('mode closed: nobody can register', async (t) => {
  const closed = await startTestApp({ env: { REGISTRATION_MODE: 'closed' }, work: false })
  t.after(() => closed.close())
  const { answer } = await register(closed)
  assertRefused(answer, 403, 'Registration is closed.')
  assert.equal(await count(closed, 'users'), 0)
})

test('mode beta: pending and listed, then activated with a new trial and a mail', async () => {
  const { answer, ...account } = await register(beta)
  assert.equal(answer.status, 201)
  await confirm(beta, account.email)
  const id = await idOf(beta, account.email)
  assertRefused(
    await login(beta, account),
    403,
    'Your account is awaiting approval. We will e-mail you when it is ready.',
  )
  assert.ok((await pendingIds(beta)).includes(id))

  await advanceClock(beta, 10 * day)
  assert.equal(await beta.app.accountStatus.activate(id), 'done')
  const signedIn = await login(beta, account)
  assert.equal(signedIn.status, 200, signedIn.text)
  const user = signedIn.body['user'] as { trial_expires_at: string; trial_is_active: boolean }
  const trialDays = (Date.parse(user.trial_expires_at) - beta.app.clock.now().getTime()) / (day * 1000)
  assert.ok(user.trial_is_active && trialDays > 13.9 && trialDays <= 14, String(trialDays))
  assert.ok(!(await pendingIds(beta)).includes(id))
  const [mail] = await mails(beta, account.email, 'account_approved')
  assert.ok(mail?.links.includes('dawnotemu://login'))
})

test('pending lists neither unconfirmed active nor deactivated accounts nor those on their way out', async () => {
  const accounts = await Promise.all([1, 2, 3, 4].map(() => createAccount(app)))
  const [unconfirmed, deactivated, deleting, pending] = accounts.map(({ id }) => id)
  assert.ok(unconfirmed && deactivated && deleting && pending)
  await setUser(app, unconfirmed, 'email_confirmed = false')
  await setUser(app, deactivated, `status = 'deactivated'`)
  await setUser(app, deleting, `status = 'deleting'`)
  await setUser(app, pending, `status = 'pending'`)
  assert.deepEqual(await pendingIds(app), [pending])
})

test('confirming leaves a pending or deactivated account as it was (A-L4)', async () => {
  for (const status of ['pending', 'deactivated']) {
    const { answer, ...account } = await register(beta)
    assert.equal(answer.status, 201)
    const id = await idOf(beta, account.email)
    await setUser(beta, id, `status = '${status}'`)
    await confirm(beta, account.email)
    const [row] = await rows(beta, 'select status, email_confirmed from users where id = $1', [id])
    assert.deepEqual(row, { status, email_confirmed: true })
  }
})

test('deactivation ends every session; activation brings none back (F20)', async () => {
  const account = await createAccount(app)
  const second = await signIn(app, account)
  await advanceClock(app, day)
  const [before] = await rows(app, 'select trial_expires_at from users where id = $1', [account.id])
  const fresh = await signIn(app, account)

  assert.equal(await app.app.accountStatus.deactivate(account.id), 'done')
  const me = (token: string) => app.call('GET', '/auth/me', { token })
  const refresh = (token: string) => app.call('POST', '/auth/refresh', { json: { refresh_token: token } })
  assertRefused(await me(fresh.accessToken), 403, 'User account is inactive')
  assertRefused(await refresh(second.refreshToken), 401, 'Invalid or inactive user')
  assertRefused(await login(app, account), 403, 'Account is deactivated. Please contact support.')
  assert.equal(
    await count(app, `sessions where user_id = $1 and end_reason = 'deactivated' and ended_at is not null`, [
      account.id,
    ]),
    3,
  )
  assert.equal(await count(app, `auth_events where user_id = $1 and kind = 'session_ended'`, [account.id]), 3)
  await mails(app, account.email, 'account_deactivated')

  assert.equal(await app.app.accountStatus.activate(account.id), 'done')
  assertRefused(await me(fresh.accessToken), 401, 'Token is no longer valid, please log in again')
  assertRefused(await refresh(second.refreshToken), 401, 'Session is no longer valid. Please log in again.')
  const again = await signIn(app, account)
  assert.equal((await me(again.accessToken)).status, 200)
  assert.equal((await refresh(again.refreshToken)).status, 200)
  const [trial] = await rows(app, 'select trial_expires_at from users where id = $1', [account.id])
  assert.deepEqual(trial, before, 'the trial is not started again')
  assert.equal(await count(app, `emails where user_id = $1 and kind = 'account_approved'`, [account.id]), 0)
})

test('a change that does not fit the state changes nothing', async () => {
  const { activate, deactivate } = app.app.accountStatus
  const account = await createAccount(app)
  const state = async () =>
    (await rows(app, 'select status, trial_expires_at from users where id = $1', [account.id]))[0]
  const active = await state()
  assert.equal(await activate(account.id), 'wrong_state')
  assert.deepEqual(await state(), active)
  await setUser(app, account.id, `status = 'deleting'`)
  const deleting = await state()
  assert.deepEqual([await activate(account.id), await deactivate(account.id)], ['wrong_state', 'wrong_state'])
  assert.deepEqual(await state(), deleting)
  assert.deepEqual(
    [await activate(2_000_000_000), await deactivate(2_000_000_000)],
    ['not_found', 'not_found'],
  )
  assert.equal(await count(app, `emails where user_id = $1`, [account.id]), 0)
})

test('of ten activations at once one counts: one mail, one trial', async () => {
  const account = await createAccount(app)
  await setUser(app, account.id, `status = 'pending'`)
  const outcomes = await Promise.all(
    Array.from({ length: 10 }, () => app.app.accountStatus.activate(account.id)),
  )
  assert.deepEqual(outcomes.toSorted(), ['done', ...Array.from({ length: 9 }, () => 'wrong_state')])
  assert.equal(await count(app, `emails where user_id = $1 and kind = 'account_approved'`, [account.id]), 1)
})

test('a sign-in and a deactivation at once never leave a live session of a deactivated account', async () => {
  for (let round = 0; round < 5; round += 1) {
    const account = await createAccount(app)
    const [answer, outcome] = await Promise.all([
      login(app, account),
      app.app.accountStatus.deactivate(account.id),
    ])
    assert.equal(outcome, 'done')
    assert.ok([200, 403].includes(answer.status), answer.text)
    assert.equal(await count(app, 'sessions where user_id = $1 and ended_at is null', [account.id]), 0)
  }
})
