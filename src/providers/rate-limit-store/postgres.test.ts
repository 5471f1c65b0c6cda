import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createTestDatabase } from '../../../test/database.ts'
import { createDatabase } from '../../platform/db/database.ts'
import { rateLimitStoreContract } from './contract.ts'
import { createPostgresCounters, deleteExpiredCounters } from './postgres.ts'

const connect = (url: string) =>
  createDatabase({
    url,
    poolSize: 10,
    poolTimeoutSeconds: 5,
    statementTimeoutMs: 5000,
    applicationName: 'counters',
    onIdleError: () => undefined,
  })

rateLimitStoreContract('postgres', async () => {
  const bench = await createTestDatabase()
  const other = connect(bench.url)
  return {
    stores: [createPostgresCounters(bench.database), createPostgresCounters(other)],
    open: () => createPostgresCounters(bench.database),
    close: async () => {
      await other.close()
      await bench.close()
    },
  }
})

const start = new Date('2031-05-01T12:00:00Z')
const after = (seconds: number): Date => new Date(start.getTime() + seconds * 1000)

test('a counter outlives the transaction of a refused request', async () => {
  const bench = await createTestDatabase()
  try {
    const store = createPostgresCounters(bench.database)
    const refused = bench.database.transaction(async () => {
      await store.hit([{ key: 'a', windowSeconds: 60 }], start)
      throw new Error('refused')
    })
    await assert.rejects(refused, /refused/)
    assert.equal((await store.read(['a'], start))[0]?.count, 1)
  } finally {
    await bench.close()
  }
})

test('a locked counter, or no free connection, is given up after a second', async () => {
  const bench = await createTestDatabase()
  const small = createDatabase({
    url: bench.url,
    poolSize: 1,
    poolTimeoutSeconds: 20,
    statementTimeoutMs: 15_000,
    applicationName: 'counters',
    onIdleError: () => undefined,
  })
  const asked = [{ key: 'a', windowSeconds: 60 }]
  const store = createPostgresCounters(small)
  try {
    await store.hit(asked, start)
    const holder = await bench.database.pool.connect()
    await holder.query('begin')
    await holder.query('select 1 from rate_counters for update')
    const began = performance.now()
    await assert.rejects(store.hit(asked, start), /timeout|no answer within/)
    assert.ok(performance.now() - began < 1500)
    await holder.query('rollback')
    holder.release()

    const only = await small.pool.connect()
    await assert.rejects(store.hit(asked, start), /no answer within 1000 ms/)
    only.release()
    assert.ok(((await store.hit(asked, start))[0]?.count ?? 0) >= 2)
  } finally {
    await small.close()
    await bench.close()
  }
})

test('expired counters are deleted, a part at a time; running ones and ones in use stay', async () => {
  const bench = await createTestDatabase()
  try {
    const store = createPostgresCounters(bench.database)
    const expired = Array.from({ length: 25 }, (_, index) => `old-${index}`)
    const hit = (keys: string[], windowSeconds: number) =>
      store.hit(
        keys.map((key) => ({ key, windowSeconds })),
        start,
      )
    await hit([...expired, 'in-use'], 60)
    await hit(['running'], 61)
    const holder = await bench.database.pool.connect()
    await holder.query('begin')
    await holder.query(`select 1 from rate_counters where key = 'in-use' for update`)
    const sweep = (limit: number) =>
      bench.database.transaction((tx) => deleteExpiredCounters(tx, after(60), limit))
    assert.deepEqual([await sweep(10), await sweep(100), await sweep(100)], [10, 15, 0])
    await holder.query('rollback')
    holder.release()
    const { rows } = await bench.database.pool.query('select key from rate_counters order by key')
    assert.deepEqual(rows, [{ key: 'in-use' }, { key: 'running' }])
  } finally {
    await bench.close()
  }
})
