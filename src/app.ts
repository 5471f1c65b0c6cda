import path from 'node:path'
import fastifyStatic from '@fastify/static'
import { systemClock, type Clock } from './platform/clock.ts'
import type { Config } from './platform/config.ts'
import { createDecodeSandbox } from './platform/audio/decode-sandbox.ts'
import { deriveKeys } from './platform/crypto.ts'
import { createDatabase, type Database } from './platform/db/database.ts'
import { isMigrated, migrate } from './platform/db/migrations.ts'
import { createSharedClock, type MovableClock } from './platform/db/shared-clock.ts'
import { cachedCheck, registerHealth } from './platform/http/health.ts'
import { registerPublicly, registerReference } from './platform/http/reference.ts'
import { createHttpServer, type HttpServer } from './platform/http/server.ts'
import { startPage } from './platform/http/start-page.ts'
import { createJobs, migrateJobs, type Job, type Jobs, type JobsOptions } from './platform/jobs/jobs.ts'
import { createScheduler, type Scheduler } from './platform/jobs/schedules.ts'
import type { Logger } from './platform/observability/logger.ts'
import type { EmailTransport } from './providers/email/email.ts'
import type { SpeechProvider } from './providers/speech/speech.ts'
import { localFileRoutes } from './providers/storage/local-files/file-routes.ts'
import type { ObjectStorage } from './providers/storage/storage.ts'
import { authRoutes, createAuth, createPasswords, type Auth } from './features/auth/auth.ts'
import { createCredits, creditRoutes, type Credits } from './features/credits/credits.ts'
import { createMail, createSendMail, sendMailJob } from './features/mail/mail.ts'
import * as narrationFeature from './features/narrations/narrations.ts'
import { seedStories, storyRoutes } from './features/stories/stories.ts'
import * as voiceFeature from './features/voices/voices.ts'
import { chooseEmailTransport, chooseSpeech, chooseStorage } from './adapters.ts'
import { registerDevRoutes } from './dev-routes.ts'

const root = path.join(import.meta.dirname, '..')
const migrationsDirectory = path.join(root, 'migrations')
const staticDirectory = path.join(import.meta.dirname, 'platform/http/static')

export const jobTypes = [
  sendMailJob,
  voiceFeature.prepareSampleJob,
  voiceFeature.cloneSlotJob,
  voiceFeature.releaseSlotJob,
  voiceFeature.sweepSlotsJob,
  voiceFeature.deleteObjectsJob,
  narrationFeature.produceNarrationJob,
  narrationFeature.sweepNarrationsJob,
]

