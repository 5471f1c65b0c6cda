/**
 * Debits a second: `npm run bench:ledger`, about a minute. The ledger of this checkout runs on an embedded PostgreSQL with
 * its production settings (fsync on), each debit of a narration of its own in a transaction of its own, the way a request
 * makes it. Client and server share the machine. `--seconds N` sets the length of a phase, `--clients N` the crowd;
 * `--no-fsync` leaves out the disk: one account cannot be charged more often than the disk takes a commit.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { availableParallelism, loadavg, tmpdir } from 'node:os'
import path from 'node:path'
import { parseArgs } from 'node:util'
import { createCredits, type Credits } from '../src/features/credits/credits.ts'
import { systemClock } from '../src/platform/clock.ts'
import { createDatabase, type Database } from '../src/platform/db/database.ts'
import { startEmbeddedPostgres } from '../src/platform/db/embedded-postgres.ts'
import { migrate } from '../src/platform/db/migrations.ts'

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '8' },
    clients: { type: 'string', default: '16' },
    'no-fsync': { type: 'boolean', default: false },
  },
})
const phaseMs = Number(values.seconds) * 1000
const crowd = Number(values.clients)
const users = 100
const lotsEach = 3
const narrationCount = 60_000

const print = (label: string, text: string): void => console.log(`${label.padEnd(34)}${text}`)
const quantile = (sorted: readonly number[], share: number): string =>
  (sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? 0).toFixed(1)

const settingsOf = async (database: Database): Promise<string> => {
  const { rows } = await database.pool.query<{ name: string; setting: string }>(
    `select name, setting from pg_settings
     where name in ('fsync', 'synchronous_commit', 'wal_sync_method', 'shared_buffers') order by name`,
  )
  return rows.map(({ name, setting }) => `${name}=${setting}`).join(' ')
}

/** How long a commit takes that does nothing else worth mentioning: the floor under every debit of one account. */
const commitCost = async (database: Database): Promise<string> => {
  await database.pool.query('create table bench_commits (n integer); insert into bench_commits values (0)')
  const times: number[] = []
  for (let count = 0; count < 200; count += 1) {
    const started = performance.now()
    await database.pool.query('update bench_commits set n = n + 1')
    times.push(performance.now() - started)
  }
  const sorted = times.toSorted((a, b) => a - b)
  return `p50 ${quantile(sorted, 0.5)}, p95 ${quantile(sorted, 0.95)} ms`
}

/** Accounts, and narrations to be charged: a story has one narration a voice. */
const fill = async (database: Database, credits: Credits): Promise<void> => {
  const run = (text: string, parameters: unknown[] = []) => database.pool.query(text, parameters)
  await run(`insert into stories (title, content) values ('Latarnia', 'Była sobie latarnia.')`)
  await run(
    `insert into users (email) select 'bench-' || n || '@example.test' from generate_series(1, $1) n`,
    [users],
  )
  await run(
    `insert into voices (user_id, name, provider, created_at, updated_at)
     select 1, 'Mama', 'local', now(), now() from generate_series(1, $1)`,
    [narrationCount],
  )
  await run(
    `insert into narrations (story_id, voice_id, user_id, created_at, updated_at)
     select 1, id, 1, now(), now() from voices`,
  )
  for (let userId = 1; userId <= users; userId += 1)
    for (let lot = 0; lot < lotsEach; lot += 1)
      await database.transaction((tx) =>
        credits.grant(tx, { userId, amount: 1_000_000, source: 'monthly', reason: 'monthly_grant' }),
      )
  await run('analyze')
}

let nextNarration = 0
const phase = async (
  database: Database,
  credits: Credits,
  clients: number,
  userOf: (client: number, turn: number) => number,
): Promise<string> => {
  const times: number[] = []
  const started = performance.now()
  const end = started + phaseMs
  await Promise.all(
    Array.from({ length: clients }, async (_, client) => {
      for (let turn = 0; performance.now() < end; turn += 1) {
        const before = performance.now()
        nextNarration += 1
        const debit = { narrationId: nextNarration, storyId: 1, reason: 'audio_synthesis:1', amount: 1 }
        await database.transaction((tx) => credits.debit(tx, { userId: userOf(client, turn), ...debit }))
        times.push(performance.now() - before)
      }
    }),
  )
  const perSecond = (times.length * 1000) / (performance.now() - started)
  const sorted = times.toSorted((a, b) => a - b)
  return `${perSecond.toFixed(0)} a second, p50 ${quantile(sorted, 0.5)}, p95 ${quantile(sorted, 0.95)} ms`
}

const load = () =>
  loadavg()
    .map((each) => each.toFixed(2))
    .join(' ')

const directory = await mkdtemp(path.join(tmpdir(), 'dawnotemu-bench-'))
const postgres = await startEmbeddedPostgres({
  directory,
  database: 'dawnotemu',
  isThrowaway: values['no-fsync'],
})
try {
  await migrate(postgres.url, path.join(import.meta.dirname, '../migrations'))
  const database = createDatabase({
    url: postgres.url,
    poolSize: crowd,
    poolTimeoutSeconds: 20,
    statementTimeoutMs: 60_000,
    applicationName: 'bench',
    onIdleError: () => undefined,
  })
  const credits = createCredits({
    clock: systemClock,
    config: {
      unitLabel: '',
      unitSize: 1000,
      sourcesPriority: ['event', 'monthly', 'referral', 'add_on', 'free'],
    },
  })
  await fill(database, credits)
  print('machine', `${availableParallelism()} cores, load average ${load()}`)
  print('database', await settingsOf(database))
  print('a commit alone', await commitCost(database))
  await phase(database, credits, crowd, (client, turn) => 1 + ((client + crowd * turn) % users))
  print(
    `${users} accounts, ${crowd} clients`,
    await phase(database, credits, crowd, (client, turn) => 1 + ((client + crowd * turn) % users)),
  )
  for (const clients of [1, 4])
    print(`one account, ${clients} client(s)`, await phase(database, credits, clients, () => 1))
  print(`one account, ${crowd} clients`, await phase(database, credits, crowd, () => 1))
  const { rows } = await database.pool.query<{ deadlocks: string }>(
    'select deadlocks from pg_stat_database where datname = current_database()',
  )
  print('deadlocks', String(rows[0]?.deadlocks))
  print('load average after', load())
  await database.close()
} finally {
  await postgres.stop()
  await rm(directory, { recursive: true, force: true })
}
