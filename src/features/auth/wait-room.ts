import { setTimeout as sleep } from 'node:timers/promises'
import { AppError } from '../../platform/errors.ts'

export interface WaitRoom {
  /** Holds the request for `milliseconds`. Refuses `rate_limited` when too many are held already. */
  wait(milliseconds: number): Promise<void>
  /**
   * Runs `work` when nothing else of the same key runs in this process, first come, first served. Refuses `rate_limited`
   * when it would have to stand in line and too many are held already.
   */
  inTurn<T>(key: string, work: () => Promise<T>): Promise<T>
}

/** At most `limit` requests are held at once in a process, asleep or in a line; neither keeps a database connection. */
export const createWaitRoom = (limit: number): WaitRoom => {
  let held = 0
  const lines = new Map<string, Promise<unknown>>()

  const assertRoom = (): void => {
    if (held >= limit) throw new AppError('rate_limited', { retryAfterSeconds: 10 })
  }
  const hold = async (until: () => Promise<unknown>): Promise<void> => {
    assertRoom()
    held += 1
    try {
      await until()
    } finally {
      held -= 1
    }
  }

  return {
    wait: (milliseconds) => hold(() => sleep(milliseconds)),
    inTurn: async (key, work) => {
      const before = lines.get(key)
      // Before it joins the line: as its end, a refusal would let the next one past all who still wait.
      if (before) assertRoom()
      const turn = (async () => {
        if (before) await hold(() => before)
        return work()
      })()
      const settled = turn.catch(() => undefined)
      lines.set(key, settled)
      try {
        return await turn
      } finally {
        if (lines.get(key) === settled) lines.delete(key)
      }
    },
  }
}
