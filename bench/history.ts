/**
 * What a long past costs a reader: `npm run bench:history`, about two minutes. One account with 1,000, 100,000 and 1,000,000
 * transactions asks for its points over HTTP; then an account of 1,000 in a table of a million. Goal: p95 of the longest
 * within 1.5 times that of the shortest. `--most N` stops earlier, `--requests N` sets the requests of a measurement.
 */
import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { loadavg, tmpdir } from 'node:os'
import path from 'node:path'
import { parseArgs } from 'node:util'
import { buildApp, migrateAll } from '../src/app.ts'
import { loadConfig } from '../src/platform/config.ts'
import { startEmbeddedPostgres } from '../src/platform/db/embedded-postgres.ts'
import { freePort } from '../src/platform/free-port.ts'
import { createLogger } from '../src/platform/observability/logger.ts'

const { values } = parseArgs({
  options: { most: { type: 'string', default: '1000000' }, requests: { type: 'string', default: '300' } },
})
const requests = Number(values.requests)
const sizes = [1000, 100_000, 1_000_000].filter((size) => size <= Number(values.most))
const targets = [
  '/me/credits',
  '/me/credits/history',
  '/me/credits/history?type=refund,expire',
  '/me/credits/history?type=credit&limit=100',
]

const dataDir = await mkdtemp(path.join(tmpdir(), 'dawnotemu-bench-'))
const secretKey = randomBytes(32).toString('base64url')
const loaded = loadConfig({
  APP_ENV: 'test',
  PORT: String(await freePort()),
  DATA_DIR: dataDir,
  LOG_LEVEL: 'error',
  SECRET_KEY: secretKey,
  PREFERRED_VOICE_SERVICE: 'local',
  RATELIMIT_ENABLED: 'false',
})
if (loaded.kind !== 'ok') throw new Error(loaded.problems.join('\n'))
const { config } = loaded
const postgres = await startEmbeddedPostgres({
  directory: path.join(dataDir, 'postgres'),
  database: 'dawnotemu',
})
const logger = createLogger({ level: 'error', format: 'json', role: 'web', release: config.release })
const input = { config, databaseUrl: postgres.url, secretKey, logger }
await migrateAll(input)
const app = await buildApp(input)
await app.http.listen({ host: config.http.host, port: config.http.port })
const run = (text: string, parameters: unknown[] = []) => app.database.pool.query(text, parameters)

/**
 * A past as it grows in years, written at once: lots of a thousand points, each spent by 999 debits; every
 * other lot ends with an expiry. The triggers are off while it is written: chain and counters are made here as they would make them.
 */
const addPast = async (userId: number, size: number): Promise<void> => {
  const client = await app.database.pool.connect()
  try {
    await client.query('begin')
    await client.query(`set local session_replication_role = replica; set local statement_timeout = '10min'`)
    await client.query(
      `with made as (
         insert into credit_lots (user_id, source, amount_granted, amount_remaining, created_at, updated_at)
         select $1, 'monthly', 1000, 0, now() - interval '2 years', now() from generate_series(1, $2::integer / 1000)
         returning id
       ), numbered as (
         select id as lot_id, row_number() over (order by id) as lot from made
       ), entry as (
         insert into credit_transactions (user_id, type, amount, reason, created_at, updated_at)
         select $1, case when n % 1000 = 0 then 'credit' when n % 2000 = 1999 then 'expire' else 'debit' end,
           case when n % 1000 = 0 then 1000 else -1 end, 'bench', now() - interval '2 years' + n * interval '1 minute', now()
         from generate_series(0, $2::integer - 1) n
         returning id
       ), placed as (
         select id, row_number() over (order by id) - 1 as n from entry
       )
       insert into credit_transaction_allocations (transaction_id, lot_id, amount, position, balance_after)
       select p.id, l.lot_id, case when p.n % 1000 = 0 then 1000 else -1 end, 1 + p.n % 1000, 1000 - p.n % 1000
         from placed p join numbered l on l.lot = 1 + p.n / 1000`,
      [userId, size],
    )
    await client.query(
      `insert into credit_history_counts (user_id, type, transactions)
       select user_id, type, count(*) from credit_transactions where user_id = $1 group by 1, 2
       on conflict (user_id, type) do update set transactions = excluded.transactions`,
      [userId],
    )
    await client.query('commit')
  } finally {
    client.release()
  }
}

const account = async (name: string): Promise<{ id: number; token: string }> => {
  const credentials = { email: `${name}@example.test`, password: randomBytes(12).toString('base64url') }
  const id = await app.auth.createConfirmed({ ...credentials, credits: 10 })
  const answer = await fetch(`${config.http.publicUrl}/auth/login`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(credentials),
  })
  const body: unknown = await answer.json()
  if (id === null || typeof body !== 'object' || body === null || !('access_token' in body))
    throw new Error('no account')
  return { id, token: String(body.access_token) }
}

const ask = async (target: string, token: string): Promise<number> => {
  const started = performance.now()
  const answer = await fetch(`${config.http.publicUrl}${target}`, {
    headers: { authorization: `Bearer ${token}` },
  })
  await answer.text()
  if (answer.status !== 200) throw new Error(`${target} answered ${answer.status}`)
  return performance.now() - started
}

/** Turn by turn, so that a busy moment of the machine does not fall on one account alone. */
const measure = async (target: string, tokens: readonly string[]): Promise<number[]> => {
  const times = tokens.map((): number[] => [])
  for (let count = -20; count < requests; count += 1)
    for (const [index, token] of tokens.entries()) {
      const took = await ask(target, token)
      if (count >= 0) times[index]?.push(took)
    }
  return times.map((each) => each.toSorted((a, b) => a - b)[Math.ceil(each.length * 0.95) - 1] ?? 0)
}

const load = () =>
  loadavg()
    .map((each) => each.toFixed(2))
    .join(' ')

try {
  console.log(`load average ${load()}; p95 in ms of ${requests} requests one after another`)
  const accounts: [label: string, token: string][] = []
  for (const size of sizes) {
    const { id, token } = await account(`bench-${size}`)
    await addPast(id, size)
    accounts.push([`${size} transactions`, token])
  }
  const small = await account('bench-small')
  await addPast(small.id, 1000)
  accounts.push(['1000 in the full table', small.token])
  await run(`set statement_timeout = '10min'`)
  await run('vacuum analyze credit_transactions')
  await run('vacuum analyze credit_lots')
  for (const target of targets) {
    const found = await measure(
      target,
      accounts.map(([, token]) => token),
    )
    const first = found[0] ?? 1
    console.log(target)
    for (const [index, [label]] of accounts.entries()) {
      const value = found[index] ?? 0
      console.log(`  ${label.padEnd(26)}${value.toFixed(1).padStart(7)}  ${(value / first).toFixed(2)} times`)
    }
  }
  console.log(`load average ${load()}`)
} finally {
  await app.close()
  await postgres.stop()
  await rm(dataDir, { recursive: true, force: true })
}
