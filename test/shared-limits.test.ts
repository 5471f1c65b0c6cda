import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createClient } from 'redis'
import { buildApp } from '../src/app.ts'
import { loadConfig } from '../src/platform/config.ts'
import { freePort } from '../src/platform/free-port.ts'
import { startTestApp, until, type TestApp } from './app.ts'
import { silentLogger } from './logger.ts'
import { startRedisServer } from './redis-server.ts'

const challenge = async (app: TestApp) => {
  const { status, headers } = await app.call('GET', '/auth/challenge?purpose=login')
  return { status, left: Number(/r=(\d+)/.exec(headers.get('ratelimit') ?? '')?.[1]) }
}
const readiness = async (app: TestApp) => {
  const { status, body } = await app.call('GET', '/health/ready')
  return { status, redis: (body['checks'] as Record<string, string>)['redis'] }
}
/** Asks until `wanted` is what Redis is said to be. */
const redisIs = (app: TestApp, wanted: string) =>
  until(async () => ((await readiness(app)).redis === wanted ? true : null), `redis ${wanted}`)

test('two servers share limits through Redis, which holds no address; it may end and come back', async (t) => {
  const redis = await startRedisServer()
  if (!redis) return t.skip('needs redis-server')
  const env = { RATELIMIT_ENABLED: 'true', REDIS_URL: redis.url, SECRET_KEY: 's'.repeat(43) }
  const [one, two] = await Promise.all([
    startTestApp({ env, work: false }),
    startTestApp({ env, work: false }),
  ])
  try {
    await Promise.all([one, two].map((app) => redisIs(app, 'ok')))
    const lefts = [await challenge(one), await challenge(two), await challenge(one)]
    assert.deepEqual(
      lefts.map(({ left }) => left),
      [29, 28, 27],
    )
    const client = await createClient({ url: redis.url }).connect()
    const keys = await client.keys('*')
    client.destroy()
    assert.equal(keys.length, 1)
    assert.match(keys[0] ?? '', /^dawnotemu:limit:challenge:60:[\w-]{22}$/)

    await redis.stop()
    for (let count = 1; count <= 30; count += 1)
      assert.deepEqual(await challenge(one), { status: 200, left: 30 - count })
    assert.equal((await challenge(one)).status, 429)
    assert.deepEqual(await readiness(one), { status: 200, redis: 'degraded' })

    await redis.start()
    await redisIs(one, 'ok')
    await until(async () => ((await challenge(one)).status === 200 ? true : null), 'the shared counter')
  } finally {
    await Promise.all([one.close(), two.close()])
    await redis.stop()
  }
})

test('a server starts without its Redis, counts for itself and can be stopped', async () => {
  const app = await startTestApp({
    env: { RATELIMIT_ENABLED: 'true', REDIS_URL: `redis://127.0.0.1:${await freePort()}` },
    work: false,
  })
  try {
    assert.deepEqual(await challenge(app), { status: 200, left: 29 })
    assert.deepEqual(await readiness(app), { status: 200, redis: 'degraded' })
    assert.deepEqual(
      app.lines.map(({ message }) => message),
      ['shared counters are out, counting in this process'],
    )
  } finally {
    await app.close()
  }
})

/** A further server over the same database, as another process or after a restart. */
const startSibling = (app: TestApp) => {
  const loaded = loadConfig(app.env)
  assert.ok(loaded.kind === 'ok')
  return buildApp({
    config: loaded.config,
    databaseUrl: app.databaseUrl,
    secretKey: app.env['SECRET_KEY'] ?? '',
    logger: silentLogger,
  })
}

test('without Redis the database counts for all servers; a restart resets nothing (A-L6)', async () => {
  const app = await startTestApp({ env: { RATELIMIT_ENABLED: 'true' }, work: false })
  try {
    assert.deepEqual([await challenge(app), (await readiness(app)).redis], [{ status: 200, left: 29 }, 'off'])
    for (const left of [27, 25]) {
      const sibling = await startSibling(app)
      assert.equal((await challenge(app)).left, left + 1)
      const answer = await sibling.http.inject('/auth/challenge?purpose=login')
      assert.match(String(answer.headers['ratelimit']), new RegExp(`;r=${left};`))
      await sibling.close()
    }
    const { rows } = await app.test.database.pool.query('select key, count from rate_counters')
    assert.deepEqual(
      rows.map(({ count }) => count),
      [5],
    )
    assert.match(rows[0].key, /^limit:challenge:60:[\w-]{22}$/)
  } finally {
    await app.close()
  }
})
