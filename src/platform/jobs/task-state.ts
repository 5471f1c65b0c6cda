import type { JobState } from './jobs.ts'

/** How a job looks to the account it works for. */
export interface TaskState {
  state: 'PENDING' | 'STARTED' | 'RETRY' | 'SUCCESS' | 'FAILURE'
  ready: boolean
  /** Null until ready. */
  successful: boolean | null
}

const states: Record<JobState, TaskState['state']> = {
  created: 'PENDING',
  retry: 'RETRY',
  active: 'STARTED',
  completed: 'SUCCESS',
  cancelled: 'FAILURE',
  failed: 'FAILURE',
}

const taskId = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

/** Whether a text can be the id of a job at all: the queue's tables take no other. */
export const isTaskId = (text: string): boolean => taskId.test(text)

export const taskState = (job: JobState): TaskState => {
  const state = states[job]
  const ready = state === 'SUCCESS' || state === 'FAILURE'
  return { state, ready, successful: ready ? state === 'SUCCESS' : null }
}
