import type { Clock } from '../../platform/clock.ts'
import type { Database } from '../../platform/db/database.ts'
import { defineJob, handleJob, type Job, type Jobs } from '../../platform/jobs/jobs.ts'
import { scheduledPayload } from '../../platform/jobs/schedules.ts'
import type { Logger } from '../../platform/observability/logger.ts'
import { deleteObjectsJob } from '../voices/voices.ts'
import * as attempts from './attempt-queries.ts'
import { produceNarrationJob, type EndAttempt } from './attempt-run.ts'
import * as queries from './queries.ts'

export const sweepNarrationsJob = defineJob({
  name: 'narrations.sweep',
  payload: scheduledPayload,
  retryLimit: 0,
  retryDelaySeconds: 1,
  limitSeconds: 60,
  schedule: { everySeconds: 60 },
})

/** Deadlines, work without a worker, parts that are no longer needed. One failing row never stops the others. */
export const createSweepNarrations = (deps: {
  database: Database
  clock: Clock
  logger: Logger
  enqueue: Jobs['enqueue']
  narrations: { fail: EndAttempt }
}): Job => {
  const { database, clock } = deps

  const each = async <T>(rows: readonly T[], work: (row: T) => Promise<unknown>): Promise<void> => {
    for (const row of rows)
      await work(row).catch((error: unknown) =>
        deps.logger.error({ err: error }, 'narrations.sweep: a row failed'),
      )
  }

  return handleJob(sweepNarrationsJob, async () => {
    await each(await attempts.findOverdue(database.read, clock.now()), (row) =>
      database.transaction((tx) =>
        deps.narrations.fail(
          tx,
          row,
          null,
          row.stage === 'waiting' ? 'allocation_timeout' : 'synthesis_timeout',
        ),
      ),
    )
    await each(await attempts.findIdle(database.read), (id) =>
      database.transaction((tx) =>
        deps.enqueue(tx, produceNarrationJob, { attempt_id: id }, { singletonKey: `attempt-${id}` }),
      ),
    )
    const old = await queries.findOldParts(database.read, clock.now())
    if (old.length > 0)
      await database.transaction(async (tx) => {
        await queries.deleteParts(
          tx,
          old.map((part) => part.id),
        )
        await deps.enqueue(tx, deleteObjectsJob, { keys: old.map((part) => part.objectKey) })
      })
  })
}
