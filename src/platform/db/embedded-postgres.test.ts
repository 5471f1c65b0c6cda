import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { startEmbeddedPostgres, type EmbeddedPostgres } from './embedded-postgres.ts'

// The tests follow one cluster through its life and run in this order. As root (a container) the server runs as the
// system user `postgres`; everywhere else as the caller.

let directory: string
let server: EmbeddedPostgres | undefined
before(async () => {
  directory = await mkdtemp(path.join(tmpdir(), 'embedded-postgres-'))
})
after(async () => {
  await server?.stop()
  await rm(directory, { recursive: true, force: true })
})

const start = () => startEmbeddedPostgres({ directory, database: 'dawnotemu' })

const query = async (url: string, text: string): Promise<unknown[]> => {
  const client = new pg.Client({ connectionString: url })
  client.on('error', () => undefined)
  await client.connect()
  try {
    return (await client.query<Record<string, unknown>>(text)).rows.map((row) => Object.values(row)[0])
  } finally {
    await client.end()
  }
}

const postmaster = async (): Promise<number> =>
  Number((await readFile(path.join(directory, 'cluster/postmaster.pid'), 'utf8')).split('\n')[0])

const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

test('starts in a new folder, on loopback only, for nobody without the password', async () => {
  server = await start()
  assert.equal(server.isAdopted, false)
  assert.deepEqual(await query(server.url, 'select current_database()'), ['dawnotemu'])
  assert.deepEqual(await query(server.url, 'show listen_addresses'), ['127.0.0.1'])
  assert.deepEqual(await query(server.url, 'show fsync'), ['on'])
  const stranger = server.url.replace(/:[^:@/]+@/, ':wrong@')
  await assert.rejects(query(stranger, 'select 1'), /password authentication failed/)
  assert.equal((await stat(path.join(directory, 'password'))).mode & 0o077, 0)
  assert.equal((await stat(path.join(directory, 'cluster'))).mode & 0o077, 0)
})

test('never runs as root', async (t) => {
  if (process.platform !== 'linux') return t.skip('needs /proc')
  const owner = (await readFile(`/proc/${await postmaster()}/status`, 'utf8')).match(/^Uid:\t(\d+)/m)?.[1]
  assert.ok(owner !== undefined && owner !== '0', `runs as ${String(owner)}`)
})

test('sorts by the Polish alphabet', async () => {
  assert.ok(server)
  const words = ['zbc', 'źdźbło', 'żaba', 'ąbc', 'abc', 'Abc', 'łan', 'lan', 'mak', 'ćma', 'cma', 'dom']
  const list = words.map((word) => `('${word}')`).join()
  assert.deepEqual(
    await query(server.url, `select word from (values ${list}) as words (word) order by word`),
    ['abc', 'Abc', 'ąbc', 'cma', 'ćma', 'dom', 'lan', 'łan', 'mak', 'zbc', 'źdźbło', 'żaba'],
  )
})

test('a second start joins the running server and leaves it running', async () => {
  assert.ok(server)
  const second = await start()
  assert.deepEqual([second.isAdopted, second.url], [true, server.url])
  await second.stop()
  assert.deepEqual(await query(server.url, 'select 1'), [1])
})

test('a second start makes a database that is missing', async () => {
  const second = await startEmbeddedPostgres({ directory, database: 'other' })
  assert.deepEqual(await query(second.url, 'select current_database()'), ['other'])
})

test('stop cuts open connections, and a restart keeps the data', async () => {
  assert.ok(server)
  await query(server.url, 'create table kept (id integer)')
  await query(server.url, 'insert into kept values (1), (2)')
  const open = new pg.Client({ connectionString: server.url })
  open.on('error', () => undefined)
  await open.connect()
  const pid = await postmaster()
  await server.stop()
  assert.equal(isAlive(pid), false)
  await assert.rejects(open.query('select 1'))
  await open.end().catch(() => undefined)
  await server.stop()
  server = await start()
  assert.equal(server.isAdopted, false)
  assert.deepEqual(await query(server.url, 'select id from kept order by id'), [1, 2])
})

test('a server killed in the middle of work recovers at the next start, with what was committed', async () => {
  assert.ok(server)
  await query(server.url, 'insert into kept values (3)')
  const open = new pg.Client({ connectionString: server.url })
  open.on('error', () => undefined)
  await open.connect()
  await open.query('begin; insert into kept values (4)')
  const pid = await postmaster()
  process.kill(pid, 'SIGKILL')
  for (let waited = 0; isAlive(pid) && waited < 100; waited += 1) await sleep(20)
  await open.end().catch(() => undefined)
  server = await start()
  assert.equal(server.isAdopted, false)
  assert.deepEqual(await query(server.url, 'select id from kept order by id'), [1, 2, 3])
})

test('two starts at the same moment end with one server', async () => {
  assert.ok(server)
  await server.stop()
  const both = await Promise.allSettled([start(), start()])
  const started = both.filter((result) => result.status === 'fulfilled').map((result) => result.value)
  const own = started.find((each) => !each.isAdopted)
  assert.ok(own)
  assert.equal(started.filter((each) => !each.isAdopted).length, 1)
  server = own
  assert.deepEqual(await query(server.url, 'select count(*)::integer from kept'), [3])
})