/** What tests put in the place of the real thing; everything else is built as in production. */
export interface AppOverrides {
  storage?: ObjectStorage
  speechProviders?: readonly SpeechProvider[]
  emailTransport?: EmailTransport
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

export interface App {
  http: HttpServer
  auth: Auth
  credits: Credits
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

const jobsOptions = (input: AppInput): JobsOptions => ({
  databaseUrl: input.databaseUrl,
  types: jobTypes,
  logger: input.logger,
  concurrency: input.config.jobs.concurrency,
  applicationName: `dawnotemu-${input.config.role}`,
})

/** Brings the database and the job queues to this release. Safe to run by any number of processes at once. */
export const migrateAll = async (input: AppInput): Promise<string[]> => {
  const url = input.config.database.migrationUrl ?? input.databaseUrl
  const applied = await migrate(url, migrationsDirectory)
  await migrateJobs({ ...jobsOptions(input), databaseUrl: url })
  return applied
}

/** The whole server, wired by hand: reads top to bottom as what depends on what. */
export const buildApp = async (input: AppInput): Promise<App> => {
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
  const sandbox = createDecodeSandbox({})
  const jobs = await createJobs(jobsOptions(input))
  const { enqueue } = jobs

  const passwords = createPasswords({
    concurrency: config.passwords.hashConcurrency,
    memoryKib: config.passwords.memoryKib,
    timeCost: config.passwords.timeCost,
    breachedPasswordUrl: config.passwords.breachedUrl,
    report: (problem, cause) => logger.warn({ problem, err: cause }, 'password check'),
  })
  const mail = createMail({ clock, enqueue })
  const credits = createCredits({ clock, config: config.credits })
  const auth = createAuth({
    database,
    clock,
    credits,
    mail,
    config: {
      ...config.registration,
      initialCredits: config.credits.initial,
    },
    passwords,
    accessKeys: keys.access,
    linkKey: keys['mail-link'].current,
  })
  const holds = { warmHoldSeconds: config.voices.warmHoldSeconds }
  const slots = voiceFeature.createSlots({ database, clock, enqueue, config: holds })
  const narrations = narrationFeature.createNarrations({
    database,
    clock,
    credits,
    slots,
    enqueue,
    providers: speech.map,
    config: {
      ...config.narrations,
      enforceSubscriptionGate: config.subscriptions.isGateEnforced,
    },
  })
  const voices = voiceFeature.createVoices({
    database,
    clock,
    logger,
    storage,
    sandbox,
    slots,
    enqueue,
    config: {
      provider: config.speech.preferred,
      maxVoicesPerUser: config.voices.maxPerUser,
      isEncrypted: config.storage.bucket?.isEncryptedAtRest ?? false,
    },
    beforeDelete: narrations.removeVoice,
  })
  const samples = voiceFeature.createSampleMaker({ database, clock, storage, sandbox })

  const allJobs = (): Job[] => [
    createSendMail({
      database,
      clock,
      transport: input.overrides?.emailTransport ?? chooseEmailTransport(config, database, clock),
      linkKey: keys['mail-link'].current,
      publicUrl: config.http.publicUrl,
    }),
    voiceFeature.createPrepareSample({ database, clock, samples }),
    voiceFeature.createCloneSlot({
      database,
      clock,
      logger,
      enqueue,
      samples,
      providers: speech.map,
      config: {
        ...holds,
        voicePrefix: config.voices.providerPrefix,
      },
      onReady: narrations.resumeVoice,
      onFailed: narrations.failVoice,
    }),
    voiceFeature.createReleaseSlot({ database, clock, providers: speech.map }),
    voiceFeature.createSweepSlots({ slots }),
    voiceFeature.createDeleteObjects({ storage }),
    narrationFeature.createProduceNarration({
      database,
      clock,
      logger,
      storage,
      slots,
      enqueue,
      narrations,
      providers: speech.map,
      concurrency: (provider) => config.speech[provider].concurrency,
      config: {
        ...holds,
        speechLimitSeconds: config.narrations.speechLimitSeconds,
      },
    }),
    narrationFeature.createSweepNarrations({ database, clock, logger, enqueue, narrations }),
  ]

  let isDraining = false
  const http = await createHttpServer({
    logger,
    release: config.release,
    publicUrl: config.http.publicUrl,
    trustedProxyHops: config.http.trustedProxyHops,
    corsOrigins: config.http.corsOrigins,
    isProduction: config.environment === 'production',
    authenticate: ({ authorization }) => auth.authenticate(authorization),
  })
  input.overrides?.onHttpServer?.(http)
  const taskStatus = voiceFeature.createTaskStatus({ database, find: jobs.find })
  const priceOf = (text: string): number => credits.priceOf(text)
  await http.register(authRoutes({ auth }))
  await http.register(storyRoutes({ db: database.read, storage, priceOf }))
  await http.register(creditRoutes({ credits, db: database.read }))
  const uploadDirectory = path.join(config.paths.dataDir, 'uploads')
  await http.register(voiceFeature.voiceRoutes({ voices, storage, uploadDirectory, taskStatus }))
  await http.register(
    narrationFeature.narrationRoutes({ narrations, voices, storage, db: database.read, clock, taskStatus }),
  )
  registerHealth(http, {
    release: config.release,
    checks: {
      database: async () => (await database.pool.query('select 1'), 'ok'),
      migrations: async () => ((await isMigrated(database.pool, migrationsDirectory)) ? 'ok' : 'failed'),
      redis: async () => 'off',
      storage: cachedCheck(async (signal) => (await storage.head('health/probe', signal), 'ok'), 60_000),
      mail: async () => (config.email.transport === 'outbox' ? 'off' : 'ok'),
    },
    required: ['database', 'migrations'],
    isDraining: () => isDraining,
  })
  await registerReference(http)
  await registerPublicly(http, async (scope) => {
    await scope.register(fastifyStatic, { root: staticDirectory, prefix: '/static/', wildcard: false })
    scope.get('/icons/logo.png', (_request, reply) => reply.sendFile('icons/logo.png'))
    scope.get('/', (_request, reply) => {
      const page = startPage({ isDevelopment: config.environment !== 'production' })
      return reply.headers(page.headers).type('text/html; charset=utf-8').send(page.html)
    })
    if (store.files && !input.overrides?.storage)
      await scope.register(localFileRoutes, { storage: store.files, now: () => clock.now() })
  })
  if (config.environment !== 'production')
    await registerDevRoutes(http, { db: database.read, clock: movable })

  const close = async (): Promise<void> => {
    isDraining = true
    const timeoutSeconds = config.http.shutdownTimeoutSeconds
    await Promise.all([http.close(), scheduler.stop(), jobs.stop(timeoutSeconds)])
    await Promise.all([sandbox.close(), speech.close(), passwords.close()])
    store.close()
    movable?.close()
    await database.close()
  }
  const scheduler = createScheduler({ database, jobs, clock, logger, types: jobTypes })

  return {
    http,
    auth,
    credits,
    database,
    jobs,
    scheduler,
    clock,
    close,
    work: () => jobs.work(allJobs()),
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
