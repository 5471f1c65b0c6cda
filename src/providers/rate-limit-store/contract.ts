import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import * as runner from 'node:test'
import fc from 'fast-check'
import { createMemoryCounters } from './memory.ts'
import type { Counter, RateLimitStore } from './rate-limit-store.ts'

export interface CountersUnderTest {
  /** Two ways to the same counters, as two processes have them. */
  stores: readonly [RateLimitStore, RateLimitStore]
  /** A third one, as after a restart; null where the counters go with the process. */
  open: (() => RateLimitStore) | null
  close(): Promise<void>
}

// Apart from the machine's time: only the time that is passed may count.
const start = new Date('2031-05-01T12:00:00.250Z')
const after = (seconds: number): Date => new Date(start.getTime() + seconds * 1000)
const counted = (count: number, endSeconds: number): Counter => ({ count, resetsAt: after(endSeconds) })
const counts = (counters: readonly Counter[]): number[] => counters.map(({ count }) => count)

/** What every `RateLimitStore` must do, as a suite of tests. `create` answers why it cannot run here, if so. */
export const rateLimitStoreContract = (
  name: string,
  create: () => Promise<CountersUnderTest | string>,
): void => {
  void runner.suite(`rate limit store contract: ${name}`, () => {
    let underTest: CountersUnderTest | string
    runner.before(async () => {
      underTest = await create()
    })
    runner.after(() => (typeof underTest === 'string' ? undefined : underTest.close()))

    /** Each test has key names of its own: `key('a')`. */
    const test = (
      what: string,
      run: (given: CountersUnderTest, key: (own: string) => string) => Promise<void>,
    ): void =>
      void runner.test(what, async (t) => {
        if (typeof underTest === 'string') return t.skip(underTest)
        const id = randomBytes(8).toString('hex')
        await run(underTest, (own) => `${id}:${own}`)
      })

    test('hits add up, each counter by itself, in the order asked', async ({ stores: [store] }, key) => {
      const [a, b, c] = [key('a'), key('b'), key('c')]
      await store.hit([{ key: b, windowSeconds: 60 }], start)
      await store.hit([{ key: b, windowSeconds: 60 }], after(1))
      const asked = [
        { key: c, windowSeconds: 10.5 },
        { key: b, windowSeconds: 60 },
        { key: a, windowSeconds: 86_400 },
      ]
      assert.deepEqual(await store.hit(asked, after(2)), [
        counted(1, 12.5),
        counted(3, 60),
        counted(1, 86_402),
      ])
      assert.deepEqual(await store.hit(asked.toReversed(), after(3)), [
        counted(2, 86_402),
        counted(4, 60),
        counted(2, 12.5),
      ])
      assert.deepEqual(await store.hit([], start), [])
    })

    test('a counter asked for twice in one call counts twice', async ({ stores: [store] }, key) => {
      const asked = ['a', 'b', 'a'].map((own) => ({ key: key(own), windowSeconds: 60 }))
      await store.hit(asked, start)
      await store.hit(asked, after(1))
      assert.deepEqual(await store.read([key('a'), key('b')], after(1)), [counted(4, 60), counted(2, 60)])
    })

    test('a window begins anew with the first hit at or after its end', async ({ stores: [store] }, key) => {
      const asked = [{ key: key('a'), windowSeconds: 60 }]
      await store.hit(asked, start)
      assert.deepEqual(await store.hit(asked, after(59.999)), [counted(2, 60)])
      assert.deepEqual(await store.hit(asked, after(60)), [counted(1, 120)])
      assert.deepEqual(await store.hit(asked, after(100_000)), [counted(1, 100_060)])
    })

    test('reading counts nothing; over or unknown is 0 with a past end', async ({ stores: [store] }, key) => {
      const [a, b] = [key('a'), key('b')]
      await store.hit([{ key: a, windowSeconds: 60 }], start)
      for (const seconds of [1, 59.999])
        assert.deepEqual((await store.read([b, a], after(seconds)))[1], counted(1, 60))
      for (const { count, resetsAt } of await store.read([b, a], after(60))) {
        assert.equal(count, 0)
        assert.ok(resetsAt <= after(60))
      }
      assert.deepEqual(await store.hit([{ key: a, windowSeconds: 60 }], after(2)), [counted(2, 60)])
      assert.deepEqual(await store.read([], start), [])
    })

    test('clearing forgets the counters named and no other', async ({ stores: [store] }, key) => {
      const [a, b, c] = [key('a'), key('b'), key('c')]
      await store.hit(
        [a, b, c].map((own) => ({ key: own, windowSeconds: 60 })),
        start,
      )
      await store.clear([c, a, key('unknown')])
      await store.clear([])
      assert.deepEqual(counts(await store.read([a, b, c], after(1))), [0, 1, 0])
      assert.deepEqual(await store.hit([{ key: a, windowSeconds: 60 }], after(5)), [counted(1, 65)])
    })

    test('a claim holds once, for its time only', async ({ stores: [store, other] }, key) => {
      assert.equal(await store.claim(key('a'), 600, start), true)
      assert.equal(await other.claim(key('a'), 600, after(1)), false)
      assert.equal(await store.claim(key('b'), 600, after(1)), true)
      assert.equal(await other.claim(key('a'), 600, after(599)), false)
      assert.equal(await other.claim(key('a'), 600, after(600)), true)
    })

    test('of twenty claims at once over two connections one holds', async ({ stores }, key) => {
      const claims = Array.from({ length: 20 }, (_, index) =>
        stores[index % 2 ? 1 : 0].claim(key('a'), 60, start),
      )
      assert.deepEqual((await Promise.all(claims)).filter(Boolean), [true])
    })

    test('hits at once lose no count and are told apart', async ({ stores }, key) => {
      const asked = [{ key: key('a'), windowSeconds: 60 }]
      const hits = Array.from({ length: 60 }, (_, index) => stores[index % 2 ? 1 : 0].hit(asked, start))
      const seen = (await Promise.all(hits)).flatMap(counts).sort((a, b) => a - b)
      assert.deepEqual(
        seen,
        seen.map((_, index) => index + 1),
      )
    })

    test('crossing sets at once lose no count and block no other', async ({ stores }, key) => {
      const names = Array.from({ length: 12 }, (_, index) => key(String(index)))
      const asked = names.map((own) => ({ key: own, windowSeconds: 60 }))
      const calls = Array.from({ length: 60 }, (_, index) => {
        const turned = [...asked.slice(index % 12), ...asked.slice(0, index % 12)]
        return stores[index % 2 ? 1 : 0].hit(index % 3 ? turned : turned.toReversed(), start)
      })
      const clearing = stores[0].clear(names.map((own) => `${own}:other`))
      await Promise.all([...calls, clearing])
      assert.deepEqual(
        counts(await stores[0].read(names, start)),
        names.map(() => 60),
      )
    })

    test('two processes share a counter and a restart does not reset it (A-L6)', async (given, key) => {
      const asked = [{ key: key('a'), windowSeconds: 60 }]
      const [store, other] = given.stores
      await store.hit(asked, start)
      assert.deepEqual(await other.hit(asked, after(1)), [counted(2, 60)])
      if (!given.open) return
      const restarted = given.open()
      try {
        assert.deepEqual(await restarted.hit(asked, after(2)), [counted(3, 60)])
      } finally {
        await restarted.close()
      }
    })

    if (name === 'memory') return
    const step = fc.record({
      call: fc.constantFrom('hit', 'hit', 'hit', 'read', 'clear', 'claim'),
      keys: fc.uniqueArray(fc.constantFrom('a', 'b', 'c'), { minLength: 1 }),
      windowSeconds: fc.constantFrom(1, 60, 0.5),
      waitMs: fc.constantFrom(0, 1, 499, 500, 1000, 60_000),
    })
    test('any sequence of calls answers as counting in memory does', async ({ stores }, key) => {
      let run = 0
      const agrees = fc.asyncProperty(fc.array(step, { maxLength: 25 }), async (steps) => {
        run += 1
        const model = createMemoryCounters()
        let now = start
        for (const [index, { call, keys, windowSeconds, waitMs }] of steps.entries()) {
          now = new Date(now.getTime() + waitMs)
          const names = keys.map((own) => key(`${run}${own}`))
          const perform = async (store: RateLimitStore): Promise<unknown> => {
            if (call === 'read') return store.read(names, now)
            if (call === 'clear') return store.clear(names)
            if (call === 'claim') return store.claim(names[0] ?? '', windowSeconds, now)
            return store.hit(
              names.map((own) => ({ key: own, windowSeconds })),
              now,
            )
          }
          assert.deepEqual(await perform(stores[index % 2 ? 1 : 0]), await perform(model))
        }
      })
      await fc.assert(agrees, { numRuns: 25 })
    })
  })
}
