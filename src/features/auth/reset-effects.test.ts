import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import * as scene from '../../../test/account-scene.ts'
import { startTestApp, until, type Account, type TestApp } from '../../../test/app.ts'

let app: TestApp
before(async () => {
  app = await startTestApp()
})
after(() => app.close())

const password = 'nowy srebrny czajnik 41'

const linkOf = async (email: string, kind: string): Promise<string> => {
  const link = await until(async () => (await app.outbox(email, kind))[0]?.links[0], `the ${kind} mail`)
  return new URL(link).pathname
}

const reset = async (email: string): Promise<void> => {
  const asked = await app.call('POST', '/auth/reset-password-request', { json: { email } })
  assert.equal(asked.status, 200)
  const json = { new_password: password, new_password_confirm: password }
  const answer = await app.call('POST', await linkOf(email, 'reset_password'), { json })
  assert.equal(answer.status, 200, answer.text)
}

for (const status of ['pending', 'deactivated'])
  test(`a reset leaves an account that is ${status} as it was`, async () => {
    const account = await scene.createAccount(app)
    await scene.setUser(app, account.id, `status = '${status}'`)
    await reset(account.email)
    const [user] = await scene.rows(app, 'select status from users where id = $1', [account.id])
    assert.deepEqual(user, { status })
    assert.equal((await scene.login(app, { ...account, password })).status, 403)
  })

test('a reset confirms no address, and the registration’s link lives on', async () => {
  const fields = scene.registration()
  const email = String(fields['email'])
  assert.equal((await app.call('POST', '/auth/register', { json: fields })).status, 201)
  const confirm = await linkOf(email, 'confirm_email')
  await reset(email)
  assert.equal((await scene.login(app, { email, password })).body['code'], 'EMAIL_NOT_CONFIRMED')
  assert.equal((await app.call('POST', confirm)).status, 200)
  assert.equal((await scene.login(app, { email, password })).status, 200)
})

test('a reset voids a waiting change of address', async () => {
  const account: Account = await scene.createAccount(app)
  const wanted = scene.newAddress()
  const patched = await app.call('PATCH', '/auth/me', {
    token: account.accessToken,
    json: { current_password: account.password, email: wanted },
  })
  assert.equal(patched.status, 200)
  const confirm = await linkOf(wanted, 'confirm_email')
  await reset(account.email)
  const refused = await app.call('POST', confirm, { headers: { accept: 'application/json' } })
  scene.assertRefused(refused, 400, 'Invalid or expired confirmation link')
  const signedIn = await scene.login(app, { ...account, password })
  const user = signedIn.body['user'] as Record<string, unknown>
  assert.deepEqual([user['email'], user['pending_email']], [account.email, null])
})

test('no link, token or new password is at rest in the database', async () => {
  const account = await scene.createAccount(app)
  const asked = await app.call('POST', '/auth/reset-password-request', { json: { email: account.email } })
  assert.equal(asked.status, 200)
  const token = (await linkOf(account.email, 'reset_password')).split('/').at(-1) ?? ''
  const wanted = scene.newAddress()
  const patched = await app.call('PATCH', '/auth/me', {
    token: account.accessToken,
    json: { current_password: account.password, email: wanted },
  })
  const confirm = (await linkOf(wanted, 'confirm_email')).split('/').at(-1) ?? ''
  const chosen = 'sekretny pomarańczowy kocyk'
  const json = { new_password: chosen, new_password_confirm: chosen }
  assert.equal((await app.call('POST', `/auth/reset-password/${token}`, { json })).status, 200)
  const dump = await scene.dumpDatabase(app, ['public.mail_outbox'])
  assert.ok(dump.includes(account.email), 'the dump holds what is stored')
  const secrets = [token, confirm, chosen, String(patched.body['refresh_token']), account.password]
  for (const secret of secrets)
    for (const form of [secret, Buffer.from(secret).toString('hex')]) {
      assert.ok(secret.length >= 20)
      assert.equal(dump.includes(form), false)
    }
})
