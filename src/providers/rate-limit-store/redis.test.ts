import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { createClient } from 'redis'
import { freePort } from '../../platform/free-port.ts'
import { startRedisServer } from '../../../test/redis-server.ts'
import { rateLimitStoreContract } from './contract.ts'
import { createRedisCounters } from './redis.ts'

const missing = 'needs redis-server'

rateLimitStoreContract('redis', async () => {
  const given = process.env['REDIS_TEST_URL']
  const server = given === undefined ? await startRedisServer() : null
  const url = given ?? server?.url
  if (url === undefined) return missing
  const stores = [createRedisCounters({ url }), createRedisCounters({ url })] as const
  await Promise.all(stores.map(connected))
  return {
    stores,
    open: () => createRedisCounters({ url }),
    close: async () => {
      await Promise.all(stores.map((store) => store.close()))
      await server?.stop()
    },
  }
})

const start = new Date('2031-05-01T12:00:00Z')

/** Until it answers: the connection is made in the background. */
const connected = async (store: ReturnType<typeof createRedisCounters>): Promise<void> => {
  for (let tries = 0; ; tries += 1) {
    try {
      return await store.ping()
    } catch (error) {
      if (tries > 200) throw error
      await sleep(25)
    }
  }
}

const elapsed = async (work: () => Promise<unknown>): Promise<number> => {
  const began = performance.now()
  await work()
  return performance.now() - began
}

test('keys carry our prefix and clean themselves up, a minute late; the script is loaded again when lost', async (t) => {
  const server = await startRedisServer()
  if (!server) return t.skip(missing)
  const store = createRedisCounters({ url: server.url })
  const client = createClient({ url: server.url })
  try {
    await Promise.all([connected(store), client.connect()])
    await store.hit([{ key: 'a', windowSeconds: 600 }], start)
    assert.deepEqual(await client.keys('*'), ['dawnotemu:a'])
    const ttlMs = await client.pTTL('dawnotemu:a')
    assert.ok(ttlMs > 650_000 && ttlMs <= 660_000, String(ttlMs))
    await client.scriptFlush()
    assert.equal((await store.hit([{ key: 'a', windowSeconds: 600 }], start))[0]?.count, 2)
  } finally {
    client.destroy()
    await store.close()
    await server.stop()
  }
})

test('where nothing listens, calls fail at once and the store can be closed', async () => {
  const store = createRedisCounters({ url: `redis://127.0.0.1:${await freePort()}` })
  await assert.rejects(store.ping())
  await sleep(500)
  const tookMs = await elapsed(() => assert.rejects(store.hit([{ key: 'a', windowSeconds: 60 }], start)))
  assert.ok(tookMs < 100, `${tookMs} ms`)
  await store.close()
  await assert.rejects(store.ping())
})

test('an address that cannot be one rejects each call', async () => {
  const store = createRedisCounters({ url: 'redis://127.0.0.1/no-number' })
  await assert.rejects(store.ping(), /Invalid pathname/)
  await store.close()
})

test('a Redis that went away is found again', async (t) => {
  const server = await startRedisServer()
  if (!server) return t.skip(missing)
  const store = createRedisCounters({ url: server.url })
  const asked = [{ key: randomBytes(8).toString('hex'), windowSeconds: 60 }]
  try {
    await connected(store)
    await store.hit(asked, start)
    await server.stop()
    await assert.rejects(store.hit(asked, start))
    await server.start()
    await connected(store)
    assert.equal((await store.hit(asked, start))[0]?.count, 1)
  } finally {
    await store.close()
    await server.stop()
  }
})

test('a Redis that hangs costs a quarter of a second, and is used again when it goes on', async (t) => {
  const server = await startRedisServer()
  if (!server) return t.skip(missing)
  const store = createRedisCounters({ url: server.url })
  const asked = [{ key: 'a', windowSeconds: 60 }]
  try {
    await connected(store)
    await store.hit(asked, start)
    server.freeze()
    const tookMs = await elapsed(() => assert.rejects(store.hit(asked, start), /no answer within 250 ms/))
    assert.ok(tookMs < 600, `${tookMs} ms`)
    // The hanging connection was given up for one that has no answer either.
    await assert.rejects(store.hit(asked, start))
    server.resume()
    await connected(store)
    // The hit that was not answered may have counted.
    assert.ok(((await store.hit(asked, start))[0]?.count ?? 0) >= 2)
  } finally {
    server.resume()
    await store.close()
    await server.stop()
  }
})
