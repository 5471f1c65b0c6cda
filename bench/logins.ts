/**
 * Sign-ins and refreshes a second, and what the hashing does to other requests: `npm run bench:logins`, about a minute.
 * A real web process with its limits on and a database of its own is driven from this one; another checkout is measured
 * with `node bench/logins.ts ITS/src/main.ts`. Each sign-in comes from an address of its own, as a crowd does, so that
 * no quota of one address answers in its place. Memory is read from /proc: Linux only.
 */
import { spawn } from 'node:child_process'
import { randomBytes, randomInt } from 'node:crypto'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { Agent, request } from 'node:http'
import { loadavg, tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { createPasswords } from '../src/features/auth/passwords.ts'
import { startEmbeddedPostgres } from '../src/platform/db/embedded-postgres.ts'
import { freePort } from '../src/platform/free-port.ts'

const accountCount = 64
const phaseMs = 8000
const probesPerSecond = 50

const entry = path.resolve(process.argv[2] ?? path.join(import.meta.dirname, '../src/main.ts'))
const dataDir = await mkdtemp(path.join(tmpdir(), 'dawnotemu-bench-'))
const postgres = await startEmbeddedPostgres({
  directory: path.join(dataDir, 'postgres'),
  database: 'dawnotemu',
})
const port = await freePort()
const server = spawn(process.execPath, [entry, '--role', 'web'], {
  env: {
    PATH: process.env['PATH'],
    APP_ENV: 'development',
    PORT: String(port),
    DATA_DIR: dataDir,
    DATABASE_URL: postgres.url,
    TRUSTED_PROXY_HOPS: '1',
  },
  stdio: ['ignore', 'ignore', 'inherit'],
})

interface Reply {
  status: number
  body: Record<string, unknown>
}

const agent = new Agent({ keepAlive: true })
const call = (method: string, target: string, own: { token?: string; json?: unknown } = {}): Promise<Reply> =>
  new Promise((resolve, reject) => {
    const text = own.json === undefined ? '' : JSON.stringify(own.json)
    const headers = {
      ...(own.token === undefined ? {} : { authorization: `Bearer ${own.token}` }),
      ...(text ? { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) } : {}),
      // 198.18.0.0/15 is reserved for measurements (RFC 2544).
      'x-forwarded-for': `198.${randomInt(18, 20)}.${randomInt(256)}.${randomInt(256)}`,
    }
    const sent = request({ host: '127.0.0.1', port, method, path: target, headers, agent }, (answer) => {
      const parts: Buffer[] = []
      answer.on('data', (part: Buffer) => parts.push(part)).on('error', reject)
      answer.on('end', () => {
        const body: Record<string, unknown> = JSON.parse(Buffer.concat(parts).toString() || '{}')
        resolve({ status: answer.statusCode ?? 0, body })
      })
    })
    sent.on('error', reject).end(text)
  })

const timed = async (work: () => Promise<Reply>): Promise<[Reply, number]> => {
  const started = performance.now()
  const reply = await work()
  const took = performance.now() - started
  if (reply.status !== 200) throw new Error(`answered ${reply.status}: ${JSON.stringify(reply.body)}`)
  return [reply, took]
}

const quantile = (times: readonly number[], share: number): string => {
  const sorted = times.toSorted((left, right) => left - right)
  return (sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? 0).toFixed(1)
}
const p50p99 = (times: readonly number[]): string =>
  `p50 ${quantile(times, 0.5)}, p99 ${quantile(times, 0.99)}, highest ${quantile(times, 1)} ms (${times.length})`
const print = (label: string, text: string): void => console.log(`${label.padEnd(28)}${text}`)
const residentMiB = async (): Promise<string> => {
  const status = await readFile(`/proc/${server.pid ?? 0}/status`, 'utf8').catch(() => '')
  const threads = /Threads:\s+(\d+)/.exec(status)?.[1] ?? '?'
  return `${Math.round(Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1024)} MiB, ${threads} threads`
}

const password = randomBytes(12).toString('base64url')
const emailOf = (index: number): string => `bench-${index % accountCount}@example.test`
const login = (index: number): Promise<[Reply, number]> =>
  timed(() => call('POST', '/auth/login', { json: { email: emailOf(index), password } }))

