import path from 'node:path'
import type { Clock } from './platform/clock.ts'
import type { Database } from './platform/db/database.ts'
import { migrate } from './platform/db/migrations.ts'
import type { HttpServer } from './platform/http/server.ts'
import { migrateJobs, type Jobs } from './platform/jobs/jobs.ts'
import { createScheduler, type Scheduler } from './platform/jobs/schedules.ts'
import { createFeatures, type Features } from './app/features.ts'
import { createFoundation, jobsOptions, type AppInput } from './app/foundation.ts'
import { createHttp } from './app/http.ts'
import { createJobHandlers } from './app/job-handlers.ts'
import { jobTypes } from './app/job-types.ts'
import { seedStories } from './features/stories/stories.ts'

export type { AppInput, AppOverrides } from './app/foundation.ts'
export { jobTypes } from './app/job-types.ts'

const root = path.join(import.meta.dirname, '..')
const migrationsDirectory = path.join(root, 'migrations')

export interface App {
  http: HttpServer
  auth: Features['auth']
  accountStatus: Features['accountData']['status']
  deletions: Features['accountDeletion']['deletions']
  credits: Features['credits']
  adminMoney: Features['adminMoney']
  packs: Features['packs']
  importV1: Features['importV1']
  subscriptions: Features['subscriptions']
  queueReconcile: Features['queueReconcile']
  ledgerCheck: Features['ledgerCheck']
  database: Database
  jobs: Jobs
  scheduler: Scheduler
  clock: Clock
  /** Takes jobs until `close`. */
  work(): Promise<void>
  /** Puts the built-in stories into the library. */
  seed(): Promise<{ seeded: number; total: number }>
  /** Readiness says `draining` from now on. */
  drain(): void
  /** Ends running requests and jobs in order, then every connection. */
  close(): Promise<void>
}

/** Brings the database and the job queues to this release. Safe to run by any number of processes at once. */
export const migrateAll = async (input: AppInput): Promise<string[]> => {
  const url = input.config.database.migrationUrl ?? input.databaseUrl
  const applied = await migrate(url, migrationsDirectory)
  await migrateJobs({ ...jobsOptions(input), databaseUrl: url })
  return applied
}

/** The whole server, wired by hand: foundation, then features, then what drives them. */
export const buildApp = async (input: AppInput): Promise<App> => {
  const foundation = await createFoundation(input)
  const { config, logger, database, clock, movable, store, storage, speech, sandbox, jobs, counters } =
    foundation
  const features = createFeatures(foundation)
  let isDraining = false
  const http = await createHttp(foundation, features, { migrationsDirectory, isDraining: () => isDraining })

  const close = async (): Promise<void> => {
    isDraining = true
    const timeoutSeconds = config.http.shutdownTimeoutSeconds
    await Promise.all([http.close(), scheduler.stop(), jobs.stop(timeoutSeconds)])
    await Promise.all([sandbox.close(), speech.close(), features.passwords.close(), counters.close()])
    store.close()
    movable?.close()
    await database.close()
  }
  const scheduler = createScheduler({ database, jobs, clock, logger, types: jobTypes })

  return {
    http,
    auth: features.auth,
    accountStatus: features.accountData.status,
    deletions: features.accountDeletion.deletions,
    credits: features.credits,
    adminMoney: features.adminMoney,
    packs: features.packs,
    importV1: features.importV1,
    subscriptions: features.subscriptions,
    queueReconcile: features.queueReconcile,
    ledgerCheck: features.ledgerCheck,
    database,
    jobs,
    scheduler,
    clock,
    close,
    work: () => jobs.work(createJobHandlers(foundation, features)),
    seed: () =>
      seedStories({
        database,
        storage,
        clock,
        directory: path.join(root, 'content'),
      }),
    drain: () => {
      isDraining = true
    },
  }
}
