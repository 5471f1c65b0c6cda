import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { after, before, test } from 'node:test'
import * as scene from '../../../test/account-scene.ts'
import type { TestApp } from '../../../test/app.ts'
import {
  asApp,
  newClient,
  newUser,
  raiseCounter,
  signInAt,
  startThrottledApp,
} from '../../../test/throttle-scene.ts'

const someToken = (): string => randomBytes(32).toString('base64url')

let app: TestApp
before(async () => {
  app = await startThrottledApp({ work: false })
})
after(() => app.close())

test('register: the hour’s window outlasts the minute’s', async () => {
  const address = newClient()
  const register = () => app.call('POST', '/auth/register', { json: {}, headers: asApp(address) })
  for (let minute = 0; minute < 4; minute += 1) {
    for (let count = 0; count < 5; count += 1) assert.equal((await register()).status, 400)
    await scene.advanceClock(app, 60)
  }
  const answer = await register()
  assert.equal(answer.status, 429)
  const retryAfter = Number(answer.headers.get('retry-after'))
  assert.ok(retryAfter > 3300 && retryAfter <= 3360, String(retryAfter))
  assert.match(answer.headers.get('ratelimit') ?? '', /^"register";r=4;t=60, "register-3600";r=0;t=33\d\d$/)
})

test('A-L32: opening the reset page 20 times leaves the quota of its POST untouched', async () => {
  const headers = asApp(newClient())
  const target = `/auth/reset-password/${someToken()}`
  for (let count = 0; count < 20; count += 1)
    assert.equal((await app.call('GET', target, { headers })).status, 400)
  const answer = await app.call('POST', target, { json: {}, headers })
  assert.match(answer.headers.get('ratelimit') ?? '', /^"reset";r=4;/)
})

test('a browser that is over the limit of a mailed link is shown a Polish page, status and headers unchanged', async () => {
  const address = newClient()
  await raiseCounter(app, { kind: 'limit:link:300', of: address, times: 30, windowSeconds: 300 })
  const headers = { ...asApp(address), accept: 'text/html,*/*' }
  const answer = await app.call('GET', `/auth/reset-password/${someToken()}`, { headers })
  assert.equal(answer.status, 429)
  assert.equal(answer.headers.get('content-type'), 'text/html; charset=utf-8')
  assert.match(answer.text, /<html lang="pl">/)
  assert.ok(Number(answer.headers.get('retry-after')) >= 1)
  assert.match(answer.headers.get('ratelimit') ?? '', /^"link";r=0;t=\d+$/)
})

test('authentication, then limit, then body: unreadable and huge bodies count, and are not read past the limit', async () => {
  const token = await signInAt(app, await newUser(app))
  const broken = {
    token,
    headers: { ...asApp(newClient()), 'content-type': 'application/json' },
    body: '{',
  }
  const text = { ...broken, headers: { 'content-type': 'text/plain' } }
  const huge = { token, json: { current_password: 'x'.repeat(70_000) } }
  const answers = [await app.call('PATCH', '/auth/me', broken), await app.call('PATCH', '/auth/me', text)]
  answers.push(await app.call('PATCH', '/auth/me', huge))
  assert.deepEqual(
    answers.map(({ status, headers }) => [status, headers.get('ratelimit')?.slice(0, 13)]),
    [
      [400, '"profile";r=4'],
      [415, '"profile";r=3'],
      [413, '"profile";r=2'],
    ],
  )
  for (let count = 0; count < 2; count += 1) await app.call('PATCH', '/auth/me', { token, json: {} })
  for (const options of [broken, text, huge])
    assert.equal((await app.call('PATCH', '/auth/me', options)).status, 429)
})

test('ten wrong current passwords in an hour: 429 wherever one is asked for, with the right one too', async () => {
  const account = await newUser(app)
  const asking = [
    ['PATCH', '/auth/me'],
    ['DELETE', '/auth/me'],
    ['POST', '/auth/me/export'],
  ] as const
  const wrong = { current_password: scene.newPassword() }
  const call = async (method: string, path: string, json: object) => app.call(method, path, { token, json })
  let token = await signInAt(app, account)
  for (let count = 0; count < 10; count += 1) {
    const [method, path] = asking[count % 2] ?? asking[0]
    assert.equal((await call(method, path, wrong)).status, 403)
    if (count % 4 === 3) await scene.advanceClock(app, 300)
  }
  for (const [method, path] of asking) {
    const answer = await call(method, path, { current_password: account.password })
    assert.equal(answer.status, 429, `${method} ${path}`)
    const retryAfter = Number(answer.headers.get('retry-after'))
    assert.ok(retryAfter > 2000 && retryAfter <= 3000, String(retryAfter))
  }
  await scene.advanceClock(app, 3000)
  token = await signInAt(app, account)
  assert.equal((await call('POST', '/auth/me/export', { current_password: account.password })).status, 202)
})

test('no limit on the profile, the device list, signing out and tasks', async () => {
  const account = await newUser(app)
  const token = await signInAt(app, account)
  for (let count = 0; count < 35; count += 1) {
    const answers = await Promise.all([
      app.call('GET', '/auth/me', { token }),
      app.call('GET', '/auth/sessions', { token }),
      app.call('GET', `/tasks/${someToken()}`, { token }),
      app.call('POST', '/auth/logout', { json: { refresh_token: 'x' } }),
    ])
    assert.deepEqual(
      answers.map(({ status }) => status),
      [200, 200, 404, 204],
    )
    for (const { headers } of answers) assert.equal(headers.get('ratelimit'), null)
  }
  const answer = await app.call('POST', '/auth/logout-all', { token })
  assert.deepEqual([answer.status, answer.headers.get('ratelimit')], [204, null])
})
