import { setTimeout as sleep } from 'node:timers/promises'
import { Type } from 'typebox'
import type { Clock } from '../clock.ts'
import type { Database } from '../db/database.ts'
import type { Logger } from '../observability/logger.ts'
import type { Jobs, JobType } from './jobs.ts'

/** When a job runs by itself, in UTC. */
export type Schedule =
  | { everySeconds: number }
  | { hourlyAtMinute: number }
  | { dailyAt: `${number}:${number}` }

/** Payload of every scheduled job: it works from rows, not from arguments. */
export const scheduledPayload = Type.Object({})

const hour = 3_600_000
const day = 24 * hour

/** Start of the period that contains `now`: a run belongs to exactly one period. */
export const periodStart = (schedule: Schedule, now: Date): Date => {
  const [length, offset] =
    'everySeconds' in schedule
      ? [schedule.everySeconds * 1000, 0]
      : 'hourlyAtMinute' in schedule
        ? [hour, schedule.hourlyAtMinute * 60_000]
        : [day, timeOfDay(schedule.dailyAt)]
  return new Date(Math.floor((now.getTime() - offset) / length) * length + offset)
}

const timeOfDay = (text: string): number => {
  const [hours = 0, minutes = 0] = text.split(':').map(Number)
  return hours * hour + minutes * 60_000
}

export interface Scheduler {
  /** Queues each job whose period has not been started yet, once, whoever else runs. Returns their names. */
  tick(): Promise<string[]>
  /** Ticks every second until `stop`. */
  start(): void
  stop(): Promise<void>
}

/**
 * Starts scheduled jobs by the application clock. The period is claimed by a compare-and-set in the transaction that
 * queues the job, so any number of schedulers may run; a period missed while none ran is made up once.
 */
export const createScheduler = (deps: {
  database: Database
  jobs: Jobs
  clock: Clock
  logger: Logger
  types: readonly JobType[]
}): Scheduler => {
  const scheduled = deps.types.filter((type) => type.schedule !== undefined)
  const stopping = new AbortController()
  let loop: Promise<void> = Promise.resolve()
  const started = new Map<string, number>()

  const claim = (type: JobType, schedule: Schedule): Promise<boolean> =>
    deps.database.transaction(async (tx) => {
      const period = periodStart(schedule, deps.clock.now())
      const won = await tx
        .insertInto('schedules')
        .values({ name: type.name, last_period: period })
        .onConflict((conflict) =>
          conflict
            .column('name')
            .doUpdateSet((eb) => ({ last_period: eb.ref('excluded.last_period'), enqueued_at: new Date() }))
            .whereRef('schedules.last_period', '<', 'excluded.last_period'),
        )
        .returning('name')
        .executeTakeFirst()
      if (won) await deps.jobs.enqueue(tx, type, {})
      return won !== undefined
    })

  const tick = async (): Promise<string[]> => {
    const names: string[] = []
    for (const type of scheduled) {
      if (!type.schedule) continue
      const period = periodStart(type.schedule, deps.clock.now()).getTime()
      // Seen already: no statement is spent on it.
      if (started.get(type.name) === period) continue
      if (await claim(type, type.schedule)) names.push(type.name)
      started.set(type.name, period)
    }
    return names
  }

  const run = async (): Promise<void> => {
    while (!stopping.signal.aborted) {
      try {
        await tick()
      } catch (error) {
        deps.logger.error({ err: error }, 'scheduler tick failed')
      }
      await sleep(1000, undefined, { signal: stopping.signal }).catch(() => undefined)
    }
  }

  return {
    tick,
    start: () => {
      loop = run()
    },
    stop: async () => {
      stopping.abort()
      await loop
    },
  }
}
