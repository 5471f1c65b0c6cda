import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { Clock } from '../../platform/clock.ts'
import type { Database, Tx } from '../../platform/db/database.ts'
import type { Job, Jobs } from '../../platform/jobs/jobs.ts'
import type { Logger } from '../../platform/observability/logger.ts'
import type { ObjectStorage } from '../../providers/storage/storage.ts'
import type { Mail } from '../mail/mail.ts'
import { createAccountStatus, type AccountStatus } from './account-status.ts'
import type { CurrentPassword } from './current-password.ts'
import { createExports } from './export.ts'
import { createExportAccount } from './export-account.job.ts'
import type { ExportPart } from './export-data.ts'
import { exportRoutes } from './export-routes.ts'
import { createAccountRetention } from './retention.job.ts'
import { taskRoutes } from './task-routes.ts'
import { createTasks, exportTask, type PublicTask } from './tasks.ts'

export interface AccountData {
  status: AccountStatus
  /** What the worker does: exports and the daily retention. */
  jobs: Job[]
  /** /auth/me/export and /tasks. */
  routes: FastifyPluginAsyncTypebox
}

/** An account's data as its owner and its operator handle it: export, tasks, status, and how long things are kept. */
export const createAccountData = (deps: {
  database: Database
  clock: Clock
  logger: Logger
  storage: ObjectStorage
  mail: Mail
  enqueue: Jobs['enqueue']
  find: Jobs['find']
  currentPassword: CurrentPassword
  /** What the features to the right add to an export. */
  parts: readonly ExportPart[]
  /** Jobs of the features to the right that an account may look at. */
  tasks: readonly PublicTask[]
  /** Queues the removal of objects in the caller's transaction. */
  deleteObjects: (tx: Tx, keys: readonly string[]) => Promise<void>
  /** Removes at most `limit` counters of limits that are over, and answers how many. */
  deleteExpiredCounters: (tx: Tx, now: Date, limit: number) => Promise<number>
  /** Where archives grow. */
  workDirectory: string
  trialDays: number
}): AccountData => {
  const exports = createExports(deps)
  const tasks = createTasks({ ...deps, tasks: [exportTask, ...deps.tasks] })
  return {
    status: createAccountStatus(deps),
    jobs: [createExportAccount(deps), createAccountRetention(deps)],
    routes: async (server) => {
      await server.register(exportRoutes({ exports }))
      await server.register(taskRoutes({ tasks }))
    },
  }
}
