import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as scene from './account-scene.ts'
import { until, type TestApp } from './app.ts'
import { startRedisServer, type RedisServer } from './redis-server.ts'
import { startServerProcess, type ServerProcess } from './server-process.ts'
import { asApp, asBrowser, newClient, newUser, solveProof, startThrottledApp } from './throttle-scene.ts'

/** Asks a process for a challenge; what is left of the 30 a minute of this address. */
const challenge = async (app: TestApp, { url }: { url: string }, headers: Record<string, string>) => {
  const answer = await app.call('GET', `${url}/auth/challenge?purpose=login`, { headers })
  return { status: answer.status, left: Number(/r=(\d+)/.exec(answer.headers.get('ratelimit') ?? '')?.[1]) }
}

const login = (app: TestApp, { url }: { url: string }, json: object, headers: Record<string, string>) =>
  app.call('POST', `${url}/auth/login`, { json, headers })

interface Story {
  app: TestApp
  one: ServerProcess
  two: ServerProcess
  env: Record<string, string>
  address: string
}

/** One quota, one account’s failures and one proof, each begun at one process and met again at the other. */
const shareCounters = async ({ app, one, two, address }: Story) => {
  const lefts = []
  for (const at of [one, two, two, one]) lefts.push((await challenge(app, at, asApp(address))).left)
  assert.deepEqual(lefts, [29, 28, 27, 26])

  const { email, password } = await newUser(app)
  for (const at of [one, two, one]) {
    const wrong = { email, password: scene.newPassword() }
    assert.equal((await login(app, at, wrong, asApp(newClient()))).status, 401)
  }
  for (const at of [one, two])
    assert.equal((await login(app, at, { email, password }, asBrowser(newClient()))).status, 403)

  const proof = await solveProof(app, 'login', one.url)
  const wrong = { email, password: scene.newPassword(), proof }
  assert.equal(
    (await login(app, two, wrong, asBrowser(newClient()))).status,
    401,
    'solved for one, good at two',
  )
  for (const at of [one, two])
    assert.equal(
      (await login(app, at, { email, password, proof }, asBrowser(newClient()))).status,
      403,
      'once',
    )
  return { email, password, proof }
}

/** One process dies; the one in its place knows the quota, the account’s failures and the used proof. */
const surviveRestart = async (
  { app, one, env, address }: Story,
  { email, password, proof }: { email: string; password: string; proof: string },
): Promise<ServerProcess> => {
  await one.kill()
  const three = await startServerProcess(app, env)
  assert.equal((await challenge(app, three, asApp(address))).left, 25)
  assert.equal((await login(app, three, { email, password, proof }, asBrowser(newClient()))).status, 403)
  const started = performance.now()
  assert.equal((await login(app, three, { email, password }, asApp(newClient()))).status, 200)
  assert.ok(performance.now() - started >= 1990, 'the fourth failure was counted before the restart')
  return three
}

const startPair = (app: TestApp, env: Record<string, string>) =>
  Promise.all([startServerProcess(app, env), startServerProcess(app, env)])

describe('two processes on one store', () => {
  test('A-L6, PostgreSQL: one counter for both, and a restart does not reset it', async () => {
    const app = await startThrottledApp({ work: false })
    const started: ServerProcess[] = []
    try {
      const [one, two] = await startPair(app, {})
      started.push(one, two)
      const story = { app, one, two, env: {}, address: newClient() }
      started.push(await surviveRestart(story, await shareCounters(story)))
    } finally {
      await Promise.all(started.map((each) => each.kill()))
      await app.close()
    }
  })

  test('A-L6, Redis: the same; stopped, both go on and count for themselves; back, they share again', async (t) => {
    const redis = await startRedisServer()
    if (!redis) return t.skip('needs redis-server')
    const env = { REDIS_URL: redis.url }
    const app = await startThrottledApp({ work: false })
    const started: ServerProcess[] = []
    try {
      const [one, two] = await startPair(app, env)
      started.push(one, two)
      const story = { app, one, two, env, address: newClient() }
      const three = await surviveRestart(story, await shareCounters(story))
      started.push(three)
      assert.equal(await scene.count(app, 'rate_counters'), 0, 'nothing was counted in the database')
      await outlastTheStore(app, redis, two, three)
    } finally {
      await Promise.all(started.map((each) => each.kill()))
      await app.close()
      await redis.stop()
    }
  })
})

const outlastTheStore = async (
  app: TestApp,
  redis: RedisServer,
  one: ServerProcess,
  two: ServerProcess,
): Promise<void> => {
  const headers = asApp(newClient())
  const { email, password } = await newUser(app)
  await redis.stop()
  for (const at of [one, two]) {
    const statuses = []
    for (let count = 0; count < 31; count += 1) statuses.push((await challenge(app, at, headers)).status)
    assert.deepEqual(statuses, [...Array.from({ length: 30 }, () => 200), 429])
    for (let count = 0; count < 3; count += 1) {
      const wrong = { email, password: scene.newPassword() }
      assert.equal((await login(app, at, wrong, asApp(newClient()))).status, 401)
    }
    assert.equal((await login(app, at, { email, password }, asBrowser(newClient()))).status, 403)
    const proof = await solveProof(app, 'login', at.url)
    assert.equal((await login(app, at, { email, password, proof }, asBrowser(newClient()))).status, 200)
    const warnings = at.output().split('shared counters are out').length - 1
    assert.equal(warnings, 1, at.output())
    const ready = await app.call('GET', `${at.url}/health/ready`)
    assert.deepEqual([ready.status, /"redis":"(\w+)"/.exec(ready.text)?.[1]], [200, 'degraded'])
  }
  await redis.start()
  const address = asApp(newClient())
  await until(async () => {
    await challenge(app, one, asApp(newClient()))
    const [first, second] = [await challenge(app, one, address), await challenge(app, two, address)]
    return second.left < first.left ? true : null
  }, 'counting together again')
}

test('the database stopped: quotas hold in the process, what needs no database is served, the rest is 503', async () => {
  const app = await startThrottledApp({ work: false })
  app.expectErrors()
  try {
    const { email, password } = await newUser(app)
    const headers = asApp(newClient())
    await scene.withoutDatabase(app, async () => {
      const statuses = []
      for (let count = 0; count < 31; count += 1) statuses.push((await challenge(app, app, headers)).status)
      assert.deepEqual(statuses, [...Array.from({ length: 30 }, () => 200), 429])
      const answer = await login(app, app, { email, password }, asApp(newClient()))
      assert.equal(answer.status, 503, answer.text)
      assert.ok(Number(answer.headers.get('retry-after')) >= 1)
      assert.equal(answer.headers.get('ratelimit-policy'), '"login";q=10;w=60')
    })
    assert.equal((await login(app, app, { email, password }, asApp(newClient()))).status, 200)
    const lines = app.lines.filter(({ message }) => message.startsWith('shared counters are out'))
    assert.equal(lines.length, 1, 'one line a minute')
  } finally {
    await app.close()
  }
})
