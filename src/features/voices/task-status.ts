import { Value } from 'typebox/value'
import type { Database, Db } from '../../platform/db/database.ts'
import type { Jobs } from '../../platform/jobs/jobs.ts'
import { isTaskId, taskState } from '../../platform/jobs/task-state.ts'
import { prepareSampleJob } from './prepare-sample.job.ts'
import * as queries from './queries.ts'
import type { TaskStatusReader } from './routes.ts'

const unknown = { state: 'PENDING', ready: false, successful: null, info: null }

/** The account that a sample is prepared for; null when its voice is gone. */
export const sampleOwner = async (db: Db, payload: unknown): Promise<number | null> => {
  if (!Value.Check(prepareSampleJob.payload, payload)) return null
  return (await queries.findVoice(db, payload.voice_id))?.userId ?? null
}

/** Status of an upload's task; a foreign or unknown id looks like one that has not begun. */
export const createTaskStatus =
  (deps: { database: Database; find: Jobs['find'] }): TaskStatusReader =>
  async (userId, taskId) => {
    const job = isTaskId(taskId) ? await deps.find(prepareSampleJob, taskId) : null
    if (!job || (await sampleOwner(deps.database.read, job.payload)) !== userId) return unknown
    return { ...taskState(job.state), info: null }
  }
