import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import * as scene from '../../../test/account-scene.ts'
import type { Answer, TestApp } from '../../../test/app.ts'
import {
  asApp,
  asBrowser,
  newClient,
  newUser,
  raiseAccountFailures,
  raiseCounter,
  solveProof,
  startThrottledApp,
} from '../../../test/throttle-scene.ts'

const challengeText = 'Please complete the security challenge.'

let app: TestApp
before(async () => {
  // Two connections: a delay that kept one would be noticed at once.
  app = await startThrottledApp({ work: false, env: { DB_POOL_SIZE: '2' } })
})
after(() => app.close())

const login = (json: Record<string, unknown>, headers: Record<string, string>): Promise<Answer> =>
  app.call('POST', '/auth/login', { json, headers })

const timed = async <T>(work: Promise<T>): Promise<{ result: T; seconds: number }> => {
  const started = performance.now()
  return { result: await work, seconds: (performance.now() - started) / 1000 }
}

const assertLimited = (answer: Answer, atMostSeconds: number): void => {
  assert.equal(answer.status, 429, answer.text)
  const retryAfter = Number(answer.headers.get('retry-after'))
  assert.ok(
    Number.isInteger(retryAfter) && retryAfter >= 1 && retryAfter <= atMostSeconds,
    String(retryAfter),
  )
  assert.deepEqual(answer.body, {
    error: 'Too many requests. Please try again later.',
    retry_after: retryAfter,
  })
}

test('the app, after three failures of its account: a second’s wait, then signed in, then no wait', async () => {
  const { email, password } = await newUser(app)
  const headers = asApp(newClient())
  for (let round = 0; round < 3; round += 1) {
    const { result, seconds } = await timed(login({ email, password: scene.newPassword() }, headers))
    scene.assertRefused(result, 401, 'Invalid credentials')
    assert.ok(seconds < 0.95, `no delay yet, took ${seconds} s`)
  }
  const delayed = await timed(login({ email, password }, headers))
  assert.equal(delayed.result.status, 200, delayed.result.text)
  assert.ok(delayed.seconds >= 0.99, `took ${delayed.seconds} s`)
  const next = await timed(login({ email, password }, headers))
  assert.equal(next.result.status, 200)
  assert.ok(next.seconds < 0.95, `took ${next.seconds} s`)
})

test('a wait holds no database connection, and other accounts do not stand behind it', async () => {
  const { email, password } = await newUser(app)
  const other = await newUser(app)
  await raiseAccountFailures(app, email, 4)
  let isWaiting = true
  const waiting = Promise.all(
    Array.from({ length: 6 }, () => login({ email, password }, asApp(newClient()))),
  ).finally(() => {
    isWaiting = false
  })
  const { result, seconds } = await timed(login({ ...other }, asApp(newClient())))
  assert.equal(result.status, 200)
  assert.ok(seconds < 1.5, `took ${seconds} s`)
  assert.ok(isWaiting)
  for (const answer of await waiting) assert.equal(answer.status, 200, answer.text)
})

test('a browser: the challenge instead of the wait; a proof counts once and for login only', async () => {
  const { email, password } = await newUser(app)
  await raiseAccountFailures(app, email, 6)
  const headers = asBrowser(newClient())
  const without = await timed(login({ email, password }, headers))
  scene.assertRefused(without.result, 403, challengeText, 'CHALLENGE_REQUIRED')
  const proof = await solveProof(app, 'login')
  const mailProof = await solveProof(app, 'mail')
  for (const wrong of [mailProof, 'x', 5, {}, proof.slice(0, -8)])
    scene.assertRefused(
      await login({ email, password, proof: wrong }, headers),
      403,
      challengeText,
      'CHALLENGE_REQUIRED',
    )
  const failed = await timed(login({ email, password: scene.newPassword(), proof }, headers))
  scene.assertRefused(failed.result, 401, 'Invalid credentials')
  assert.ok(failed.seconds < 1, `took ${failed.seconds} s`)
  scene.assertRefused(
    await login({ email, password, proof }, headers),
    403,
    challengeText,
    'CHALLENGE_REQUIRED',
  )
  const second = await login({ email, password, proof: await solveProof(app, 'login') }, headers)
  assert.equal(second.status, 200, second.text)
})

