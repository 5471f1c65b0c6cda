import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { buildApp, type App, type AppOverrides } from '../src/app.ts'
import { loadConfig } from '../src/platform/config.ts'
import { freePort } from '../src/platform/free-port.ts'
import { createTestDatabase, type TestDatabase } from './database.ts'
import { recordingLogger, type LoggedLine } from './logger.ts'
import { checkAnswers } from './openapi-check.ts'

export interface Answer {
  status: number
  headers: Headers
  /** Parsed JSON, or null for another type. */
  body: Record<string, unknown> & unknown[]
  text: string
}

export interface TestApp {
  app: App
  url: string
  dataDir: string
  databaseUrl: string
  /** The variables of the server, for further processes of it. */
  env: Record<string, string>
  test: TestDatabase
  /** Warnings and errors so far; `close` fails on errors that `expectErrors` did not announce. */
  lines: LoggedLine[]
  expectErrors(): void
  /** JSON answers that were compared with the OpenAPI document so far. */
  checkedAnswers(): number
  call(method: string, path: string, options?: CallOptions): Promise<Answer>
  /** Registers, confirms by the outbox and signs in. */
  signUp(email?: string): Promise<Account>
  outbox(
    to: string,
    kind?: string,
  ): Promise<{ subject: string; text: string; links: string[]; kind: string }[]>
  close(): Promise<void>
}

export interface CallOptions {
  token?: string
  json?: unknown
  body?: string | Uint8Array<ArrayBuffer> | FormData | ReadableStream
  headers?: Record<string, string>
}

export interface Account {
  id: number
  email: string
  password: string
  accessToken: string
  refreshToken: string
}

/** Polls until `read` answers something other than null or undefined; fails after `timeoutMs`. */
export const until = async <T>(
  read: () => Promise<T | null | undefined>,
  what: string,
  timeoutMs = 20_000,
): Promise<T> => {
  const deadline = Date.now() + timeoutMs
  for (;;) {
    const value = await read()
    if (value !== null && value !== undefined) return value
    if (Date.now() > deadline) throw new Error(`gave up waiting for ${what}`)
    await sleep(50)
  }
}

export const testEnvironment = (own: Record<string, string> = {}): Record<string, string> => ({
  APP_ENV: 'test',
  SECRET_KEY: randomBytes(32).toString('base64url'),
  PREFERRED_VOICE_SERVICE: 'local',
  LOG_LEVEL: 'error',
  RATELIMIT_ENABLED: 'false',
  ...own,
})

/** The real server on a free loopback port with a database of its own. */
export const startTestApp = async (
  options: { env?: Record<string, string>; overrides?: AppOverrides; work?: boolean } = {},
): Promise<TestApp> => {
  const [test, port] = await Promise.all([createTestDatabase(), freePort()])
  const dataDir = await mkdtemp(path.join(tmpdir(), 'dawnotemu-test-'))
  const env = testEnvironment({ PORT: String(port), DATA_DIR: dataDir, ...options.env })
  const loaded = loadConfig(env)
  assert.ok(loaded.kind === 'ok', JSON.stringify(loaded))
  const logger = recordingLogger()
  let answers: ReturnType<typeof checkAnswers> | null = null
  const app = await buildApp({
    config: loaded.config,
    databaseUrl: test.url,
    logger,
    secretKey: env['SECRET_KEY'] ?? '',
    overrides: {
      ...options.overrides,
      onHttpServer: (server) => {
        answers = checkAnswers(server)
      },
    },
  })
  let expectsErrors = false
  if (options.work !== false) await app.work()
  await app.http.listen({ host: '127.0.0.1', port })
  const url = `http://127.0.0.1:${port}`

  const call: TestApp['call'] = async (method, target, own = {}) => {
    const response = await fetch(target.startsWith('http') ? target : `${url}${target}`, {
      method,
      redirect: 'manual',
      headers: {
        ...(own.token === undefined ? {} : { authorization: `Bearer ${own.token}` }),
        ...(own.json === undefined ? {} : { 'content-type': 'application/json' }),
        ...own.headers,
      },
      ...(own.json === undefined ? {} : { body: JSON.stringify(own.json) }),
      ...(own.body === undefined ? {} : { body: own.body }),
    })
    const text = await response.text()
    const isJson = response.headers.get('content-type')?.startsWith('application/json') ?? false
    return {
      status: response.status,
      headers: response.headers,
      body: isJson && text ? JSON.parse(text) : null,
      text,
    }
  }

  const outbox: TestApp['outbox'] = async (to, kind) => {
    const query = new URLSearchParams({ to, ...(kind === undefined ? {} : { kind }) })
    const { text } = await call('GET', `/dev/outbox.json?${query.toString()}`)
    return JSON.parse(text)
  }

  const signUp: TestApp['signUp'] = async (
    email = `rodzic-${randomBytes(4).toString('hex')}@example.test`,
  ) => {
    const password = `zielony kubek ${randomBytes(6).toString('hex')}`
    const registered = await call('POST', '/auth/register', {
      json: { email, password, password_confirm: password },
    })
    assert.equal(registered.status, 201, registered.text)
    const link = await until(
      async () => (await outbox(email, 'confirm_email'))[0]?.links[0],
      'the confirmation mail',
    )
    assert.equal((await call('POST', link)).status, 200)
    const login = await call('POST', '/auth/login', { json: { email, password } })
    assert.equal(login.status, 200, login.text)
    const { access_token: accessToken, refresh_token: refreshToken, user } = login.body
    return {
      id: (user as { id: number }).id,
      email,
      password,
      accessToken: String(accessToken),
      refreshToken: String(refreshToken),
    }
  }

  return {
    app,
    url,
    dataDir,
    databaseUrl: test.url,
    env,
    test,
    call,
    signUp,
    outbox,
    lines: logger.lines,
    checkedAnswers: () => answers?.count() ?? 0,
    expectErrors: () => {
      expectsErrors = true
    },
    close: async () => {
      await app.close()
      await test.close()
      await rm(dataDir, {
        recursive: true,
        force: true,
      })
      const errors = logger.lines.filter((line) => line.level === 'error')
      if (!expectsErrors) assert.deepEqual(errors.map(describeLine), [], 'unexpected errors were logged')
      assert.deepEqual([...new Set(answers?.problems)], [], 'answers differ from the OpenAPI document')
    },
  }
}

const describeLine = ({ message, fields }: LoggedLine): string => {
  const error = fields['err']
  return error instanceof Error
    ? `${message}: ${error.stack ?? error.message}`
    : `${message}: ${JSON.stringify(fields)}`
}
