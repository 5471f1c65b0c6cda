/** How often something happened in its window; `count` 0 and a past `resetsAt` when it did not. */
export interface Counter {
  count: number
  resetsAt: Date
}

/**
 * Counters shared by all processes. Time is the caller's: a window begins with the first hit after the last one is
 * over, by the `now` that is passed. Keys are at most 200 characters and hold no address, e-mail or token in clear.
 */
export interface RateLimitStore {
  readonly name: 'redis' | 'postgres' | 'memory'
  /** Adds one to each counter, in one round trip; answers in the order asked. */
  hit(counters: readonly { key: string; windowSeconds: number }[], now: Date): Promise<Counter[]>
  /** The counters as they stand, in the order asked. */
  read(keys: readonly string[], now: Date): Promise<Counter[]>
  clear(keys: readonly string[]): Promise<void>
  /** True for the first claim of a key within `ttlSeconds`, false for every other: a proof counts once. */
  claim(key: string, ttlSeconds: number, now: Date): Promise<boolean>
  close(): Promise<void>
}
