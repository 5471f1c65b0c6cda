import { setTimeout as sleep } from 'node:timers/promises'
import { CompiledQuery, Kysely, PostgresDialect, type Transaction } from 'kysely'
import pg from 'pg'
import type { DB } from './schema.gen.ts'

/**
 * Reading. A pool or a transaction both fit; nothing that writes is reachable through it, so a write
 * without a transaction does not compile.
 */
export type Db = Pick<Kysely<DB>, 'selectFrom' | 'selectNoFrom' | 'fn'>

/** Writing: a function that changes rows takes the caller's transaction as its first parameter. */
export type Tx = Transaction<DB>

/** Everything needed to run statements outside the query builder inside a transaction (pg-boss uses it). */
export const executeRaw = async (
  tx: Tx,
  text: string,
  values: readonly unknown[] = [],
): Promise<{ rows: Record<string, unknown>[] }> => {
  const result = await tx.executeQuery(CompiledQuery.raw(text, [...values]))
  return { rows: result.rows as Record<string, unknown>[] }
}

export interface DatabaseOptions {
  url: string
  /** Connections of this process. */
  poolSize: number
  /** How long a caller waits for a free connection. */
  poolTimeoutSeconds: number
  statementTimeoutMs: number
  applicationName: string
  /** Called for errors of idle connections (server restarts); never throws. */
  onIdleError: (error: Error) => void
}

export interface Database {
  read: Db
  /** The raw pool, for the migration runner and the health probe. */
  pool: pg.Pool
  /**
   * Runs `work` in one transaction and commits it. Serialisation failures and deadlocks (40001, 40P01) are
   * repeated up to four times, so `work` must have no effect outside the transaction.
   */
  transaction<T>(work: (tx: Tx) => Promise<T>): Promise<T>
  close(): Promise<void>
}

/** SQLSTATE of a database error, or null for anything else. */
export const sqlState = (error: unknown): string | null =>
  error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : null

/** Name of the violated constraint, or null. */
export const violatedConstraint = (error: unknown): string | null =>
  error instanceof Error && 'constraint' in error && typeof error.constraint === 'string'
    ? error.constraint
    : null

const isRepeatable = (error: unknown): boolean => ['40001', '40P01'].includes(sqlState(error) ?? '')

/** A lost or refused connection: the statement may be repeated on a new one when it had no effect. */
export const isConnectionFault = (error: unknown): boolean => {
  const state = sqlState(error) ?? ''
  return (
    /^(08|57P0|53)/.test(state) ||
    ['ECONNRESET', 'ECONNREFUSED', 'EPIPE', 'ETIMEDOUT'].includes(state) ||
    (error instanceof Error &&
      /Connection terminated|timeout exceeded when trying to connect|Client has encountered a connection error/.test(
        error.message,
      ))
  )
}

// int8 columns hold ids and sizes far below 2^53; a string would leak into JSON.
const parseInt8 = (text: string): number => {
  const value = Number(text)
  if (!Number.isSafeInteger(value)) throw new Error('int8 value beyond 2^53')
  return value
}

export const createDatabase = (options: DatabaseOptions): Database => {
  const types = new pg.TypeOverrides()
  types.setTypeParser(pg.types.builtins.INT8, parseInt8)
  const pool = new pg.Pool({
    connectionString: options.url,
    max: options.poolSize,
    connectionTimeoutMillis: options.poolTimeoutSeconds * 1000,
    idleTimeoutMillis: 30_000,
    maxLifetimeSeconds: 300,
    statement_timeout: options.statementTimeoutMs,
    lock_timeout: Math.max(1000, Math.floor((options.statementTimeoutMs * 2) / 3)),
    idle_in_transaction_session_timeout: 30_000,
    application_name: options.applicationName,
    types,
  })
  pool.on('error', options.onIdleError)
  // While a connection is lent out the pool does not listen: without this a restart of the server would end the process.
  // Whoever holds the connection learns of it by the next statement.
  pool.on('connect', (client) => client.on('error', () => undefined))
  const kysely = new Kysely<DB>({ dialect: new PostgresDialect({ pool }) })

  const transaction = async <T>(work: (tx: Tx) => Promise<T>): Promise<T> => {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await kysely.transaction().execute(work)
      } catch (error) {
        if (!isRepeatable(error) || attempt >= 5) throw error
        await sleep(5 * 2 ** attempt * (0.5 + Math.random()))
      }
    }
  }

  return { read: kysely, pool, transaction, close: () => kysely.destroy() }
}
