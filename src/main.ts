import { mkdir } from 'node:fs/promises'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { buildApp, migrateAll, type App, type AppInput } from './app.ts'
import { createDemoAccounts, type DemoAccount } from './demo-accounts.ts'
import { describeConfig, loadConfig, readOrCreateDevelopmentSecret, type Config } from './platform/config.ts'
import { freePort } from './platform/free-port.ts'
import { startEmbeddedPostgres, type EmbeddedPostgres } from './platform/db/embedded-postgres.ts'
import { createLogger, type Logger } from './platform/observability/logger.ts'
import { startProcessHeartbeat } from './platform/observability/process-heartbeat.ts'

// Load balancers need a moment to see "draining" before the listener goes.
const drainNoticeMs = 2000
const databaseWaitMs = 60_000

/** Port 0 becomes a real one before anything is built, so that links name it. */
const readEnvironment = async (): Promise<NodeJS.ProcessEnv> => {
  const { values } = parseArgs({ options: { role: { type: 'string' } }, strict: true })
  const role = values.role === undefined ? {} : { PROCESS_ROLE: values.role }
  const port = process.env['PORT'] === '0' ? { PORT: String(await freePort()) } : {}
  return { ...process.env, ...role, ...port }
}

const loadOrExit = async (): Promise<Config> => {
  const loaded = loadConfig(await readEnvironment(), { isTerminal: process.stdout.isTTY })
  for (const warning of loaded.warnings) process.stderr.write(`warning: ${warning}\n`)
  if (loaded.kind === 'ok') return loaded.config
  process.stderr.write(`The configuration has ${loaded.problems.length} problem(s):\n`)
  for (const problem of loaded.problems) process.stderr.write(`  - ${problem}\n`)
  return process.exit(2)
}

/** Waits up to a minute for a database that is just starting. */
const migrateWhenUp = async (input: AppInput, logger: Logger): Promise<void> => {
  const deadline = Date.now() + databaseWaitMs
  for (;;) {
    try {
      const applied = await migrateAll(input)
      if (applied.length > 0) logger.info({ applied }, 'database migrated')
      return
    } catch (error) {
      const code = error instanceof Error && 'code' in error ? String(error.code) : ''
      if (!['ECONNREFUSED', 'ECONNRESET', '57P03', 'ENOTFOUND'].includes(code) || Date.now() > deadline)
        throw error
      logger.warn({ code }, 'waiting for the database')
      await sleep(1000)
    }
  }
}

const greeting = (config: Config, demo: DemoAccount[] | null): string => {
  const url = config.http.publicUrl
  const lines = [
    '',
    `  DawnoTemu ${config.release} is ready`,
    '',
    `  Start page      ${url}/`,
    `  API reference   ${url}/docs`,
    ...(config.environment === 'production' ? [] : [`  Mail outbox     ${url}/dev/outbox`]),
    `  Data folder     ${config.paths.dataDir}`,
    ...(demo === null
      ? []
      : [
          '',
          '  Demo accounts (also in demo-accounts.json of the data folder):',
          ...demo.map(({ role, email, password }) => `    ${role.padEnd(7)} ${email}  ${password}`),
        ]),
    '',
    '  Make a story:   npm run narrate -- --recording FILE --story ID --out story.mp3',
    '',
  ]
  return `${lines.join('\n')}\n`
}

const startRoles = async (app: App, config: Config): Promise<void> => {
  const { role } = config
  if (role === 'worker' || role === 'all') await app.work()
  if (role === 'scheduler' || role === 'all') app.scheduler.start()
  if (role === 'web' || role === 'all')
    await app.http.listen({ host: config.http.host, port: config.http.port })
}

const main = async (): Promise<void> => {
  const config = await loadOrExit()
  const { dataDir } = config.paths
  const logger = createLogger({
    level: config.observability.logLevel,
    format: config.observability.logFormat,
    role: config.role,
    release: config.release,
  })
  for (const [name, value] of Object.entries(describeConfig(config)))
    logger.debug({ setting: `${name}=${String(value)}` }, 'configuration')

  let isStopping = false
  let embedded: EmbeddedPostgres | null = null
  let app: App | null = null
  let heartbeat: { stop(): Promise<void> } | null = null
  const stop = async (signal: string): Promise<void> => {
    // A second signal does not wait.
    if (isStopping) process.exit(1)
    isStopping = true
    logger.info({ signal }, 'stopping')
    app?.drain()
    if (config.environment === 'production' && config.role !== 'worker') await sleep(drainNoticeMs)
    await heartbeat?.stop()
    await app?.close()
    await embedded?.stop()
    logger.info({}, 'stopped')
    process.exit(0)
  }
  for (const signal of ['SIGTERM', 'SIGINT'] as const)
    process.on(signal, () => {
      stop(signal).catch((error: unknown) => {
        logger.error({ err: error }, 'stopping failed')
        process.exit(1)
      })
    })
  process.on('unhandledRejection', (error) => {
    logger.error({ err: error }, 'unhandled rejection')
    process.exit(1)
  })

  await mkdir(dataDir, { recursive: true })
  const secretKey = config.secrets.key ?? (await readOrCreateDevelopmentSecret(dataDir))
  if (config.database.url === null)
    embedded = await startEmbeddedPostgres({
      directory: path.join(dataDir, 'postgres'),
      database: 'dawnotemu',
    })
  const databaseUrl = config.database.url ?? embedded?.url
  if (databaseUrl === undefined) throw new Error('no database')
  const input: AppInput = { config, databaseUrl, secretKey, logger }
  if (config.environment !== 'production') await migrateWhenUp(input, logger)
  app = await buildApp(input)
  let demo: DemoAccount[] | null = null
  if (config.role === 'all' || config.role === 'web') {
    const { seeded, total } = await app.seed()
    if (seeded > 0) logger.info({ seeded, total }, 'stories seeded')
    if (config.environment === 'development')
      demo = await createDemoAccounts({ db: app.database.read, auth: app.auth, dataDir })
  }
  heartbeat = await startProcessHeartbeat({ database: app.database, role: config.role, logger })
  await startRoles(app, config)
  if (config.role === 'all' || config.role === 'web') process.stdout.write(greeting(config, demo))
  logger.info({}, 'ready')
}

main().catch((error: unknown) => {
  process.stderr.write(
    `start failed: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`,
  )
  process.exit(1)
})
