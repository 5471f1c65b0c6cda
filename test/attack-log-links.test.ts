import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import * as scene from './account-scene.ts'
import type { Answer, TestApp } from './app.ts'
import { createAttackScene, limited, logOf, refusedCredentials } from './attack-scene.ts'
import { asApp, newClient, newUser, startThrottledApp } from './throttle-scene.ts'

// A log: each line is what somebody does and what is answered; the last lines of an attack are what the owner sees of it.

const deadReset = 'Invalid or expired reset link'
const deadConfirm = 'Invalid or expired confirmation link'

let app: TestApp
let act: ReturnType<typeof createAttackScene>
before(async () => {
  app = await startThrottledApp()
  act = createAttackScene(app)
})
after(() => app.close())

/** The link's path and token, for whoever copied it. */
const pathOf = (link: string): string => new URL(link).pathname
const tokenOf = (link: string): string => pathOf(link).split('/').at(-1) ?? ''

const setByLink = (link: string, password: string, address: string): Promise<Answer> =>
  act.post(
    pathOf(link),
    { new_password: password, new_password_confirm: password },
    { ...asApp(address), accept: 'application/json' },
  )

const profileOf = async (token: string): Promise<Record<string, unknown>> => {
  const answer = await app.call('GET', '/auth/me', { token })
  assert.equal(answer.status, 200, answer.text)
  return answer.body
}

test('a reset link, replayed by whoever finds the mail', async (t) => {
  const line = logOf(t)
  const [home, elsewhere] = [newClient(), newClient()]
  const owner = await newUser(app)
  const phone = await act.signIn(owner, home)
  const askForLink = async (nth: number): Promise<string> => {
    const asked = await act.post('/auth/reset-password-request', { email: owner.email }, asApp(home))
    assert.equal(asked.status, 200, asked.text)
    return act.linkFrom(owner.email, 'reset_password', nth)
  }
  const first = await askForLink(1)
  const second = await askForLink(2)
  const chosen = scene.newPassword()

  await line('the first of two links: 400, the newer one voided it', async () => {
    scene.assertRefused(await setByLink(first, scene.newPassword(), elsewhere), 400, deadReset)
  })
  await line('the second link as a confirmation, an access token as a link: 400', async () => {
    const headers = { ...asApp(elsewhere), accept: 'application/json' }
    const asConfirmation = await act.post(`/auth/confirm-email/${tokenOf(second)}`, {}, headers)
    scene.assertRefused(asConfirmation, 400, deadConfirm)
    const foreign = `/auth/reset-password/${phone.access}`
    scene.assertRefused(await setByLink(`http://x${foreign}`, chosen, elsewhere), 400, deadReset)
  })
  await line('the owner uses the second link: 200; whoever was signed in is out', async () => {
    assert.equal((await setByLink(second, chosen, home)).status, 200)
    await act.assertDead([phone.refresh], home, [phone.access])
  })
  await line('the thief replays it as JSON, as a form, and opens it: 400, and no form is shown', async () => {
    scene.assertRefused(await setByLink(second, scene.newPassword(), elsewhere), 400, deadReset)
    const headers = {
      ...asApp(elsewhere),
      accept: 'text/html',
      'content-type': 'application/x-www-form-urlencoded',
    }
    const body = 'new_password=cicha+noc+nad+rzeka+7&new_password_confirm=cicha+noc+nad+rzeka+7'
    const posted = await app.call('POST', pathOf(second), { body, headers })
    const opened = await app.call('GET', pathOf(second), {
      headers: { ...asApp(elsewhere), accept: 'text/html' },
    })
    for (const page of [posted, opened]) {
      assert.equal(page.status, 400)
      assert.match(page.text, /lang="pl"/)
      assert.doesNotMatch(page.text, /<form/)
    }
  })
  await line('the thief tries made-up links: from the sixth post in five minutes on 429', async () => {
    const made = `http://x/auth/reset-password/${'A'.repeat(43)}`
    const answers = []
    for (let count = 0; count < 3; count += 1) answers.push(await setByLink(made, chosen, elsewhere))
    limited(answers.at(-1) ?? (await setByLink(made, chosen, elsewhere)))
  })
  await line('a link asked for before a change of password is void after it', async () => {
    const third = await askForLink(3)
    const { access } = await act.signIn({ ...owner, password: chosen }, home)
    const again = scene.newPassword()
    const changed = await app.call('PATCH', '/auth/me', {
      token: access,
      json: { current_password: chosen, new_password: again, new_password_confirm: again },
    })
    assert.equal(changed.status, 200, changed.text)
    scene.assertRefused(await setByLink(third, scene.newPassword(), newClient()), 400, deadReset)
    refusedCredentials(await act.tryToSignIn({ ...owner, password: chosen }, asApp(home)))
    await act.signIn({ ...owner, password: again }, home)
  })
  await line('the owner sees each step, and a mail of each change', async () => {
    const kinds = ['sign_in', 'session_ended', 'password_reset', 'sign_in', 'password_changed', 'sign_in']
    assert.deepEqual(await act.events(owner), kinds)
    await act.assertMails(owner.email, [
      'reset_password',
      'reset_password',
      'password_changed',
      'reset_password',
      'password_changed',
    ])
  })
})

