import type { Clock } from '../../platform/clock.ts'
import type { Database } from '../../platform/db/database.ts'
import { eachInBatches } from '../../platform/jobs/each-in-batches.ts'
import { recordRun } from '../../platform/jobs/job-runs.ts'
import { defineJob, handleJob, type Job } from '../../platform/jobs/jobs.ts'
import { scheduledPayload } from '../../platform/jobs/schedules.ts'
import type { Logger } from '../../platform/observability/logger.ts'
import type { Credits } from './credits.ts'
import { listUsersWithoutDefault } from './schedule-queries.ts'

export const grantMonthlyDefaultJob = defineJob({
  name: 'credits.grant-monthly-default',
  payload: scheduledPayload,
  retryLimit: 3,
  retryDelaySeconds: 300,
  limitSeconds: 3600,
  concurrency: 1,
  schedule: { dailyAt: '03:00' },
})

/** `monthlyDefault` points (0 = off) for every active account, once a calendar month (UTC) by the grant key. */
export const createGrantMonthlyDefault = (deps: {
  database: Database
  clock: Clock
  logger: Logger
  credits: Pick<Credits, 'grant' | 'lock'>
  monthlyDefault: number
}): Job =>
  handleJob(grantMonthlyDefaultJob, (_payload, { signal }) =>
    recordRun(deps, grantMonthlyDefaultJob.name, async () => {
      const { database, clock, logger, credits, monthlyDefault: amount } = deps
      if (amount === 0) return { result: { off: true } }
      const month = clock.now().toISOString().slice(0, 7)
      let granted = 0
      const { tried, failed, isFailed } = await eachInBatches({
        list: (after, limit) => listUsersWithoutDefault(database.read, month, after, limit),
        work: async (userId) => {
          const isNew = await database.transaction(async (tx) => {
            // Deactivated since the look: it will have this month's points if it comes back in time.
            if ((await credits.lock(tx, [userId])).get(userId) !== 'active') return false
            const grant = { userId, amount, source: 'monthly', reason: 'monthly_grant' } as const
            return (await credits.grant(tx, { ...grant, grantKey: `default:${userId}:${month}` })).isNew
          })
          if (isNew) granted += 1
        },
        signal,
        logger,
        field: 'user_id',
      })
      return { result: { month, users: tried, granted, failed }, isFailed }
    }),
  )