/** As many clients as asked, each with one request at a time. */
const crowd = async (clients: number, work: (client: number, turn: number) => Promise<number>) => {
  const times: number[] = []
  const started = performance.now()
  const end = started + phaseMs
  await Promise.all(
    Array.from({ length: clients }, async (_, client) => {
      for (let turn = 0; performance.now() < end; turn += 1) times.push(await work(client, turn))
    }),
  )
  const perSecond = (times.length * 1000) / (performance.now() - started)
  return {
    times,
    text: `${perSecond.toFixed(1)} a second, p50 ${quantile(times, 0.5)}, p95 ${quantile(times, 0.95)} ms`,
  }
}

/** GET /auth/me at a fixed rate, whether earlier ones are answered or not. */
const probe = async (token: string, isOver: () => boolean): Promise<number[]> => {
  const open: Promise<number>[] = []
  const started = performance.now()
  for (let count = 1; !isOver(); count += 1) {
    open.push(timed(() => call('GET', '/auth/me', { token })).then(([, took]) => took))
    await sleep(Math.max(0, started + (count * 1000) / probesPerSecond - performance.now()))
  }
  return Promise.all(open)
}

const measure = async (): Promise<void> => {
  const [first, firstTook] = await login(0)
  const token = String(first.body['access_token'])
  print('first sign-in', `${firstTook.toFixed(0)} ms`)
  for (let index = 0; index < 50; index += 1) {
    await login(index)
    await call('GET', '/auth/me', { token })
  }
  const idleEnd = performance.now() + phaseMs
  print('GET /auth/me, idle', p50p99(await probe(token, () => performance.now() > idleEnd)))
  for (const clients of [1, 4, 16]) {
    let isOver = false
    const probes = clients === 16 ? probe(token, () => isOver) : null
    const { text } = await crowd(clients, async (client, turn) => (await login(client + clients * turn))[1])
    isOver = true
    print(`sign-ins, ${clients} clients`, text)
    if (probes) print('GET /auth/me, meanwhile', p50p99(await probes))
  }
  print('memory after sign-ins', await residentMiB())

  const refresh = (token: string) =>
    timed(() => call('POST', '/auth/refresh', { json: { refresh_token: token } }))
  const held: string[] = []
  for (let client = 0; client < 16; client += 1)
    held.push(String((await login(client))[0].body['refresh_token']))
  const refreshes = await crowd(16, async (client) => {
    const [reply, took] = await refresh(held[client] ?? '')
    held[client] = String(reply.body['refresh_token'])
    return took
  })
  print('refreshes, 16 clients', refreshes.text)
  const walls: number[] = []
  for (let round = 0; round < 5; round += 1) {
    const own = String((await login(round))[0].body['refresh_token'])
    const started = performance.now()
    const replies = await Promise.all(Array.from({ length: 20 }, () => refresh(own)))
    walls.push(performance.now() - started)
    const successors = new Set(replies.map(([reply]) => reply.body['refresh_token']))
    if (successors.size !== 20) throw new Error('successors are not different')
  }
  print(
    'one token 20 times at once',
    `all 200; p50 ${quantile(walls, 0.5)}, highest ${quantile(walls, 1)} ms`,
  )
}

try {
  const deadline = Date.now() + 60_000
  while ((await call('GET', '/health/ready').catch(() => null))?.status !== 200) {
    if (Date.now() > deadline || server.exitCode !== null) throw new Error('the server does not start')
    await sleep(100)
  }
  const passwords = createPasswords()
  const passwordHash = await passwords.hash(password)
  await passwords.close()
  const client = new pg.Client({ connectionString: postgres.url })
  await client.connect()
  await client.query(
    `insert into users (email, email_confirmed, password_hash)
     select email, true, $2 from unnest($1::text[]) as made (email)`,
    [Array.from({ length: accountCount }, (_, index) => emailOf(index)), passwordHash],
  )
  await client.end()
  const load = () =>
    loadavg()
      .map((each) => each.toFixed(2))
      .join(' ')
  print('load average before', load())
  print('memory before', await residentMiB())
  await measure()
  print('load average after', load())
} finally {
  agent.destroy()
  const hasEnded = new Promise((resolve) => server.once('exit', resolve))
  server.kill('SIGTERM')
  if (server.exitCode === null) await Promise.race([hasEnded, sleep(10_000)])
  server.kill('SIGKILL')
  await postgres.stop()
  await rm(dataDir, { recursive: true, force: true })
}
