import assert from 'node:assert/strict'
import { Agent, request as httpRequest } from 'node:http'
import { after, before, test } from 'node:test'
import * as scene from './account-scene.ts'
import { startTestApp, type Account, type TestApp } from './app.ts'
import { createOddRequests, fillIn, problemOf, type OddRequest } from './odd-requests.ts'
import { seededRandom } from './seeded-random.ts'

const seed = Number(process.env['TEST_SEED']) || Date.now() & 0x7fffffff
const requests = 10_000
const batchSize = 250
const lanes = 12
// A failed login answers after 300 ms, and password hashes wait for each other; nothing may take longer than this.
const slowestMs = 10_000

let app: TestApp
const agent = new Agent({ keepAlive: true, maxSockets: lanes })
before(async () => {
  app = await startTestApp({ work: false })
})
after(async () => {
  agent.destroy()
  await app.close()
})

interface Answered {
  status: number
  headers: Record<string, unknown>
  body: string
}

const send = ({ method, url, headers, payload }: OddRequest): Promise<Answered> =>
  new Promise((resolve, reject) => {
    const { port } = new URL(app.url)
    // Node frames the body of a DELETE or OPTIONS only when it is told its length.
    const length = payload === undefined ? {} : { 'content-length': Buffer.byteLength(payload) }
    const options = { host: '127.0.0.1', port, method, path: url, headers: { ...headers, ...length }, agent }
    const outgoing = httpRequest(options, (answer) => {
      let body = ''
      answer.setEncoding('utf8')
      answer.on('data', (chunk: string) => (body += chunk))
      answer.on('error', reject)
      answer.on('end', () => resolve({ status: answer.statusCode ?? 0, headers: answer.headers, body }))
    })
    outgoing.setTimeout(slowestMs, () => outgoing.destroy(new Error('no answer in time')))
    outgoing.on('error', reject)
    outgoing.end(payload)
  })

/** The account signed in, or another one: some requests end its sessions, change its password or delete it. */
const revive = async (account: Account | null): Promise<Account> => {
  if (!account) return scene.createAccount(app)
  const { status } = await app.call('GET', '/auth/me', { token: account.accessToken })
  if (status === 200) return account
  const answer = await scene.login(app, account)
  if (answer.status !== 200) return scene.createAccount(app)
  const { access_token: accessToken, refresh_token: refreshToken } = answer.body
  return { ...account, accessToken: String(accessToken), refreshToken: String(refreshToken) }
}

const accountProblem = (answer: Answered, request: OddRequest): string | null => {
  const problem = problemOf(answer, request)
  if (problem !== null) return problem
  const isPreflight = answer.status === 204 && request.method === 'OPTIONS'
  if (!isPreflight && answer.headers['cache-control'] !== 'no-store') return 'may be cached'
  return null
}

test(
  `${requests} malformed requests to the routes of accounts, seed ${seed}`,
  { timeout: 170_000 },
  async (t) => {
    t.diagnostic(`seed ${seed}`)
    const described = Object.keys(app.app.http.swagger().paths ?? {}).filter((path) =>
      /^\/(auth|tasks)\//.test(path),
    )
    const [first, ...rest] = described
    assert.ok(first !== undefined && rest.length >= 8, 'the routes were found')
    const { oddRequest } = createOddRequests(seededRandom(seed))
    // All are made before the first is sent, so that a seed repeats them whatever the timing.
    const planned = Array.from({ length: requests }, () => oddRequest([first, ...rest]))
    const problems: string[] = []
    const seen = new Map<number, number>()
    let slowest = 0
    let account: Account | null = null
    const started = performance.now()
    while (planned.length > 0) {
      account = await revive(account)
      const { accessToken: access, refreshToken: refresh, email, password } = account
      const batch = planned.splice(0, batchSize)
      const run = async (): Promise<void> => {
        for (let next = batch.pop(); next; next = batch.pop()) {
          const request = fillIn(next, { access, refresh, email, password })
          const sent = performance.now()
          const answer = await send(request).catch((error: unknown) => String(error))
          slowest = Math.max(slowest, performance.now() - sent)
          const problem = typeof answer === 'string' ? answer : accountProblem(answer, request)
          if (problem !== null) problems.push(`${problem}: ${JSON.stringify(request).slice(0, 300)}`)
          if (typeof answer !== 'string') seen.set(answer.status, (seen.get(answer.status) ?? 0) + 1)
        }
      }
      await Promise.all(Array.from({ length: lanes }, run))
    }
    const seconds = Math.round((performance.now() - started) / 1000)
    t.diagnostic(
      `${seconds} s, slowest ${Math.round(slowest)} ms, ${JSON.stringify(Object.fromEntries(seen))}`,
    )
    assert.deepEqual(problems.slice(0, 20), [])
    for (const status of [200, 204, 400, 401, 403, 404, 405, 413, 415])
      assert.ok(seen.has(status), `${status} was reached`)
    assert.equal((await app.call('GET', '/health/ready')).status, 200)
  },
)
