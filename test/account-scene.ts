import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { type Account, type Answer, type TestApp } from './app.ts'
import { freePort } from '../src/platform/free-port.ts'

export const newAddress = (): string => `rodzic-${randomBytes(6).toString('hex')}@example.test`
export const newPassword = (): string => `zielony kubek ${randomBytes(6).toString('hex')}`

export const registration = (own: Record<string, unknown> = {}): Record<string, unknown> => {
  const password = newPassword()
  return { email: newAddress(), password, password_confirm: password, ...own }
}

export const rows = async <T extends Record<string, unknown>>(
  app: TestApp,
  text: string,
  values: unknown[] = [],
): Promise<T[]> => (await app.test.database.pool.query<T>(text, values)).rows

export const count = async (app: TestApp, from: string, values: unknown[] = []): Promise<number> =>
  Number((await rows<{ count: unknown }>(app, `select count(*) from ${from}`, values))[0]?.count)

export const login = (app: TestApp, account: { email: string; password: string }): Promise<Answer> =>
  app.call('POST', '/auth/login', { json: { email: account.email, password: account.password } })

export const signIn = async (
  app: TestApp,
  account: { email: string; password: string },
): Promise<{ accessToken: string; refreshToken: string }> => {
  const answer = await login(app, account)
  assert.equal(answer.status, 200, answer.text)
  return {
    accessToken: String(answer.body['access_token']),
    refreshToken: String(answer.body['refresh_token']),
  }
}

/** A confirmed account that is signed in, without waiting for a mail. */
export const createAccount = async (app: TestApp, email = newAddress()): Promise<Account> => {
  const password = newPassword()
  const id = await app.app.auth.createConfirmed({ email, password })
  assert.ok(id !== null, 'the address is free')
  return { id, email, password, ...(await signIn(app, { email, password })) }
}

export const setUser = async (app: TestApp, id: number, assignments: string): Promise<void> => {
  await rows(app, `update users set ${assignments} where id = $1`, [id])
}

/** A confirmation token for `address` as a mail would carry it, without the mail. */
export const plantConfirmToken = async (app: TestApp, userId: number, address: string): Promise<string> => {
  const token = randomBytes(32).toString('base64url')
  await rows(
    app,
    `insert into mail_tokens (user_id, kind, salt, token_hash, address, created_at, expires_at)
     values ($1, 'confirm', $2, $3, $4, now(), now() + interval '1 day')`,
    [userId, randomBytes(32), createHash('sha256').update(token).digest(), address],
  )
  return token
}

export const advanceClock = async (app: TestApp, seconds: number): Promise<void> => {
  const moved = await app.call('POST', '/dev/clock', { json: { advance_seconds: seconds } })
  assert.equal(moved.status, 200, moved.text)
}

const dropConnections = `select pg_terminate_backend(pid) from pg_stat_activity
  where datname = $1 and application_name like 'dawnotemu-%'`

/** Drops every connection of the server under test to its database. */
export const dropServerConnections = async (app: TestApp): Promise<void> => {
  await rows(app, dropConnections, [new URL(app.databaseUrl).pathname.slice(1)])
}

/** Runs `work` while nothing listens where the server under test looks for its database. */
export const withoutDatabase = async (app: TestApp, work: () => Promise<void>): Promise<void> => {
  const { options } = app.app.database.pool
  const refusing = new URL(app.databaseUrl)
  refusing.port = String(await freePort())
  options.connectionString = refusing.href
  try {
    await dropServerConnections(app)
    await work()
  } finally {
    options.connectionString = app.databaseUrl
  }
}

/** Every row of every table as text, except the tables named. */
export const dumpDatabase = async (app: TestApp, except: readonly string[] = []): Promise<string> => {
  const tables = await rows<{ name: string }>(
    app,
    `select distinct format('%I.%I', table_schema, table_name) as name from information_schema.tables
     where table_type = 'BASE TABLE' and table_schema not in ('pg_catalog', 'information_schema')`,
  )
  const kept = tables.map(({ name }) => name).filter((name) => !except.includes(name))
  assert.ok(kept.length > 10, 'the tables were found')
  const dumps = await Promise.all(
    kept.map((name) => rows<{ line: string }>(app, `select t::text as line from ${name} t`)),
  )
  return dumps.flatMap((found) => found.map(({ line }) => line)).join('\n')
}

/** Answers `status` with exactly this error; `code` only when given. */
export const assertRefused = (answer: Answer, status: number, error: string, code?: string): void => {
  assert.equal(answer.status, status, answer.text)
  assert.deepEqual(answer.body, { error, ...(code === undefined ? {} : { code }) })
}