test('a proof makes a client one that can solve, also without fetch metadata', async () => {
  const { email, password } = await newUser(app)
  await raiseAccountFailures(app, email, 3)
  scene.assertRefused(
    await login({ email, password, proof: 'x' }, asApp(newClient())),
    403,
    challengeText,
    'CHALLENGE_REQUIRED',
  )
  const { result, seconds } = await timed(
    login({ email, password, proof: await solveProof(app, 'login') }, asApp(newClient())),
  )
  assert.equal(result.status, 200)
  assert.ok(seconds < 0.95, `took ${seconds} s`)
})

test('rows 1 to 4 answer before the back-off, row 5 before any account is looked at', async () => {
  const email = scene.newAddress()
  await raiseAccountFailures(app, email, 60)
  const refuse = async (json: Record<string, unknown>, status: number, text: string) =>
    scene.assertRefused(await login(json, asBrowser(newClient())), status, text)
  await refuse({ email }, 400, 'Email and password are required')
  await refuse({ email: 'zle', password: 'x' }, 400, 'Invalid email format')
  await refuse({ email, password: 'x', session: 'other' }, 400, 'Invalid value for session.')
  await refuse({ email, password: 'x', session: 'cookie' }, 403, 'Cross-site request refused.')
  const challenged = await login({ email, password: 'x' }, asBrowser(newClient()))
  scene.assertRefused(challenged, 403, challengeText, 'CHALLENGE_REQUIRED')
  assertLimited(await login({ email, password: 'x' }, asApp(newClient())), 900)
})

for (const [name, prepare] of [
  ['known', () => newUser(app)],
  ['unknown', async () => ({ email: scene.newAddress(), password: scene.newPassword() })],
] as const)
  test(`a ${name} account with 50 failures in an hour: 429 from a new address`, async () => {
    const { email, password } = await prepare()
    await raiseAccountFailures(app, email, 50)
    assertLimited(await login({ email, password }, asApp(newClient())), 900)
  })

test('A-L8: the owner signs in from a familiar network while others are refused; not from one of 31 days ago', async () => {
  const { email, password, id } = await newUser(app)
  const home = newClient()
  assert.equal((await login({ email, password }, asApp(home))).status, 200)
  await raiseAccountFailures(app, email, 55)
  assertLimited(await login({ email, password }, asApp(newClient())), 900)
  const neighbour = home.replace(/\d+$/, '200')
  const proof = await solveProof(app, 'login')
  const owner = await login({ email, password, proof }, asBrowser(neighbour))
  assert.equal(owner.status, 200, owner.text)

  await raiseAccountFailures(app, email, 55)
  await scene.rows(
    app,
    "update sessions set last_used_at = last_used_at - interval '31 days' where user_id = $1",
    [id],
  )
  const late = await login({ email, password, proof: await solveProof(app, 'login') }, asBrowser(neighbour))
  assertLimited(late, 900)
})

test('failures of one address slow it at every account, and no other address', async () => {
  const { email, password } = await newUser(app)
  const guilty = newClient()
  await raiseCounter(app, { kind: 'login-address', of: guilty, times: 10, windowSeconds: 900 })
  const challenged = await login({ email, password }, asBrowser(guilty))
  scene.assertRefused(challenged, 403, challengeText, 'CHALLENGE_REQUIRED')
  assert.equal((await login({ email, password }, asBrowser(newClient()))).status, 200)
})

test('the counters hold no address and no e-mail in clear', async () => {
  const email = scene.newAddress()
  const address = newClient()
  await login({ email, password: 'x' }, asApp(address))
  const keys = await scene.rows<{ key: string }>(app, 'select key from rate_counters')
  assert.ok(keys.length >= 5, 'login quota and four failures')
  const text = keys.map(({ key }) => key).join('\n')
  assert.ok(!text.includes(email) && !text.includes(address))
})
