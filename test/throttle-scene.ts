import assert from 'node:assert/strict'
import { solveChallenge } from 'altcha-lib'
import { deriveKey } from 'altcha-lib/algorithms/pbkdf2'
import { Value } from 'typebox/value'
import { challengeSchema } from '../src/features/auth/proof-of-work.ts'
import { counterKey, deriveKeys } from '../src/platform/crypto.ts'
import { createPostgresCounters } from '../src/providers/rate-limit-store/postgres.ts'
import { newAddress, newPassword } from './account-scene.ts'
import { startTestApp, type TestApp } from './app.ts'

/** The server as in production: limits on, behind one proxy, so that a test can be many addresses; cheap proofs. */
export const throttledEnvironment = {
  RATELIMIT_ENABLED: 'true',
  TRUSTED_PROXY_HOPS: '1',
  POW_COST: '1',
}

export const startThrottledApp = (options: Parameters<typeof startTestApp>[0] = {}): Promise<TestApp> =>
  startTestApp({ ...options, env: { ...throttledEnvironment, ...options.env } })

let serial = 0
/** An IPv4 address that nobody used before, in a /24 of its own. */
export const newClient = (): string => {
  serial += 1
  return `100.${64 + Math.floor(serial / 250)}.${serial % 250}.7`
}

/** Headers of a request that the proxy passes on for `address`; a browser sends fetch metadata, the app none. */
export const asApp = (address: string): Record<string, string> => ({ 'x-forwarded-for': address })
export const asBrowser = (address: string): Record<string, string> => ({
  'x-forwarded-for': address,
  'sec-fetch-site': 'same-origin',
})

/** Fetches a challenge of the server (or of the process at `url`) and solves it; the text for `proof`. */
export const solveProof = async (
  app: TestApp,
  purpose: 'register' | 'login' | 'mail',
  url = app.url,
): Promise<string> => {
  const headers = asApp(newClient())
  const answer = await app.call('GET', `${url}/auth/challenge?purpose=${purpose}`, { headers })
  assert.equal(answer.status, 200, answer.text)
  const challenge = Value.Parse(challengeSchema, answer.body)
  const solution = await solveChallenge({ challenge, deriveKey })
  assert.ok(solution)
  return Buffer.from(JSON.stringify({ challenge, solution })).toString('base64')
}

/** Adds `times` to a counter of the server, as that many requests would have. */
export const raiseCounter = async (
  app: TestApp,
  { kind, of, times, windowSeconds }: { kind: string; of: string; times: number; windowSeconds: number },
): Promise<void> => {
  const keyOf = counterKey(deriveKeys(app.env['SECRET_KEY'] ?? '', []).challenge.current)
  const counters = createPostgresCounters(app.test.database)
  const counter = { key: keyOf(kind, of), windowSeconds }
  await counters.hit(
    Array.from({ length: times }, () => counter),
    app.app.clock.now(),
  )
}

/** Failed sign-ins of one account from `times` addresses, as the counters remember them. */
export const raiseAccountFailures = async (app: TestApp, email: string, times: number): Promise<void> => {
  await raiseCounter(app, { kind: 'login-account', of: email, times, windowSeconds: 900 })
  await raiseCounter(app, { kind: 'login-account-hour', of: email, times, windowSeconds: 3600 })
}

export interface NewUser {
  id: number
  email: string
  password: string
}

/** A confirmed account, made without a request. */
export const newUser = async (app: TestApp): Promise<NewUser> => {
  const account = { email: newAddress(), password: newPassword() }
  const id = await app.app.auth.createConfirmed(account)
  assert.ok(id !== null, 'the address is free')
  return { ...account, id }
}

/** Signs in as the app does, from an address of its own unless one is given; the access token. */
export const signInAt = async (
  app: TestApp,
  { email, password }: { email: string; password: string },
  address = newClient(),
): Promise<string> => {
  const answer = await app.call('POST', '/auth/login', { json: { email, password }, headers: asApp(address) })
  assert.equal(answer.status, 200, answer.text)
  return String(answer.body['access_token'])
}
