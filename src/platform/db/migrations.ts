import { createHash } from 'node:crypto'
import { readFile, readdir } from 'node:fs/promises'
import path from 'node:path'
import pg from 'pg'

// Any fixed number; all processes that migrate one database must agree on it.
const advisoryLock = 6_871_204_533

export interface MigrationFile {
  name: string
  sql: string
  checksum: string
}

/** The forward-only SQL files of a folder, in order of their number. Throws on a foreign or doubly numbered file. */
export const readMigrations = async (directory: string): Promise<MigrationFile[]> => {
  const names = (await readdir(directory)).sort()
  const numbers = new Set<string>()
  return Promise.all(
    names.map(async (name) => {
      const number = /^(\d{4})_[a-z0-9_]+\.sql$/.exec(name)?.[1]
      if (number === undefined || numbers.has(number)) throw new Error(`migrations: unexpected file ${name}`)
      numbers.add(number)
      const sql = await readFile(path.join(directory, name), 'utf8')
      return { name, sql, checksum: createHash('sha256').update(sql).digest('hex') }
    }),
  )
}

const createTable = `create table if not exists schema_migrations (
  name text primary key,
  checksum text not null,
  applied_at timestamptz not null default now()
)`

interface AppliedRow {
  name: string
  checksum: string
}

const pendingOf = (files: MigrationFile[], applied: AppliedRow[]): MigrationFile[] => {
  const known = new Map(files.map((file) => [file.name, file]))
  for (const row of applied) {
    const file = known.get(row.name)
    if (!file)
      throw new Error(`migrations: ${row.name} was applied to this database but is not in this release`)
    if (file.checksum !== row.checksum)
      throw new Error(`migrations: ${row.name} was edited after it was applied`)
  }
  const done = new Set(applied.map((row) => row.name))
  const pending = files.filter((file) => !done.has(file.name))
  const last = applied
    .map((row) => row.name)
    .sort()
    .at(-1)
  const early = last === undefined ? undefined : pending.find((file) => file.name < last)
  if (early)
    throw new Error(`migrations: ${early.name} is older than ${String(last)}, which was already applied`)
  return pending
}

/**
 * Brings a database to this release, one transaction a file, under an advisory lock: any number of processes
 * may start together. Returns the names applied by this call.
 */
export const migrate = async (url: string, directory: string): Promise<string[]> => {
  const files = await readMigrations(directory)
  const client = new pg.Client({ connectionString: url, application_name: 'dawnotemu-migrate' })
  await client.connect()
  try {
    await client.query('select pg_advisory_lock($1)', [advisoryLock])
    await client.query(createTable)
    const applied = await client.query<AppliedRow>('select name, checksum from schema_migrations')
    const pending = pendingOf(files, applied.rows)
    for (const file of pending) {
      await client.query('begin')
      await client.query(file.sql)
      await client.query('insert into schema_migrations (name, checksum) values ($1, $2)', [
        file.name,
        file.checksum,
      ])
      await client.query('commit')
    }
    return pending.map((file) => file.name)
  } finally {
    // Ending the connection releases the lock and rolls back what was not committed.
    await client.end()
  }
}

/** True when every migration of this release, and no other, is applied. Throws when the database cannot answer. */
export const isMigrated = async (pool: pg.Pool, directory: string): Promise<boolean> => {
  const files = await readMigrations(directory)
  const exists = await pool.query<{ found: string | null }>(
    `select to_regclass('schema_migrations')::text as found`,
  )
  if (exists.rows[0]?.found == null) return false
  const applied = await pool.query<AppliedRow>('select name, checksum from schema_migrations')
  try {
    return pendingOf(files, applied.rows).length === 0
  } catch {
    return false
  }
}
