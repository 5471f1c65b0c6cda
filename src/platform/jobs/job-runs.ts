import type { Clock } from '../clock.ts'
import type { Database, Db } from '../db/database.ts'
import type { Logger } from '../observability/logger.ts'

/** Counts and short words, never personal data: administrators see it. */
export type RunResult = Record<string, string | number | boolean | null>

export interface JobRun {
  name: string
  startedAt: Date
  endedAt: Date
  result: unknown
}

/**
 * Runs a scheduled job and keeps when and how it ended, for administrators; of overlapping runs the last to end counts.
 * `isFailed` fails the run after it was recorded; what `work` throws is recorded as `{failed: <class>}` and thrown again.
 */
export const recordRun = async (
  deps: { database: Database; clock: Clock; logger: Logger },
  name: string,
  work: () => Promise<{ result: RunResult; isFailed?: boolean }>,
): Promise<void> => {
  const startedAt = deps.clock.now()
  const record = async (result: RunResult): Promise<void> => {
    const run = { started_at: startedAt, ended_at: deps.clock.now(), result: JSON.stringify(result) }
    await deps.database.transaction((tx) =>
      tx
        .insertInto('job_runs')
        .values({ name, ...run })
        .onConflict((conflict) => conflict.column('name').doUpdateSet(run))
        .execute(),
    )
  }
  let outcome: { result: RunResult; isFailed?: boolean }
  try {
    outcome = await work()
  } catch (error) {
    // The fault that stopped the work may stop this, too; it must not hide the first one.
    await record({ failed: error instanceof Error ? error.name : 'unknown' }).catch((cause: unknown) =>
      deps.logger.error({ job: name, err: cause }, 'run was not recorded'),
    )
    throw error
  }
  await record(outcome.result)
  deps.logger.info({ job: name, ...outcome.result }, 'scheduled run ended')
  if (outcome.isFailed === true) throw new Error(`${name}: too much of the run failed`)
}

/** The last run of every scheduled job that has run, by name. */
export const listRuns = async (db: Db): Promise<JobRun[]> =>
  (await db.selectFrom('job_runs').selectAll().orderBy('name').execute()).map((row) => ({
    name: row.name,
    startedAt: row.started_at,
    endedAt: row.ended_at,
    result: row.result,
  }))
