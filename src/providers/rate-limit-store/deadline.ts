import { setTimeout as sleep } from 'node:timers/promises'

/** The store has not answered in time; what was asked of it may still happen. */
export class DeadlinePassed extends Error {}

/** Settles like `work`, or rejects with `DeadlinePassed` after `timeoutMs`. */
export const withDeadline = async <T>(what: string, timeoutMs: number, work: Promise<T>): Promise<T> => {
  const timer = new AbortController()
  const late = async (): Promise<never> => {
    await sleep(timeoutMs, undefined, { signal: timer.signal })
    throw new DeadlinePassed(`${what}: no answer within ${timeoutMs} ms`)
  }
  try {
    return await Promise.race([work, late()])
  } finally {
    timer.abort()
  }
}
