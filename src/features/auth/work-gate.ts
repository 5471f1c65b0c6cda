import { AppError } from '../../platform/errors.ts'

export interface WorkGate {
  /** Runs the work when a place is free, first come, first served. Refuses `unavailable` when too many wait. */
  run<T>(work: () => Promise<T>): Promise<T>
}

/** At most `concurrency` pieces of work at once and at most `waitingLimit` waiting for a place. */
export const createWorkGate = (limits: {
  concurrency: number
  waitingLimit: number
  retryAfterSeconds: number
}): WorkGate => {
  const waiting: (() => void)[] = []
  let running = 0

  const enter = async (): Promise<void> => {
    if (running < limits.concurrency) {
      running += 1
      return
    }
    if (waiting.length >= limits.waitingLimit)
      throw new AppError('unavailable', { retryAfterSeconds: limits.retryAfterSeconds })
    await new Promise<void>((resolve) => waiting.push(resolve))
  }

  // The place goes straight to the next in line, so a newcomer cannot slip in between.
  const leave = (): void => {
    const next = waiting.shift()
    if (next) next()
    else running -= 1
  }

  return {
    run: async (work) => {
      await enter()
      try {
        return await work()
      } finally {
        leave()
      }
    },
  }
}
