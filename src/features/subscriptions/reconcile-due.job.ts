import type { Clock } from '../../platform/clock.ts'
import type { Database, Tx } from '../../platform/db/database.ts'
import { eachInBatches } from '../../platform/jobs/each-in-batches.ts'
import { recordRun } from '../../platform/jobs/job-runs.ts'
import { defineJob, handleJob, type Job } from '../../platform/jobs/jobs.ts'
import { scheduledPayload } from '../../platform/jobs/schedules.ts'
import type { Logger } from '../../platform/observability/logger.ts'
import { listLapsed } from './customer-queries.ts'
import { listRefundedWithPoints } from './schedule-queries.ts'

const lapsedMs = 7 * 86_400_000

export const reconcileDueJob = defineJob({
  name: 'subscriptions.reconcile-due',
  payload: scheduledPayload,
  retryLimit: 3,
  retryDelaySeconds: 300,
  limitSeconds: 3600,
  concurrency: 1,
  schedule: { dailyAt: '04:00' },
})

/**
 * Asks the store about everyone who should have been renewed in the last 7 days and was not, and takes back points that
 * came back to refunded purchases.
 */
export const createReconcileDue = (deps: {
  database: Database
  clock: Clock
  logger: Logger
  queueReconcile: (tx: Tx, userId: number) => Promise<void>
  settlePurchase: (purchaseId: number) => Promise<void>
}): Job =>
  handleJob(reconcileDueJob, (_payload, { signal }) =>
    recordRun(deps, reconcileDueJob.name, async () => {
      const { database, clock, logger } = deps
      const until = clock.now()
      const ended = { since: new Date(until.getTime() - lapsedMs), until }
      const lapsed = await eachInBatches({
        list: (after, limit) => listLapsed(database.read, ended, after, limit),
        work: (userId) => database.transaction((tx) => deps.queueReconcile(tx, userId)),
        signal,
        logger,
        field: 'user_id',
      })
      const refunded = await eachInBatches({
        list: (after, limit) => listRefundedWithPoints(database.read, after, limit),
        work: deps.settlePurchase,
        signal,
        logger,
        field: 'purchase_id',
      })
      return {
        result: {
          users: lapsed.tried,
          refunded_purchases: refunded.tried,
          failed: lapsed.failed + refunded.failed,
        },
        isFailed: lapsed.isFailed || refunded.isFailed,
      }
    }),
  )
