import type { Clock } from '../../platform/clock.ts'
import type { Logger } from '../../platform/observability/logger.ts'
import { createMemoryCounters } from './memory.ts'
import type { RateLimitStore } from './rate-limit-store.ts'

const pauseMs = 1000
const logEveryMs = 60_000

export interface InsuredCounters extends RateLimitStore {
  /** Calls that the shared store failed since the start. */
  failures(): number
}

/**
 * A shared store that may fail without a request noticing: the same quotas are then counted in this process. After a
 * failure the store is left alone for a second and then tried by one call, so a dead one does not slow the others.
 */
export const createInsuredCounters = (deps: {
  store: RateLimitStore
  clock: Clock
  logger: Logger
  /** For each call that the store failed. */
  onFailure?: (error: unknown) => void
}): InsuredCounters => {
  const { store, clock, logger } = deps
  const memory = createMemoryCounters()
  let failures = 0
  /** When the store failed or was last tried; null while it works. */
  let triedAt: number | null = null
  let loggedAt: number | null = null
  let isAnnounced = false

  // Both ways: a test clock may be moved back.
  const isWithin = (ms: number, since: number | null): boolean =>
    since !== null && Math.abs(clock.now().getTime() - since) < ms

  const fail = (error: unknown): void => {
    failures += 1
    triedAt = clock.now().getTime()
    deps.onFailure?.(error)
    if (isWithin(logEveryMs, loggedAt)) return
    loggedAt = clock.now().getTime()
    isAnnounced = true
    logger.warn(
      { store: store.name, err: error, failures },
      'shared counters are out, counting in this process',
    )
  }
  const succeed = (): void => {
    triedAt = null
    if (!isAnnounced) return
    isAnnounced = false
    logger.info({ store: store.name, failures }, 'shared counters are back')
  }

  const run = async <T>(call: (own: RateLimitStore) => Promise<T>): Promise<T> => {
    if (isWithin(pauseMs, triedAt)) return call(memory)
    // During an outage the first call past the pause is the only one that tries.
    if (triedAt !== null) triedAt = clock.now().getTime()
    try {
      const answer = await call(store)
      succeed()
      return answer
    } catch (error) {
      fail(error)
      return call(memory)
    }
  }

  return {
    name: store.name,
    hit: (counters, now) => run((own) => own.hit(counters, now)),
    read: (keys, now) => run((own) => own.read(keys, now)),
    clear: async (keys) => {
      await memory.clear(keys)
      await run((own) => own.clear(keys))
    },
    // Kept here too, so that an outage does not make a proof good again in the process that took it.
    claim: async (key, ttlSeconds, now) => {
      if (!(await memory.claim(key, ttlSeconds, now))) return false
      return run((own) => (own === memory ? Promise.resolve(true) : own.claim(key, ttlSeconds, now)))
    },
    failures: () => failures,
    close: async () => {
      await Promise.all([store.close(), memory.close()])
    },
  }
}
