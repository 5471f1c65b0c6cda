import type { Clock } from '../clock.ts'
import type { Database } from './database.ts'

export interface MovableClock extends Clock {
  /** Moves the application clock of all processes forward (or back). */
  advance(seconds: number): Promise<Date>
  /** Reads the shared offset now instead of at the next poll. */
  refresh(): Promise<void>
  close(): void
}

/**
 * The clock of test environments: real time plus an offset that all processes share through the database.
 * Another process sees a change within 200 ms.
 */
export const createSharedClock = async (database: Database): Promise<MovableClock> => {
  let offsetMs = 0
  const refresh = async (): Promise<void> => {
    const row = await database.read.selectFrom('app_clock').select('offset_seconds').executeTakeFirst()
    offsetMs = (row?.offset_seconds ?? 0) * 1000
  }
  const advance = async (seconds: number): Promise<Date> => {
    await database.transaction((tx) =>
      tx
        .insertInto('app_clock')
        .values({ offset_seconds: seconds })
        .onConflict((conflict) =>
          conflict.column('id').doUpdateSet((eb) => ({
            offset_seconds: eb('app_clock.offset_seconds', '+', eb.ref('excluded.offset_seconds')),
          })),
        )
        .execute(),
    )
    await refresh()
    return new Date(Date.now() + offsetMs)
  }
  await refresh()
  // A failed poll (database restarting) keeps the last offset.
  const timer = setInterval(() => void refresh().catch(() => undefined), 200)
  timer.unref()
  return { now: () => new Date(Date.now() + offsetMs), advance, refresh, close: () => clearInterval(timer) }
}
