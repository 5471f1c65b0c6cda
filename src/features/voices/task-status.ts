import type { Database } from '../../platform/db/database.ts'
import type { JobState, Jobs } from '../../platform/jobs/jobs.ts'
import { Value } from 'typebox/value'
import { prepareSampleJob } from './prepare-sample.job.ts'
import * as queries from './queries.ts'
import type { TaskStatusReader } from './routes.ts'

const states: Record<JobState, string> = {
  created: 'PENDING',
  retry: 'RETRY',
  active: 'STARTED',
  completed: 'SUCCESS',
  cancelled: 'FAILURE',
  failed: 'FAILURE',
}
const unknown = { state: 'PENDING', ready: false, successful: null, info: null }
const uuid = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

/** Status of an upload's task; a foreign or unknown id looks like one that has not begun. */
export const createTaskStatus =
  (deps: { database: Database; find: Jobs['find'] }): TaskStatusReader =>
  async (userId, taskId) => {
    const job = uuid.test(taskId) ? await deps.find(prepareSampleJob, taskId) : null
    if (!job || !Value.Check(prepareSampleJob.payload, job.payload)) return unknown
    const voice = await queries.findVoice(deps.database.read, job.payload.voice_id)
    if (voice?.userId !== userId) return unknown
    const ready = ['completed', 'cancelled', 'failed'].includes(job.state)
    return {
      state: states[job.state],
      ready,
      successful: ready ? job.state === 'completed' : null,
      info: null,
    }
  }
