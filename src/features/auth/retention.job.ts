import type { Clock } from '../../platform/clock.ts'
import type { Database, Tx } from '../../platform/db/database.ts'
import { defineJob, handleJob, type Job } from '../../platform/jobs/jobs.ts'
import type { Logger } from '../../platform/observability/logger.ts'
import { scheduledPayload } from '../../platform/jobs/schedules.ts'
import { closeOldExports } from './export-queries.ts'
import * as queries from './retention-queries.ts'

const dayMs = 86_400_000
const batch = 5000
// A session of an adopting client takes some 9,000 tokens with it.
const sessionBatch = 200
const exportBatch = 500
// Its job gives up within hours; a row that is still open then belongs to a process that died on the last try.
const abandonedExportMs = dayMs

export const accountRetentionJob = defineJob({
  name: 'accounts.retention',
  payload: scheduledPayload,
  retryLimit: 3,
  retryDelaySeconds: 300,
  limitSeconds: 3600,
  concurrency: 1,
  schedule: { dailyAt: '03:20' },
})

/** Removes what is kept for a time only. It works by age, so a repeated or broken-off run is harmless. */
export const createAccountRetention = (deps: {
  database: Database
  clock: Clock
  logger: Logger
  /** Queues the removal of objects in the caller's transaction. */
  deleteObjects: (tx: Tx, keys: readonly string[]) => Promise<void>
  /** Removes at most `limit` counters of limits that are over, and answers how many. */
  deleteExpiredCounters: (tx: Tx, now: Date, limit: number) => Promise<number>
}): Job =>
  handleJob(accountRetentionJob, async (_payload, { signal }) => {
    const { database, clock } = deps

    const sweep = async (limit: number, removeSome: (tx: Tx) => Promise<number>): Promise<number> => {
      let total = 0
      for (let removed = limit; removed >= limit; total += removed) {
        signal.throwIfAborted()
        removed = await database.transaction(removeSome)
      }
      return total
    }
    const olderThan = (days: number, remove: queries.DeleteBatch, limit = batch): Promise<number> => {
      const before = new Date(clock.now().getTime() - days * dayMs)
      return sweep(limit, (tx) => remove(tx, before, limit))
    }

    const closeExports = async (tx: Tx): Promise<number> => {
      const now = clock.now()
      const times = { now, abandonedBefore: new Date(now.getTime() - abandonedExportMs) }
      const { count, keys } = await closeOldExports(tx, times, exportBatch)
      if (keys.length > 0) await deps.deleteObjects(tx, keys)
      return count
    }

    const removed = {
      sessions: await olderThan(30, queries.deleteOldSessions, sessionBatch),
      security_events: await olderThan(180, queries.deleteOldSecurityEvents),
      mail_tokens: await olderThan(30, queries.deleteOldMailTokens),
      mail_requests: await olderThan(2, queries.deleteOldMailRequests),
      exports: await sweep(exportBatch, closeExports),
      counters: await sweep(batch, (tx) => deps.deleteExpiredCounters(tx, clock.now(), batch)),
    }
    deps.logger.info(removed, 'account data past its time removed')
  })
