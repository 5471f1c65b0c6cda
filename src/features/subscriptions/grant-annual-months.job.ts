import type { Clock } from '../../platform/clock.ts'
import type { Database } from '../../platform/db/database.ts'
import { eachInBatches } from '../../platform/jobs/each-in-batches.ts'
import { recordRun } from '../../platform/jobs/job-runs.ts'
import { defineJob, handleJob, type Job } from '../../platform/jobs/jobs.ts'
import { scheduledPayload } from '../../platform/jobs/schedules.ts'
import type { Logger } from '../../platform/observability/logger.ts'
import { listDueMonths } from './schedule-queries.ts'

export const grantAnnualMonthsJob = defineJob({
  name: 'subscriptions.grant-annual-months',
  payload: scheduledPayload,
  retryLimit: 3,
  retryDelaySeconds: 300,
  limitSeconds: 3000,
  concurrency: 1,
  schedule: { hourlyAtMinute: 30 },
})

/**
 * Pays the due months of annual subscriptions, one transaction a purchase, missed ones too. A month's key is the one the
 * webhook uses, so overlapping runs pay it once. The months of a deactivated account wait.
 */
export const createGrantAnnualMonths = (deps: {
  database: Database
  clock: Clock
  logger: Logger
  settlePurchase: (purchaseId: number) => Promise<void>
}): Job =>
  handleJob(grantAnnualMonthsJob, (_payload, { signal }) =>
    recordRun(deps, grantAnnualMonthsJob.name, async () => {
      const { database, clock, logger } = deps
      const { tried, failed, isFailed } = await eachInBatches({
        list: (after, limit) => listDueMonths(database.read, clock.now(), after, limit),
        work: deps.settlePurchase,
        signal,
        logger,
        field: 'purchase_id',
      })
      return { result: { purchases: tried, failed }, isFailed }
    }),
  )
