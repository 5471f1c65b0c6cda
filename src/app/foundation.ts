import type { FastifyRequest } from 'fastify'
import { createDecodeSandbox } from '../platform/audio/decode-sandbox.ts'
import { systemClock, type Clock } from '../platform/clock.ts'
import type { Config } from '../platform/config.ts'
import { counterKey, deriveKeys } from '../platform/crypto.ts'
import { createDatabase } from '../platform/db/database.ts'
import { createSharedClock, type MovableClock } from '../platform/db/shared-clock.ts'
import { createLimits } from '../platform/http/limits.ts'
import type { AdminCaller } from '../platform/http/request-values.ts'
import type { HttpServer } from '../platform/http/server.ts'
import { createJobs, type JobsOptions } from '../platform/jobs/jobs.ts'
import type { Logger } from '../platform/observability/logger.ts'
import type { EmailTransport } from '../providers/email/email.ts'
import type { SpeechProvider } from '../providers/speech/speech.ts'
import type { ObjectStorage } from '../providers/storage/storage.ts'
import type { StoreBilling } from '../providers/store-billing/store-billing.ts'
import type { Audit } from '../features/admin/admin.ts'
import { chooseCounters, chooseSpeech, chooseStorage, chooseStoreBilling } from '../adapters.ts'
import { jobTypes } from './job-types.ts'

/** What tests put in the place of the real thing; everything else is built as in production. */
export interface AppOverrides {
  storage?: ObjectStorage
  speechProviders?: readonly SpeechProvider[]
  emailTransport?: EmailTransport
  storeBilling?: StoreBilling
  /** Who is an administrator; nobody is without it. */
  authenticateAdmin?: (request: FastifyRequest) => Promise<AdminCaller>
  /** Writes what an administrator did, in the transaction that does it; nothing is written without it. */
  audit?: Audit
  clock?: Clock
  /** Called before any route exists: hooks added later would not reach the routes. */
  onHttpServer?: (server: HttpServer) => void
}

export interface AppInput {
  config: Config
  databaseUrl: string
  secretKey: string
  logger: Logger
  overrides?: AppOverrides
}

export const jobsOptions = (input: AppInput): JobsOptions => ({
  databaseUrl: input.databaseUrl,
  types: jobTypes,
  logger: input.logger,
  concurrency: input.config.jobs.concurrency,
  applicationName: `dawnotemu-${input.config.role}`,
})

/** Everything without business words: database, clock, keys, stores, providers, the job queue, the counters. */
export const createFoundation = async (input: AppInput) => {
  const { config, logger } = input
  const database = createDatabase({
    url: input.databaseUrl,
    poolSize: config.database.poolSize,
    poolTimeoutSeconds: config.database.poolTimeoutSeconds,
    statementTimeoutMs: config.database.statementTimeoutMs,
    applicationName: `dawnotemu-${config.role}`,
    onIdleError: (error) => logger.warn({ err: error }, 'database connection lost'),
  })
  const movable: MovableClock | null =
    config.environment === 'test' ? await createSharedClock(database) : null
  const clock = input.overrides?.clock ?? movable ?? systemClock
  const keys = deriveKeys(input.secretKey, config.secrets.previous)
  const store = chooseStorage(config, keys['file-link'].current, clock)
  const storage = input.overrides?.storage ?? store.storage
  const speech = chooseSpeech(config, input.overrides?.speechProviders)
  const storeBilling = input.overrides?.storeBilling ?? chooseStoreBilling(config)
  const sandbox = createDecodeSandbox({})
  const jobs = await createJobs({ ...jobsOptions(input), clock })
  const { enqueue } = jobs

  const { counters, checkRedis } = chooseCounters(config, database, logger, clock)
  const keyOf = counterKey(keys.challenge.current)
  const limits = createLimits({ hit: counters.hit, keyOf, clock, isEnabled: config.rateLimit.isEnabled })
  return {
    config,
    logger,
    overrides: input.overrides,
    database,
    movable,
    clock,
    keys,
    store,
    storage,
    speech,
    storeBilling,
    sandbox,
    jobs,
    enqueue,
    counters,
    checkRedis,
    keyOf,
    limits,
  }
}

export type Foundation = Awaited<ReturnType<typeof createFoundation>>
