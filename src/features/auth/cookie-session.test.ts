import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import * as scene from '../../../test/account-scene.ts'
import { startTestApp, type Account, type TestApp } from '../../../test/app.ts'
import * as cookies from '../../../test/cookie-scene.ts'
import { manualClock } from '../../../test/ledger-fixtures.ts'
import { seededRandom } from '../../../test/seeded-random.ts'

const seed = Number(process.env['TEST_SEED']) || Date.now() & 0x7fffffff
const minute = 60_000
const clock = manualClock()

let app: TestApp
before(async () => {
  app = await startTestApp({ overrides: { clock }, work: false })
})
after(() => app.close())

const { cookieTokenOf: tokenOf } = cookies
const refresh = (token: string) => cookies.refreshByCookie(app, token)

const isSignedIn = async (token: string): Promise<boolean> =>
  (await app.call('GET', '/auth/me', { token })).status === 200

const reuses = ({ id }: Account): Promise<number> =>
  scene.count(app, "auth_events where user_id = $1 and kind = 'reuse'", [id])

/** A browser profile: one cookie jar, one Web Lock, three pages that keep their access token in memory only. */
const openTabs = (cookie: string, isAnswerLost: () => boolean) => {
  const jar = { cookie }
  const tabs: { accessToken: string | null }[] = [
    { accessToken: null },
    { accessToken: null },
    { accessToken: null },
  ]
  let lock: Promise<void> = Promise.resolve()
  const refreshUnderLock = (tab: { accessToken: string | null }): Promise<void> => {
    lock = lock.then(async () => {
      if (tab.accessToken !== null && (await isSignedIn(tab.accessToken))) return
      const answer = await refresh(jar.cookie)
      const successor = tokenOf(answer)
      // A page that is reloaded half way never sees the answer, and the jar keeps what it had.
      if (isAnswerLost()) return
      jar.cookie = successor
      tab.accessToken = String(answer.body['access_token'])
    })
    return lock
  }
  return { jar, tabs, refreshUnderLock }
}

test(`F25: three tabs, reloaded at random, refresh under one lock: always 200, seed ${seed}`, async (t) => {
  t.diagnostic(`seed ${seed}`)
  const random = seededRandom(seed)
  const { account, token } = await cookies.openCookieSession(app)
  const { tabs, refreshUnderLock } = openTabs(token, () => random.below(5) === 0)
  for (let step = 0; step < 60; step += 1) {
    if (random.below(6) === 0) clock.advance(random.pick([1, 14, 16, 60 * 24 * 6]) * minute)
    for (const tab of tabs) if (random.below(3) === 0) tab.accessToken = null
    await Promise.all(tabs.filter(() => random.below(3) > 0).map(refreshUnderLock))
  }
  assert.equal(await reuses(account), 0)
  assert.equal(await scene.count(app, 'sessions where user_id = $1 and ended_at is null', [account.id]), 1)
})

test('F25: a reload lets the lock go while its refresh is under way: the next tab presents the same cookie', async () => {
  const { account, token } = await cookies.openCookieSession(app)
  let jar = token
  for (let round = 0; round < 10; round += 1) {
    const answers = await Promise.all([refresh(jar), refresh(jar), refresh(jar)])
    // Whichever of the answers the browser reads last stays in the jar.
    jar = answers.map(tokenOf)[round % 3] ?? jar
  }
  tokenOf(await refresh(jar))
  assert.equal(await reuses(account), 0)
})

test('reuse of a cookie is the same as of a token: the session ends, access tokens too', async () => {
  const { account, token, accessToken } = await cookies.openCookieSession(app)
  const next = tokenOf(await refresh(tokenOf(await refresh(token))))
  scene.assertRefused(await refresh(token), 401, 'Session is no longer valid. Please log in again.')
  assert.equal((await refresh(next)).status, 401)
  assert.equal(await isSignedIn(accessToken), false)
  assert.equal(await reuses(account), 1)
})

test('PATCH: the acting cookie session gets a successor in the cookie and none in the body', async () => {
  const { account, token, accessToken } = await cookies.openCookieSession(app)
  const other = tokenOf(await cookies.logInByCookie(app, account))
  clock.advance(1000)
  const password = scene.newPassword()
  const json = {
    current_password: account.password,
    new_password: password,
    new_password_confirm: password,
  }
  const changed = await app.call('PATCH', '/auth/me', { token: accessToken, json })
  const successor = tokenOf(changed)
  assert.equal(changed.body['refresh_token'], undefined)
  assert.equal(await isSignedIn(String(changed.body['access_token'])), true)
  assert.equal(await isSignedIn(accessToken), false)
  tokenOf(await refresh(token))
  tokenOf(await refresh(successor))
  scene.assertRefused(await refresh(other), 401, 'Session is no longer valid. Please log in again.')
})

test('no refresh token of a cookie session is in any answer of its life', async () => {
  const { account, token, accessToken } = await cookies.openCookieSession(app)
  const texts = [
    await app.call('GET', '/auth/me', { token: accessToken }),
    await app.call('GET', '/auth/sessions', { token: accessToken }),
    await cookies.logInByCookie(app, account),
    await refresh(token),
    await app.call('POST', '/auth/refresh', { json: { refresh_token: token } }),
    await app.call('POST', '/auth/logout', {
      headers: { ...cookies.sameOrigin, ...cookies.cookieOf(token) },
    }),
    await refresh(token),
  ].map(({ text }) => text)
  for (const text of texts) assert.doesNotMatch(text, /dtr_|refresh_token/)
})
