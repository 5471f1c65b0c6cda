import type { Counter, RateLimitStore } from './rate-limit-store.ts'

const sweepSeconds = 60

/**
 * Counts in this process alone and forgets with it. Holds at most `maxKeys` counters: over that the ones whose
 * windows began first go, so that a flood of addresses cannot fill the memory.
 */
export const createMemoryCounters = ({ maxKeys = 100_000 }: { maxKeys?: number } = {}): RateLimitStore => {
  // In the order in which the windows began.
  const counters = new Map<string, Counter>()
  let sweptAt = 0

  const sweep = (now: Date): void => {
    if (Math.abs(now.getTime() - sweptAt) < sweepSeconds * 1000) return
    sweptAt = now.getTime()
    for (const [key, { resetsAt }] of counters) if (resetsAt <= now) counters.delete(key)
  }

  const begin = (key: string, windowSeconds: number, now: Date): Counter => {
    counters.delete(key)
    sweep(now)
    const [oldest] = counters.keys()
    if (oldest !== undefined && counters.size >= maxKeys) counters.delete(oldest)
    const counter = { count: 0, resetsAt: new Date(now.getTime() + windowSeconds * 1000) }
    counters.set(key, counter)
    return counter
  }

  const running = (key: string, now: Date): Counter | undefined => {
    const counter = counters.get(key)
    return counter && counter.resetsAt > now ? counter : undefined
  }

  const hit = (key: string, windowSeconds: number, now: Date): Counter => {
    const counter = running(key, now) ?? begin(key, windowSeconds, now)
    counter.count += 1
    return { ...counter }
  }

  return {
    name: 'memory',
    hit: async (asked, now) => asked.map(({ key, windowSeconds }) => hit(key, windowSeconds, now)),
    read: async (keys, now) =>
      keys.map((key) => ({ ...(running(key, now) ?? { count: 0, resetsAt: new Date(0) }) })),
    clear: async (keys) => {
      for (const key of keys) counters.delete(key)
    },
    claim: async (key, ttlSeconds, now) => hit(key, ttlSeconds, now).count === 1,
    close: async () => counters.clear(),
  }
}
