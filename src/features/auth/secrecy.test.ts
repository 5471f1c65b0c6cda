import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { test } from 'node:test'
import * as scene from '../../../test/account-scene.ts'
import { startTestApp, testEnvironment, until } from '../../../test/app.ts'
import { buildApp } from '../../app.ts'
import { loadConfig } from '../../platform/config.ts'
import { createLogger } from '../../platform/observability/logger.ts'
import { EmailError, type EmailMessage } from '../../providers/email/email.ts'

/** How a secret may have been written: as it is, as bytes in hex, or escaped. */
const forms = (secret: string): string[] => [
  secret,
  Buffer.from(secret).toString('hex'),
  Buffer.from(secret).toString('base64').replaceAll('=', ''),
  encodeURIComponent(secret),
]

const assertAbsent = (text: string, secrets: Record<string, string>): void => {
  for (const [name, secret] of Object.entries(secrets)) {
    assert.ok(secret.length >= 20, name)
    for (const form of forms(secret)) assert.equal(text.includes(form), false, `${name} was found`)
  }
}

test('no issued token, link or password is at rest in the database', async () => {
  const app = await startTestApp({ env: { RATELIMIT_ENABLED: 'false' } })
  try {
    const account = await app.signUp()
    const successor = await app.call('POST', '/auth/refresh', {
      json: { refresh_token: account.refreshToken },
    })
    const link = (await app.outbox(account.email, 'confirm_email'))[0]?.links[0] ?? ''
    const other = scene.registration()
    assert.equal((await app.call('POST', '/auth/register', { json: other })).status, 201)
    const sent = await until(
      async () => (await app.outbox(String(other['email']), 'confirm_email'))[0]?.links[0],
      'the second mail',
    )
    const dump = await scene.dumpDatabase(app, ['public.mail_outbox'])
    assert.ok(dump.includes(account.email), 'the dump holds what is stored')
    assertAbsent(dump, {
      password: account.password,
      'password of the other': String(other['password']),
      'access token': account.accessToken,
      'refresh token': account.refreshToken,
      'part of the refresh token': account.refreshToken.slice(4, 47),
      successor: String(successor.body['refresh_token']),
      'confirmation token, used': link.split('/').at(-1) ?? '',
      'confirmation token, live': sent.split('/').at(-1) ?? '',
    })
  } finally {
    await app.close()
  }
})

test('no log line holds a token, link, password or mail body, also when sending fails', async () => {
  const host = await startTestApp({ work: false })
  const dataDir = await mkdtemp(path.join(tmpdir(), 'dawnotemu-log-'))
  const env = testEnvironment({ DATA_DIR: dataDir, LOG_LEVEL: 'debug', RATELIMIT_ENABLED: 'false' })
  const loaded = loadConfig(env)
  assert.ok(loaded.kind === 'ok')
  let log = ''
  const sent: EmailMessage[] = []
  const app = await buildApp({
    config: loaded.config,
    databaseUrl: host.databaseUrl,
    secretKey: env['SECRET_KEY'] ?? '',
    logger: createLogger({
      level: 'debug',
      format: 'json',
      role: 'test',
      release: 'test',
      destination: { write: (line) => void (log += line) },
    }),
    overrides: {
      emailTransport: {
        name: 'smtp',
        // A careless provider: its error repeats the whole message.
        send: (message) => {
          sent.push(message)
          const cause = Object.assign(new Error(message.html), { code: 'ECONNRESET' })
          throw new EmailError('transient', `could not send ${message.text}`, { cause })
        },
      },
    },
  })
  try {
    await app.work()
    const fields = scene.registration()
    const post = (url: string, payload: object, headers: Record<string, string> = {}) =>
      app.http.inject({ method: 'POST', url, payload, headers })
    assert.equal((await post('/auth/register', fields)).statusCode, 201)
    const mail = await until(async () => sent[0], 'the attempt to send')
    const link = /https?:\/\/\S+confirm-email\/\S+/.exec(mail.text)?.[0] ?? ''
    const url = new URL(link).pathname
    assert.equal(
      (await app.http.inject({ method: 'GET', url: `${url}?token=${url.slice(-43)}` })).statusCode,
      200,
    )
    assert.equal((await post(url, {})).statusCode, 200)
    const credentials = { email: fields['email'], password: fields['password'] }
    const pair: { access_token: string; refresh_token: string } = (
      await post('/auth/login', credentials)
    ).json()
    await post('/auth/login', { ...credentials, password: `${String(fields['password'])}x` })
    await post('/auth/refresh', { refresh_token: pair.refresh_token })
    await post('/auth/refresh', { refresh_token: `${pair.refresh_token}x` })
    const authorization = `Bearer ${pair.access_token}`
    await app.http.inject({ method: 'GET', url: '/auth/me', headers: { authorization } })
    await app.http.inject({ method: 'GET', url: '/auth/me', headers: { authorization: `${authorization}x` } })
    assert.equal((await post('/auth/reset-password-request', credentials)).statusCode, 200)
    const resetMail = await until(
      async () => sent.find(({ kind }) => kind === 'reset_password'),
      'the reset mail',
    )
    const resetUrl = new URL(/https?:\/\/\S+reset-password\/\S+/.exec(resetMail.text)?.[0] ?? '').pathname
    await app.http.inject({ method: 'GET', url: `${resetUrl}?token=${resetUrl.slice(-43)}` })
    await app.database.pool.query('alter table sessions rename to sessions_gone')
    const chosen = scene.newPassword()
    const newFields = { new_password: chosen, new_password_confirm: chosen }
    assert.equal((await post(resetUrl, newFields)).statusCode, 500)
    const change = { ...newFields, current_password: fields['password'], email: scene.newAddress() }
    await app.http.inject({ method: 'PATCH', url: '/auth/me', headers: { authorization }, payload: change })
    assert.equal((await post('/auth/login', credentials)).statusCode, 500)
    assert.equal((await post('/auth/refresh', pair)).statusCode, 500)
    await until(async () => (log.includes('mail.send') ? true : null), 'the line of the failed job')
    assert.match(log, /\/auth\/confirm-email\/(:token|\[redacted\])/)
    assert.match(log, /\/auth\/reset-password\/(:token|\[redacted\])/)
    assert.match(log, /smtp did not take the message \(ECONNRESET\)/)
    assert.match(log, /request failed/)
    assertAbsent(log, {
      password: String(fields['password']),
      'access token': pair.access_token,
      'signature of the access token': pair.access_token.split('.')[2] ?? '',
      'refresh token': pair.refresh_token,
      'part of the refresh token': pair.refresh_token.slice(4, 47),
      'confirmation token': url.slice(-43),
      'reset token': resetUrl.slice(-43),
      'new password': chosen,
      'mail body': mail.text.split('\n').find((line) => line.length > 40) ?? '',
    })
    assert.doesNotMatch(log, /\$argon2id/)
    assert.equal(log.includes(String(fields['email'])), false, 'the address was found')
  } finally {
    await app.close()
    await host.close()
    await rm(dataDir, { recursive: true, force: true })
  }
})
