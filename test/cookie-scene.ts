import assert from 'node:assert/strict'
import * as scene from './account-scene.ts'
import { type Account, type Answer, type TestApp } from './app.ts'

/** What the browser app's own script sends and another page cannot. */
export const script = { 'x-requested-with': 'DawnoTemu' }
export const sameOrigin = { ...script, 'sec-fetch-site': 'same-origin' }

const attributes = 'Path=/; Max-Age=604800; Secure; HttpOnly; SameSite=Strict'
export const clearedCookie = '__Host-dt_refresh=; Path=/; Max-Age=0; Secure; HttpOnly; SameSite=Strict'

/** The refresh token of the one `Set-Cookie`, which has exactly the attributes of the specification. */
export const cookieTokenOf = (answer: Answer): string => {
  assert.equal(answer.status, 200, answer.text)
  const lines = answer.headers.getSetCookie()
  const token = /dtr_[A-Za-z0-9_-]{49}/.exec(lines[0] ?? '')?.[0] ?? 'none'
  assert.deepEqual(lines, [`__Host-dt_refresh=${token}; ${attributes}`])
  assert.doesNotMatch(answer.text, /dtr_/)
  return token
}

export const cookieOf = (token: string): Record<string, string> => ({
  cookie: `__Host-dt_refresh=${token}`,
})

export const refreshByCookie = (
  app: TestApp,
  token: string,
  headers: Record<string, string> = sameOrigin,
): Promise<Answer> =>
  app.call('POST', '/auth/refresh', { json: {}, headers: { ...headers, ...cookieOf(token) } })

export const logInByCookie = (
  app: TestApp,
  account: { email: string; password: string },
  headers: Record<string, string> = sameOrigin,
): Promise<Answer> =>
  app.call('POST', '/auth/login', {
    json: { email: account.email, password: account.password, session: 'cookie' },
    headers,
  })

/** A confirmed account whose only session is a cookie session. */
export const openCookieSession = async (
  app: TestApp,
): Promise<{ account: Account; token: string; accessToken: string }> => {
  const account = await scene.createAccount(app)
  await scene.rows(app, 'delete from sessions where user_id = $1', [account.id])
  const answer = await logInByCookie(app, account)
  return { account, token: cookieTokenOf(answer), accessToken: String(answer.body['access_token']) }
}
