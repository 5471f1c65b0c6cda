import assert from 'node:assert/strict'
import type { TestContext } from 'node:test'
import { assertRefused, count, rows } from './account-scene.ts'
import { until, type Answer, type TestApp } from './app.ts'
import { asApp } from './throttle-scene.ts'

/** Whoever can sign in. */
export interface Person {
  id: number
  email: string
  password: string
}

export interface DeviceLine {
  id: number
  current: boolean
  ip_prefix: string
  user_agent: string
}

/** The prefix that the device list shows for an IPv4 address. */
export const prefixOf = (address: string): string => address.replace(/\d+$/, '0/24')

export const sessionOver = 'Session is no longer valid. Please log in again.'

/** What people and attackers do, and what the owner of an account can see of it. */
export const createAttackScene = (app: TestApp) => {
  const post = (path: string, json: object, headers: Record<string, string>): Promise<Answer> =>
    app.call('POST', path, { json, headers })

  const tryToSignIn = (
    who: { email: string; password: string },
    headers: Record<string, string>,
    own: object = {},
  ): Promise<Answer> => post('/auth/login', { email: who.email, password: who.password, ...own }, headers)

  const refresh = (token: string, address: string, userAgent = 'DawnoTemu/1.0'): Promise<Answer> =>
    post('/auth/refresh', { refresh_token: token }, { ...asApp(address), 'user-agent': userAgent })

  return {
    post,
    tryToSignIn,
    refresh,

    /** Signs in as the app does, which must succeed. */
    signIn: async (who: { email: string; password: string }, address: string) => {
      const answer = await tryToSignIn(who, { ...asApp(address), 'user-agent': 'DawnoTemu/1.0' })
      assert.equal(answer.status, 200, answer.text)
      return {
        access: String(answer.body['access_token']),
        refresh: String(answer.body['refresh_token']),
      }
    },

    /** Presents a token that must be live: the access token and the successor of the answer. */
    useToken: async (token: string, address: string, userAgent?: string) => {
      const answer = await refresh(token, address, userAgent)
      assert.equal(answer.status, 200, answer.text)
      return {
        access: String(answer.body['access_token']),
        successor: String(answer.body['refresh_token']),
      }
    },

    assertDead: async (tokens: readonly string[], address: string, accessTokens: readonly string[] = []) => {
      for (const token of tokens) assertRefused(await refresh(token, address), 401, sessionOver)
      for (const token of accessTokens)
        assert.equal((await app.call('GET', '/auth/me', { token })).status, 401)
    },

    isSignedIn: async (accessToken: string): Promise<boolean> =>
      (await app.call('GET', '/auth/me', { token: accessToken })).status === 200,

    devices: async (accessToken: string): Promise<DeviceLine[]> => {
      const { status, text } = await app.call('GET', '/auth/sessions', { token: accessToken })
      assert.equal(status, 200, text)
      const { sessions }: { sessions: DeviceLine[] } = JSON.parse(text)
      return sessions
    },

    /** Security events of the account, oldest first, as its export shows them. */
    events: async ({ id }: Person): Promise<unknown[]> => {
      const found = await rows(app, 'select kind from auth_events where user_id = $1 order by id', [id])
      return found.map(({ kind }) => kind)
    },

    /** Waits until every "send me a link" so far has been answered, by a mail or by none. */
    linksAreSent: (): Promise<true> =>
      until(async () => ((await count(app, 'mail_requests')) === 0 ? true : null), 'the mail requests'),

    /** Waits until these mails, oldest first, have reached this address; no other is on its way. */
    assertMails: async (email: string, kinds: readonly string[]): Promise<void> => {
      assert.equal(await count(app, 'emails where recipient = $1', [email]), kinds.length)
      const received = async () => (await app.outbox(email)).map(({ kind }) => kind).reverse()
      await until(async () => ((await received()).length >= kinds.length ? true : null), kinds.join(', '))
      assert.deepEqual(await received(), kinds)
    },

    /** The link of the newest mail of this kind, once there are `count` of them. */
    linkFrom: (email: string, kind: string, count = 1): Promise<string> =>
      until(async () => {
        const found = await app.outbox(email, kind)
        return found.length >= count ? found[0]?.links[0] : null
      }, `${kind} mail ${count}`),
  }
}

export const refusedCredentials = (answer: Answer): void => assertRefused(answer, 401, 'Invalid credentials')

export const challenged = (answer: Answer): void =>
  assertRefused(answer, 403, 'Please complete the security challenge.', 'CHALLENGE_REQUIRED')

export const limited = (answer: Answer): void => {
  assert.equal(answer.status, 429, answer.text)
  assert.ok(Number(answer.headers.get('retry-after')) >= 1)
}

/** One line of an attack's log: what somebody does, what is answered, what the owner sees. */
export const logOf =
  (t: TestContext) =>
  (line: string, work: () => Promise<void>): Promise<void> =>
    t.test(line, work)

/** Seconds until the answer. */
export const timed = async (work: Promise<Answer>): Promise<{ answer: Answer; seconds: number }> => {
  const started = performance.now()
  return { answer: await work, seconds: (performance.now() - started) / 1000 }
}
