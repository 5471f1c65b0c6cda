import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { createTestDatabase } from '../../../test/database.ts'
import { silentLogger } from '../../../test/logger.ts'
import { startRedisServer } from '../../../test/redis-server.ts'
import { systemClock } from '../../platform/clock.ts'
import type { Logger } from '../../platform/observability/logger.ts'
import { createInsuredCounters } from './insured.ts'
import { createMemoryCounters } from './memory.ts'
import { createPostgresCounters } from './postgres.ts'
import type { RateLimitStore } from './rate-limit-store.ts'
import { createRedisCounters } from './redis.ts'

const countingLogger = (): { logger: Logger; lines: string[] } => {
  const lines: string[] = []
  const note = (level: string) => (_fields: unknown, message: string) =>
    void lines.push(`${level}: ${message}`)
  return { logger: { ...silentLogger, warn: note('warn'), info: note('info') }, lines }
}
const out = 'warn: shared counters are out, counting in this process'
const back = 'info: shared counters are back'

const handClock = () => {
  let ms = Date.parse('2031-05-01T12:00:00Z')
  const advance = (seconds: number): void => {
    ms += seconds * 1000
  }
  return { now: () => new Date(ms), advance }
}

/** Counters that can be switched off, and a count of the calls that reached them. */
const switchable = () => {
  const store = createMemoryCounters()
  const state = { isDown: false, calls: 0 }
  const reach = async (): Promise<void> => {
    state.calls += 1
    if (state.isDown) throw new Error('down')
  }
  const counters: RateLimitStore = {
    ...store,
    hit: async (...given) => (await reach(), store.hit(...given)),
    read: async (...given) => (await reach(), store.read(...given)),
    clear: async (...given) => (await reach(), store.clear(...given)),
    claim: async (...given) => (await reach(), store.claim(...given)),
  }
  return { counters, state }
}

const hour = [{ key: 'a', windowSeconds: 3600 }]
const hitOnce = async (store: RateLimitStore, now: Date) => (await store.hit(hour, now))[0]?.count

test('during an outage the store is tried once a second, by one call', async () => {
  const { counters, state } = switchable()
  const clock = handClock()
  const failed: unknown[] = []
  const store = createInsuredCounters({
    store: counters,
    clock,
    logger: silentLogger,
    onFailure: (error) => failed.push(error),
  })
  const hits = (times: number) =>
    Promise.all(Array.from({ length: times }, () => hitOnce(store, clock.now())))

  assert.deepEqual(await hits(3), [1, 2, 3])
  state.isDown = true
  state.calls = 0
  assert.equal(await hitOnce(store, clock.now()), 1)
  assert.deepEqual(await hits(10), [2, 3, 4, 5, 6, 7, 8, 9, 10, 11])
  assert.equal(state.calls, 1)
  clock.advance(1)
  await hits(10)
  assert.equal(state.calls, 2)
  assert.deepEqual([failed.length, store.failures()], [2, 2])

  state.isDown = false
  assert.equal(await hitOnce(store, clock.now()), 22)
  clock.advance(1)
  assert.equal(await hitOnce(store, clock.now()), 4)
  assert.deepEqual(await hits(2), [5, 6])
})

test('one line a minute while it is out, one when it is back, and no more when it flickers', async () => {
  const { counters, state } = switchable()
  const clock = handClock()
  const { logger, lines } = countingLogger()
  const store = createInsuredCounters({ store: counters, clock, logger })
  const during = async (seconds: number): Promise<string[]> => {
    for (let second = 0; second < seconds; second += 1) {
      await hitOnce(store, clock.now())
      clock.advance(1)
    }
    return lines.splice(0)
  }
  assert.deepEqual(await during(5), [])
  state.isDown = true
  assert.deepEqual(await during(60), [out])
  assert.deepEqual(await during(60), [out])
  state.isDown = false
  assert.deepEqual(await during(5), [back])
  const flickering: string[] = []
  for (let turn = 0; turn < 10; turn += 1) {
    state.isDown = !state.isDown
    flickering.push(...(await during(5)))
  }
  assert.deepEqual(flickering, [out, back])
  assert.equal(store.failures(), 120 + 25)
})

test('a clock that is moved back does not keep the store out', async () => {
  const { counters, state } = switchable()
  const clock = handClock()
  const store = createInsuredCounters({ store: counters, clock, logger: silentLogger })
  state.isDown = true
  await hitOnce(store, clock.now())
  state.isDown = false
  clock.advance(-7200)
  state.calls = 0
  await hitOnce(store, clock.now())
  assert.equal(state.calls, 1)
})

