import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after, before, test } from 'node:test'
import pg from 'pg'
import { createTestDatabase, type TestDatabase } from '../../../test/database.ts'
import { isMigrated, migrate, readMigrations } from './migrations.ts'

const projectMigrations = path.join(import.meta.dirname, '../../../migrations')

let bench: TestDatabase
before(async () => {
  bench = await createTestDatabase()
})
after(() => bench.close())

interface Scene {
  url: string
  pool: pg.Pool
  directory: string
  write(name: string, sql: string): Promise<void>
  tables(): Promise<string[]>
}

/** An empty database and an empty folder of migrations. */
const inScene = async (play: (scene: Scene) => Promise<void>): Promise<void> => {
  const name = `migrations_${randomBytes(6).toString('hex')}`
  const directory = await mkdtemp(path.join(tmpdir(), 'migrations-'))
  await bench.database.pool.query(`create database ${name}`)
  const url = bench.url.replace(/\/[^/]*$/, `/${name}`)
  const pool = new pg.Pool({ connectionString: url, max: 2 })
  pool.on('error', () => undefined)
  try {
    await play({
      url,
      pool,
      directory,
      write: (file, sql) => writeFile(path.join(directory, file), sql),
      tables: async () => {
        const found = await pool.query<{
          name: string
        }>(`select tablename as name from pg_tables where schemaname = 'public' order by 1`)
        return found.rows.map((row) => row.name)
      },
    })
  } finally {
    await pool.end()
    await bench.database.pool.query(`drop database ${name} with (force)`)
    await rm(directory, { recursive: true, force: true })
  }
}

test('a fresh database gets every file in order; a second run does nothing', () =>
  inScene(async ({ url, pool }) => {
    assert.equal(await isMigrated(pool, projectMigrations), false)
    const files = (await readMigrations(projectMigrations)).map((file) => file.name)
    assert.deepEqual(await migrate(url, projectMigrations), files)
    assert.equal(await isMigrated(pool, projectMigrations), true)
    assert.deepEqual(await migrate(url, projectMigrations), [])
    assert.equal((await pool.query('select name from schema_migrations')).rowCount, files.length)
  }))

test('runners that start together apply each file once', () =>
  inScene(async ({ url, pool, directory, write }) => {
    await write('0001_first.sql', 'create table first (id integer); select pg_sleep(0.3);')
    await write('0002_second.sql', 'insert into first values (1);')
    const runs = await Promise.all([
      migrate(url, directory),
      migrate(url, directory),
      migrate(url, directory),
    ])
    assert.deepEqual(runs.flat().sort(), ['0001_first.sql', '0002_second.sql'])
    assert.equal(runs.filter((applied) => applied.length === 0).length, 2)
    assert.equal((await pool.query('select id from first')).rowCount, 1)
  }))

test('only what is new is applied', () =>
  inScene(async ({ url, pool, directory, write, tables }) => {
    await write('0001_first.sql', 'create table first (id integer);')
    await migrate(url, directory)
    await write('0002_second.sql', 'create table second (id integer);')
    assert.equal(await isMigrated(pool, directory), false)
    assert.deepEqual(await migrate(url, directory), ['0002_second.sql'])
    assert.deepEqual(await tables(), ['first', 'schema_migrations', 'second'])
  }))

test('a file edited after it was applied is refused, and nothing new is applied', () =>
  inScene(async ({ url, pool, directory, write, tables }) => {
    await write('0001_first.sql', 'create table first (id integer);')
    await migrate(url, directory)
    await write('0001_first.sql', 'create table first (id bigint);')
    await write('0002_second.sql', 'create table second (id integer);')
    await assert.rejects(migrate(url, directory), /0001_first\.sql was edited after it was applied/)
    assert.equal(await isMigrated(pool, directory), false)
    assert.deepEqual(await tables(), ['first', 'schema_migrations'])
  }))

test('a database of a later release is refused', () =>
  inScene(async ({ url, pool, directory, write }) => {
    await write('0001_first.sql', 'create table first (id integer);')
    await write('0002_second.sql', 'create table second (id integer);')
    await migrate(url, directory)
    await rm(path.join(directory, '0002_second.sql'))
    await assert.rejects(
      migrate(url, directory),
      /0002_second\.sql was applied .* but is not in this release/,
    )
    assert.equal(await isMigrated(pool, directory), false)
  }))

test('a new file with a number before an applied one is refused', () =>
  inScene(async ({ url, directory, write, tables }) => {
    await write('0002_second.sql', 'create table second (id integer);')
    await migrate(url, directory)
    await write('0001_first.sql', 'create table first (id integer);')
    await assert.rejects(migrate(url, directory), /0001_first\.sql is older than 0002_second\.sql/)
    assert.deepEqual(await tables(), ['schema_migrations', 'second'])
  }))

test('a failing file is rolled back whole; the earlier ones stay, and a corrected one goes on from there', () =>
  inScene(async ({ url, pool, directory, write, tables }) => {
    await write('0001_first.sql', 'create table first (id integer);')
    await write('0002_second.sql', 'create table second (id integer); create table first (id integer);')
    await write('0003_third.sql', 'create table third (id integer);')
    await assert.rejects(migrate(url, directory), /already exists/)
    assert.deepEqual(await tables(), ['first', 'schema_migrations'])
    assert.equal(await isMigrated(pool, directory), false)
    await write('0002_second.sql', 'create table second (id integer);')
    assert.deepEqual(await migrate(url, directory), ['0002_second.sql', '0003_third.sql'])
  }))

test('foreign files and doubled numbers are refused', () =>
  inScene(async ({ url, directory, write, tables }) => {
    await write('0001_first.sql', 'create table first (id integer);')
    await write('0001_again.sql', 'create table again (id integer);')
    await assert.rejects(migrate(url, directory), /unexpected file 0001_first\.sql/)
    await rm(path.join(directory, '0001_again.sql'))
    for (const name of ['notes.txt', '1_short.sql', '0002_Upper.sql']) {
      await write(name, '')
      await assert.rejects(migrate(url, directory), /unexpected file/, name)
      await rm(path.join(directory, name))
    }
    assert.deepEqual(await tables(), [])
  }))
