import type { Clock } from '../../platform/clock.ts'
import type { Database } from '../../platform/db/database.ts'
import { eachInBatches } from '../../platform/jobs/each-in-batches.ts'
import { recordRun } from '../../platform/jobs/job-runs.ts'
import { defineJob, handleJob, type Job } from '../../platform/jobs/jobs.ts'
import { scheduledPayload } from '../../platform/jobs/schedules.ts'
import type { Logger } from '../../platform/observability/logger.ts'
import type { Credits } from '../credits/credits.ts'
import { withAccountLocks } from './account-locks.ts'
import { readLineEvents } from './event-queries.ts'
import { findOwner, lockLine } from './line-queries.ts'
import * as queries from './prune-queries.ts'
import { dispensableEvents } from './prune.ts'

const dayMs = 86_400_000
const looseBatch = 500

export const pruneEventsJob = defineJob({
  name: 'subscriptions.prune-events',
  payload: scheduledPayload,
  retryLimit: 3,
  retryDelaySeconds: 300,
  limitSeconds: 3600,
  concurrency: 1,
  schedule: { dailyAt: '03:45' },
})

/** Deletes stored events past their time that no state depends on. `retentionDays` 0 keeps everything. */
export const createPruneEvents = (deps: {
  database: Database
  clock: Clock
  logger: Logger
  credits: Pick<Credits, 'lock'>
  retentionDays: number
}): Job => {
  const { database, clock, logger } = deps

  const pruneLine = async (lineId: number, cutoff: Date): Promise<number> => {
    const owner = await findOwner(database.read, lineId)
    return withAccountLocks(deps, owner === null ? [] : [owner], async (tx, locks) => {
      const { ownerUserId } = await lockLine(tx, lineId)
      locks.need([ownerUserId])
      return queries.deleteOldEvents(tx, dispensableEvents(await readLineEvents(tx, lineId)), cutoff)
    })
  }

  return handleJob(pruneEventsJob, async (_payload, { signal }) => {
    if (deps.retentionDays === 0) return
    await recordRun(deps, pruneEventsJob.name, async () => {
      const cutoff = new Date(clock.now().getTime() - deps.retentionDays * dayMs)
      let events = 0
      const { tried, failed, isFailed } = await eachInBatches({
        list: (after, limit) => queries.listLinesWithOldEvents(database.read, cutoff, after, limit),
        work: async (lineId) => {
          events += await pruneLine(lineId, cutoff)
        },
        signal,
        logger,
        field: 'subscription_id',
      })
      for (let removed = looseBatch; removed >= looseBatch; events += removed) {
        signal.throwIfAborted()
        removed = await database.transaction((tx) => queries.deleteOldLooseEvents(tx, cutoff, looseBatch))
      }
      return { result: { lines: tried, failed, events }, isFailed }
    })
  })
}
