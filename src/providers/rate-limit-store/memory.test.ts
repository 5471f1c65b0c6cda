import assert from 'node:assert/strict'
import { test } from 'node:test'
import { rateLimitStoreContract } from './contract.ts'
import { createMemoryCounters } from './memory.ts'

rateLimitStoreContract('memory', async () => {
  const store = createMemoryCounters()
  return { stores: [store, store], open: null, close: () => store.close() }
})

const start = new Date('2031-05-01T12:00:00Z')
const after = (seconds: number): Date => new Date(start.getTime() + seconds * 1000)
const countOf = async (store: ReturnType<typeof createMemoryCounters>, key: string, now: Date) =>
  (await store.read([key], now))[0]?.count

test('over the bound the counters whose windows began first are forgotten', async () => {
  const store = createMemoryCounters({ maxKeys: 3 })
  for (const key of ['a', 'b', 'c', 'a', 'd']) await store.hit([{ key, windowSeconds: 60 }], start)
  const found = await Promise.all(['a', 'b', 'c', 'd'].map((key) => countOf(store, key, start)))
  assert.deepEqual(found, [0, 1, 1, 1])
})

test('counters that are over leave room before a running one is forgotten', async () => {
  const store = createMemoryCounters({ maxKeys: 3 })
  await store.hit([{ key: 'long', windowSeconds: 3600 }], start)
  for (const key of ['a', 'b']) await store.hit([{ key, windowSeconds: 60 }], start)
  for (const key of ['c', 'd']) await store.hit([{ key, windowSeconds: 60 }], after(61))
  assert.equal(await countOf(store, 'long', after(62)), 1)
})
