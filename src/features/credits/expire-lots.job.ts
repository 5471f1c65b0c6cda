import type { Clock } from '../../platform/clock.ts'
import type { Database } from '../../platform/db/database.ts'
import { eachInBatches } from '../../platform/jobs/each-in-batches.ts'
import { recordRun } from '../../platform/jobs/job-runs.ts'
import { defineJob, handleJob, type Job } from '../../platform/jobs/jobs.ts'
import { scheduledPayload } from '../../platform/jobs/schedules.ts'
import type { Logger } from '../../platform/observability/logger.ts'
import type { Credits } from './credits.ts'
import { listUsersWithDueLots } from './schedule-queries.ts'

export const expireLotsJob = defineJob({
  name: 'credits.expire-lots',
  payload: scheduledPayload,
  retryLimit: 3,
  retryDelaySeconds: 300,
  limitSeconds: 3600,
  concurrency: 1,
  schedule: { dailyAt: '03:15' },
})

/** Writes off the lots whose time is over, one transaction an account. A lot is emptied once, so overlapping runs are harmless. */
export const createExpireLots = (deps: {
  database: Database
  clock: Clock
  logger: Logger
  credits: Pick<Credits, 'expireDue'>
}): Job =>
  handleJob(expireLotsJob, (_payload, { signal }) =>
    recordRun(deps, expireLotsJob.name, async () => {
      const { database, clock, logger, credits } = deps
      let points = 0
      const { tried, failed, isFailed } = await eachInBatches({
        list: (after, limit) => listUsersWithDueLots(database.read, clock.now(), after, limit),
        work: async (userId) => {
          points += await database.transaction((tx) => credits.expireDue(tx, userId))
        },
        signal,
        logger,
        field: 'user_id',
      })
      return { result: { users: tried, failed, points }, isFailed }
    }),
  )
