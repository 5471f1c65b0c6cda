import { Value } from 'typebox/value'
import type { Clock } from '../../platform/clock.ts'
import type { Database, Db } from '../../platform/db/database.ts'
import { AppError } from '../../platform/errors.ts'
import type { Jobs, JobType } from '../../platform/jobs/jobs.ts'
import { isTaskId, taskState, type TaskState } from '../../platform/jobs/task-state.ts'
import { exportAccountJob } from './export-account.job.ts'
import { findExport } from './export-queries.ts'

const shownMs = 7 * 86_400_000

/** A job that the account it works for may look at. Every other job is the system's own. */
export interface PublicTask {
  type: JobType
  /** Whom the job works for; null when that is gone. */
  ownerOf(db: Db, payload: unknown): Promise<number | null>
}

export const exportTask: PublicTask = {
  type: exportAccountJob,
  ownerOf: async (db, payload) => {
    if (!Value.Check(exportAccountJob.payload, payload)) return null
    return (await findExport(db, payload.export_id))?.userId ?? null
  },
}

export interface Tasks {
  /** Refuses an id that is unknown, another account's, the system's, or of a task that ended over 7 days ago. */
  read(userId: number, taskId: string): Promise<TaskState>
}

export const createTasks = (deps: {
  database: Database
  clock: Clock
  find: Jobs['find']
  tasks: readonly PublicTask[]
}): Tasks => ({
  read: async (userId, taskId) => {
    for (const { type, ownerOf } of isTaskId(taskId) ? deps.tasks : []) {
      const job = await deps.find(type, taskId)
      if (!job) continue
      if ((await ownerOf(deps.database.read, job.payload)) !== userId) break
      const state = taskState(job.state)
      const age = state.ready && job.endedAt ? deps.clock.now().getTime() - job.endedAt.getTime() : 0
      if (age > shownMs) break
      return state
    }
    throw new AppError('task_not_found')
  },
})