test('a proof taken before or during an outage stays taken in this process', async () => {
  const { counters, state } = switchable()
  const clock = handClock()
  const store = createInsuredCounters({ store: counters, clock, logger: silentLogger })
  const claim = (key: string) => store.claim(key, 600, clock.now())
  assert.deepEqual([await claim('a'), await claim('a')], [true, false])
  state.isDown = true
  assert.deepEqual(
    [await claim('a'), await claim('b'), await claim('b'), await claim('c')],
    [false, true, false, true],
  )
  state.isDown = false
  clock.advance(2)
  assert.deepEqual([await claim('b'), await claim('c'), await claim('d')], [false, false, true])
  clock.advance(600)
  assert.equal(await claim('a'), true)
})

test('clearing during an outage clears the counts of this process', async () => {
  const { counters, state } = switchable()
  const clock = handClock()
  const store = createInsuredCounters({ store: counters, clock, logger: silentLogger })
  state.isDown = true
  assert.deepEqual([await hitOnce(store, clock.now()), await hitOnce(store, clock.now())], [1, 2])
  await store.clear(['a'])
  assert.equal((await store.read(['a'], clock.now()))[0]?.count, 0)
  assert.equal(await hitOnce(store, clock.now()), 1)
})

const waitFor = async (what: string, isSo: () => Promise<boolean>): Promise<void> => {
  const deadline = Date.now() + 15_000
  while (!(await isSo())) {
    if (Date.now() > deadline) throw new Error(`gave up waiting for ${what}`)
    await sleep(50)
  }
}

/** Two processes count in one store that breaks and is repaired. */
const surviveOutage = async (
  shared: readonly [RateLimitStore, RateLimitStore],
  outage: { begin(): Promise<unknown>; end(): Promise<unknown> },
): Promise<void> => {
  const logs = [countingLogger(), countingLogger()] as const
  const insure = (index: 0 | 1) =>
    createInsuredCounters({ store: shared[index], clock: systemClock, logger: logs[index].logger })
  const [one, two] = [insure(0), insure(1)]
  const hit = async (store: RateLimitStore, key = 'a') =>
    (await store.hit([{ key, windowSeconds: 3600 }], new Date()))[0]?.count
  assert.deepEqual([await hit(one), await hit(two), await hit(one)], [1, 2, 3])

  await outage.begin()
  for (let count = 1; count <= 30; count += 1) {
    const began = performance.now()
    assert.deepEqual([await hit(one), await hit(two)], [count, count])
    assert.ok(performance.now() - began < 1000)
    await sleep(50)
  }
  assert.equal(await one.claim('proof', 600, new Date()), true)
  assert.equal(await one.claim('proof', 600, new Date()), false)
  for (const { lines } of logs) assert.deepEqual(lines, [out])
  assert.ok(one.failures() >= 2 && one.failures() <= 5, String(one.failures()))

  await outage.end()
  await waitFor('both to use the store again', async () => {
    await Promise.all([one.read(['a'], new Date()), two.read(['a'], new Date())])
    return logs.every(({ lines }) => lines.includes(back))
  })
  assert.deepEqual([await hit(one, 'b'), await hit(two, 'b'), await hit(one, 'b')], [1, 2, 3])
  for (const { lines } of logs) assert.deepEqual(lines, [out, back])
}

test('Redis ends and is started again: nobody waits for it, everybody uses it again', async (t) => {
  const server = await startRedisServer()
  if (!server) return t.skip('needs redis-server')
  const stores = [createRedisCounters(server), createRedisCounters(server)] as const
  try {
    const isReady = async () => Promise.all(stores.map((store) => store.ping())).then(Boolean, () => false)
    await waitFor('the connections', isReady)
    await surviveOutage(stores, { begin: server.stop, end: server.start })
  } finally {
    await Promise.all(stores.map((store) => store.close()))
    await server.stop()
  }
})

test('the table goes away and comes back', async () => {
  const bench = await createTestDatabase()
  const { pool } = bench.database
  try {
    await surviveOutage([createPostgresCounters({ pool }), createPostgresCounters({ pool })], {
      begin: () => pool.query('alter table rate_counters rename to rate_counters_away'),
      end: () => pool.query('alter table rate_counters_away rename to rate_counters'),
    })
  } finally {
    await bench.close()
  }
})
