import path from 'node:path'
import { parseArgs } from 'node:util'
import {
  accountsUsage,
  isAccountsCommand,
  runAccountsCommand,
  type CommandResult,
} from './account-commands.ts'
import { buildApp, migrateAll, type App } from './app.ts'
import { deletionsUsage, isDeletionCommand, runDeletionCommand } from './deletion-commands.ts'
import { importUsage, runImportCommand } from './import-command.ts'
import { isLedgerCommand, ledgerUsage, runLedgerCommand } from './ledger-commands.ts'
import {
  describeConfig,
  loadConfig,
  readOrCreateDevelopmentSecret,
  type Config,
  type ProcessRole,
} from './platform/config.ts'
import { createDatabase, type Db } from './platform/db/database.ts'
import { startEmbeddedPostgres } from './platform/db/embedded-postgres.ts'
import { createLogger } from './platform/observability/logger.ts'
import { countAlive } from './platform/observability/process-heartbeat.ts'

const usage = `usage: npm run --silent dawnotemu -- <command> [--json]

  config                   the effective configuration, secrets as set or unset
  migrate                  bring the database and the job queues to this release
  health --role ROLE       exit 0 when a worker or scheduler was alive within 60 s
${accountsUsage}${deletionsUsage}${ledgerUsage}${importUsage}`

/** Exit codes: 0 done, 1 failed or not healthy, 2 wrong use or configuration. */
class CommandError extends Error {
  readonly exitCode: 1 | 2

  constructor(exitCode: 1 | 2, message: string) {
    super(message)
    this.name = 'CommandError'
    this.exitCode = exitCode
  }
}

type Report = Record<string, unknown>

const load = (role: ProcessRole): Config => {
  const loaded = loadConfig(process.env, { role })
  for (const warning of loaded.warnings) process.stderr.write(`warning: ${warning}\n`)
  if (loaded.kind === 'invalid') throw new CommandError(2, loaded.problems.join('\n'))
  return loaded.config
}

const withDatabase = async <T>(config: Config, work: (url: string) => Promise<T>): Promise<T> => {
  const url = config.database.migrationUrl ?? config.database.url
  if (url !== null) return work(url)
  const directory = path.join(config.paths.dataDir, 'postgres')
  const embedded = await startEmbeddedPostgres({ directory, database: 'dawnotemu' })
  try {
    return await work(embedded.url)
  } finally {
    await embedded.stop()
  }
}

const migrateCommand = async (): Promise<Report> => {
  const config = load('cli')
  const secretKey = config.secrets.key ?? (await readOrCreateDevelopmentSecret(config.paths.dataDir))
  const logger = createLogger({ level: 'warn', format: 'json', role: 'cli', release: config.release })
  const applied = await withDatabase(config, (databaseUrl) =>
    migrateAll({ config, databaseUrl, secretKey, logger }),
  )
  return { applied }
}

/** Reading alone, without the rest of the server. */
const withReader = <T>(work: (db: Db) => Promise<T>): Promise<T> =>
  withDatabase(load('cli'), async (url) => {
    const database = createDatabase({
      url,
      poolSize: 1,
      poolTimeoutSeconds: 5,
      statementTimeoutMs: 5000,
      applicationName: 'dawnotemu-cli',
      onIdleError: () => undefined,
    })
    try {
      return await work(database.read)
    } finally {
      await database.close()
    }
  })

const healthCommand = async (role: string | undefined): Promise<Report> => {
  if (role === undefined) throw new CommandError(2, usage)
  const alive = await withReader((db) => countAlive(db, role))
  if (alive === 0) throw new CommandError(1, `no ${role} was alive within 60 s`)
  return { role, alive }
}

/** The whole server without its listener, worker and scheduler. */
const withApp = async <T>(work: (app: App) => Promise<T>): Promise<T> => {
  const config = load('cli')
  const secretKey = config.secrets.key ?? (await readOrCreateDevelopmentSecret(config.paths.dataDir))
  const logger = createLogger({ level: 'warn', format: 'json', role: 'cli', release: config.release })
  return withDatabase(config, async (databaseUrl) => {
    const app = await buildApp({ config, databaseUrl, secretKey, logger })
    try {
      return await work(app)
    } finally {
      await app.close()
    }
  })
}

const accountsCommand = async (words: readonly string[]): Promise<Report> => {
  if (!isAccountsCommand(words)) throw new CommandError(2, usage)
  return reportOf(await withApp((app) => runAccountsCommand(app, words)))
}

const reportOf = (result: CommandResult): Report => {
  if (result.kind === 'done') return result.report
  throw result.kind === 'failed' ? new CommandError(1, result.message) : new CommandError(2, usage)
}

const deletionCommand = async (words: readonly string[]): Promise<Report> =>
  reportOf(await withReader((db) => runDeletionCommand(db, words)))

const ledgerCommand = async (words: readonly string[], user: string | undefined): Promise<Report> => {
  if (!isLedgerCommand(words, user)) throw new CommandError(2, usage)
  const result = await withApp((app) => runLedgerCommand(app, words, user))
  if (result.kind !== 'drift') return reportOf(result)
  process.exitCode = 1
  return result.report
}

const importCommand = async (from: string | undefined, isApplied: boolean): Promise<Report> => {
  if (from === undefined) throw new CommandError(2, usage)
  return reportOf(await withApp((app) => runImportCommand(app, { from, isApplied })))
}

const run = async (): Promise<void> => {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      json: { type: 'boolean', default: false },
      role: { type: 'string' },
      user: { type: 'string' },
      from: { type: 'string' },
      apply: { type: 'boolean', default: false },
    },
  })
  const commands: Record<string, () => Report | Promise<Report>> = {
    config: () => ({ ...describeConfig(load('all')) }),
    migrate: migrateCommand,
    health: () => healthCommand(values.role),
    'import-v1': () => importCommand(values.from, values.apply),
  }
  const [group, ...words] = positionals
  const command =
    group === 'accounts'
      ? () => accountsCommand(words)
      : group === 'ledger'
        ? () => ledgerCommand(words, values.user)
        : isDeletionCommand(positionals)
          ? () => deletionCommand(positionals)
          : commands[positionals.join(' ')]
  if (!command) throw new CommandError(2, usage)
  const report = await command()
  if (values.json) process.stdout.write(`${JSON.stringify(report)}\n`)
  else
    for (const [name, value] of Object.entries(report))
      process.stdout.write(`${name}=${typeof value === 'string' ? value : JSON.stringify(value)}\n`)
}

run().catch((error: unknown) => {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`)
  process.exit(error instanceof CommandError ? error.exitCode : 1)
})
