import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import * as scene from './account-scene.ts'
import { startTestApp, type Account, type TestApp } from './app.ts'
import { createOddRequests, fillIn, problemOf } from './odd-requests.ts'
import { seededRandom } from './seeded-random.ts'

const seed = Number(process.env['TEST_SEED']) || Date.now() & 0x7fffffff
const requests = 1500
const lanes = 8
const hidden = ['/', '/docs', '/docs/', '/icons/logo.png', '/static/brand.css', '/files/{key}', '/dev/outbox']

let app: TestApp
let account: Account
before(async () => {
  app = await startTestApp({ work: false })
  account = await scene.createAccount(app)
})
after(() => app.close())

test(`${requests} malformed requests: no fault, every refusal in JSON, seed ${seed}`, async (t) => {
  t.diagnostic(`seed ${seed}`)
  const described = Object.keys(app.app.http.swagger().paths ?? {})
  assert.ok(described.length > 15, 'the routes were found')
  const paths: [string, ...string[]] = ['/', ...described, ...hidden, '/nope']
  const problems: string[] = []
  const seen = new Map<number, number>()
  const { oddRequest } = createOddRequests(seededRandom(seed))
  const { accessToken: access, refreshToken: refresh, email } = account
  // The password stays unknown: nothing here may delete or change the account.
  const values = { access, refresh, email, password: 'not the password' }
  // All are made before the first is sent, so that a seed repeats them whatever the timing.
  const waiting = Array.from({ length: requests }, () => fillIn(oddRequest(paths), values))
  const run = async (): Promise<void> => {
    for (let request = waiting.pop(); request; request = waiting.pop()) {
      const { statusCode: status, headers, body } = await app.app.http.inject(request)
      seen.set(status, (seen.get(status) ?? 0) + 1)
      const problem = problemOf({ status, headers, body }, request)
      if (problem) problems.push(`${problem}: ${JSON.stringify(request).slice(0, 500)}`)
    }
  }
  await Promise.all(Array.from({ length: lanes }, run))
  t.diagnostic(JSON.stringify(Object.fromEntries(seen)))
  assert.deepEqual(problems, [])
  for (const status of [200, 400, 401, 404, 405, 413, 415])
    assert.ok(seen.has(status), `${status} was reached`)
  assert.equal((await app.call('GET', '/health/ready')).status, 200)
})
