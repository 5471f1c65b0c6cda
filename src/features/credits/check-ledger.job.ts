import type { Clock } from '../../platform/clock.ts'
import type { Database } from '../../platform/db/database.ts'
import { recordRun } from '../../platform/jobs/job-runs.ts'
import { defineJob, handleJob, type Job } from '../../platform/jobs/jobs.ts'
import { scheduledPayload } from '../../platform/jobs/schedules.ts'
import type { Logger } from '../../platform/observability/logger.ts'
import type { LedgerCheck } from './drift.ts'

export const checkLedgerJob = defineJob({
  name: 'credits.check-ledger',
  payload: scheduledPayload,
  retryLimit: 1,
  retryDelaySeconds: 600,
  limitSeconds: 3600,
  concurrency: 1,
  schedule: { dailyAt: '04:15' },
})

/** Looks for drift and keeps the result; `onChecked` gets the number of accounts with drift for a metric. */
export const createCheckLedger = (deps: {
  database: Database
  clock: Clock
  logger: Logger
  ledgerCheck: Pick<LedgerCheck, 'checkAll'>
  onChecked?: (usersWithDrift: number) => void
}): Job =>
  handleJob(checkLedgerJob, (_payload, { signal }) =>
    recordRun(deps, checkLedgerJob.name, async () => {
      const { usersChecked, usersWithDrift, findings } = await deps.ledgerCheck.checkAll(signal)
      deps.onChecked?.(usersWithDrift)
      for (const { userId, ...finding } of findings.slice(0, 100))
        deps.logger.error({ user_id: userId, ...finding }, 'ledger drift')
      return { result: { users: usersChecked, users_with_drift: usersWithDrift, findings: findings.length } }
    }),
  )