test('a confirmation link used for another address', async (t) => {
  const line = logOf(t)
  const at = newClient()
  const mallory = { email: scene.newAddress(), password: scene.newPassword() }
  const victim = { email: scene.newAddress(), password: scene.newPassword() }
  const register = ({ email, password }: typeof mallory, address: string) =>
    act.post('/auth/register', { email, password, password_confirm: password }, asApp(address))
  const confirm = (link: string, address: string) =>
    act.post(pathOf(link), {}, { ...asApp(address), accept: 'application/json' })

  assert.equal((await register(mallory, at)).status, 201)
  const ownLink = await act.linkFrom(mallory.email, 'confirm_email')
  assert.equal((await confirm(ownLink, at)).status, 200)
  const { access } = await act.signIn(mallory, at)

  await line('Mallory claims somebody else’s address: it only waits, and its owner gets a mail', async () => {
    const json = { current_password: mallory.password, email: victim.email }
    const changed = await app.call('PATCH', '/auth/me', { token: access, json })
    assert.equal(changed.status, 200, changed.text)
    assert.equal(changed.body['email_confirmation_required'], true)
    await act.assertMails(victim.email, ['confirm_email'])
  })
  const { access: now } = await act.signIn(mallory, at)
  await line('replays the link of the registration: it confirms nothing but its own address', async () => {
    const replayed = await confirm(ownLink, at)
    assert.equal(replayed.status, 200, replayed.text)
    const { email, pending_email: pending } = await profileOf(now)
    assert.deepEqual([email, pending], [mallory.email, victim.email])
  })
  await line('asks for another link to that address: the usual 200, and no mail to it', async () => {
    const asked = await act.post('/auth/resend-confirmation', { email: victim.email }, asApp(at))
    assert.equal(asked.status, 200)
    await act.linksAreSent()
    await act.assertMails(victim.email, ['confirm_email'])
  })
  await line('signs in with that address: 401', async () => {
    refusedCredentials(await act.tryToSignIn({ ...mallory, email: victim.email }, asApp(at)))
  })
  const claim = await act.linkFrom(victim.email, 'confirm_email')
  const home = newClient()
  await line('its owner registers it all the same, confirms by the own link and signs in', async () => {
    assert.equal((await register(victim, home)).status, 201)
    assert.equal((await confirm(await act.linkFrom(victim.email, 'confirm_email', 2), home)).status, 200)
    await act.signIn(victim, home)
  })
  await line('the link of Mallory’s claim, opened after that: 409, and the claim is gone', async () => {
    scene.assertRefused(await confirm(claim, home), 409, 'Email is already in use by another account.')
    const { email, pending_email: pending } = await profileOf(now)
    assert.deepEqual([email, pending], [mallory.email, null])
  })
  await line('two accounts stand side by side; each signs in with its own address and no other', async () => {
    await act.signIn(mallory, newClient())
    await act.signIn(victim, home)
    refusedCredentials(
      await act.tryToSignIn({ email: victim.email, password: mallory.password }, asApp(newClient())),
    )
    await act.assertMails(victim.email, ['confirm_email', 'confirm_email', 'email_confirmed'])
    await act.assertMails(mallory.email, ['confirm_email', 'email_confirmed', 'email_change_requested'])
  })
})

test('a mailbox flooded with links that its owner never asked for', async (t) => {
  const line = logOf(t)
  const owner = await newUser(app)
  const phone = await act.signIn(owner, newClient())

  await line('twelve machines ask for a reset of one account: the same 200 each', async () => {
    const answers = await Promise.all(
      Array.from({ length: 12 }, () =>
        act.post('/auth/reset-password-request', { email: owner.email }, asApp(newClient())),
      ),
    )
    assert.equal(new Set(answers.map(({ status, text }) => `${status} ${text}`)).size, 1)
    assert.equal(answers[0]?.status, 200)
  })
  await line('the owner gets three mails, stays signed in, and the newest link is not void', async () => {
    await act.linksAreSent()
    const link = await act.linkFrom(owner.email, 'reset_password', 3)
    await act.assertMails(owner.email, ['reset_password', 'reset_password', 'reset_password'])
    assert.ok(await act.isSignedIn(phone.access))
    assert.equal((await setByLink(link, scene.newPassword(), newClient())).status, 200)
  })
})
