import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after, before, test } from 'node:test'
import * as scene from '../test/account-scene.ts'
import { startTestApp, until, type TestApp } from '../test/app.ts'
import { silentLogger } from '../test/logger.ts'
import { buildApp } from './app.ts'
import { ok, production } from './platform/config/config-fixtures.ts'

let app: TestApp
before(async () => {
  app = await startTestApp({ env: { RATELIMIT_ENABLED: 'false' } })
})
after(() => app.close())

const devPaths: [method: 'GET' | 'POST', url: string][] = [
  ['GET', '/dev/outbox.json'],
  ['GET', '/dev/outbox'],
  ['POST', '/dev/clock'],
]

interface Mail {
  id: number
  kind: string
  to: string
  subject: string
  text: string
  html: string
  created_at: string
  links: string[]
}

const outbox = async (query: string): Promise<Mail[]> =>
  JSON.parse((await app.call('GET', `/dev/outbox.json${query}`)).text)

test('the outbox lists mails newest first, with the keys that tools rely on', async () => {
  const { email } = await app.signUp()
  const to = `?to=${encodeURIComponent(email)}`
  const mails = await until(async () => {
    const found = await outbox(to)
    return found.length === 2 ? found : null
  }, 'both mails')
  assert.deepEqual(
    mails.map(({ kind }) => kind),
    ['email_confirmed', 'confirm_email'],
  )
  for (const mail of mails) {
    assert.deepEqual(Object.keys(mail).sort(), [
      'created_at',
      'html',
      'id',
      'kind',
      'links',
      'subject',
      'text',
      'to',
    ])
    assert.equal(mail.to, email)
    assert.ok(Number.isInteger(mail.id) && mail.subject !== '' && mail.text !== '')
    assert.match(mail.html, /^<!doctype html>/)
    assert.match(mail.created_at, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
  }
  const [verified, confirmation] = mails
  assert.ok(verified && confirmation && verified.id > confirmation.id)
  assert.match(confirmation.links[0] ?? '', /\/auth\/confirm-email\/[A-Za-z0-9_-]{43}$/)
  assert.ok(verified.links.includes('dawnotemu://login'))
})

test('the outbox filters by address and kind, alone and together', async () => {
  const [one, other] = [await app.signUp(), await app.signUp()]
  const to = (email: string) => `to=${encodeURIComponent(email)}`
  assert.deepEqual(
    (await outbox(`?${to(one.email)}&kind=confirm_email`)).map((mail) => mail.to),
    [one.email],
  )
  const confirmations = await outbox('?kind=confirm_email')
  assert.ok(confirmations.every(({ kind }) => kind === 'confirm_email'))
  for (const { email } of [one, other]) assert.ok(confirmations.some((mail) => mail.to === email))
  assert.deepEqual(await outbox(`?${to(scene.newAddress())}`), [])
  assert.deepEqual(await outbox('?kind=unknown'), [])
})

test('the outbox page escapes what it shows', async () => {
  const email = `"><script>x</script>${Math.random()}@example.test`.replaceAll(' ', '')
  const json = scene.registration({ email })
  assert.equal((await app.call('POST', '/auth/register', { json })).status, 201)
  await until(
    async () => ((await outbox(`?to=${encodeURIComponent(email)}`)).length > 0 ? true : null),
    'the mail',
  )
  const page = await app.call('GET', '/dev/outbox')
  assert.equal(page.status, 200)
  assert.equal(page.headers.get('content-type'), 'text/html; charset=utf-8')
  assert.ok(page.text.includes('&quot;&gt;&lt;script&gt;x'))
  assert.doesNotMatch(page.text, /<script/)
  assert.match(page.headers.get('content-security-policy') ?? '', /default-src 'none'/)
})

test('the clock moves for the whole server, and refuses what is no number', async () => {
  const before = app.app.clock.now().getTime()
  const answer = await app.call('POST', '/dev/clock', { json: { advance_seconds: 86_400 } })
  assert.equal(answer.status, 200)
  const moved = app.app.clock.now().getTime() - before
  assert.ok(moved >= 86_400_000 && moved < 86_430_000, `${moved} ms`)
  assert.ok(Math.abs(Date.parse(String(answer.body['now'])) - app.app.clock.now().getTime()) < 10_000)
  for (const seconds of ['60', null, undefined, [], 1e10])
    assert.equal((await app.call('POST', '/dev/clock', { json: { advance_seconds: seconds } })).status, 400)
  await scene.advanceClock(app, -86_400)
})

test('in production there is no outbox and no clock', async () => {
  const dataDir = await mkdtemp(path.join(tmpdir(), 'dawnotemu-production-'))
  const env: NodeJS.ProcessEnv = { ...production(), DATA_DIR: dataDir }
  const built = await buildApp({
    config: ok(env).config,
    databaseUrl: app.databaseUrl,
    secretKey: env['SECRET_KEY'] ?? '',
    logger: silentLogger,
    overrides: { speechProviders: [] },
  })
  try {
    for (const [method, url] of devPaths) {
      const answer = await built.http.inject({ method, url, payload: method === 'POST' ? {} : '' })
      assert.equal(answer.statusCode, 404, url)
      assert.deepEqual(answer.json(), { error: 'Not found' })
    }
    const page = await built.http.inject({ method: 'GET', url: '/' })
    assert.doesNotMatch(page.body, /\/dev\//)
    assert.equal(page.headers['strict-transport-security'], 'max-age=31536000; includeSubDomains')
    const cors = (origin: string) =>
      built.http.inject({ method: 'GET', url: '/health/live', headers: { origin } })
    assert.equal((await cors('https://evil.example')).headers['access-control-allow-origin'], undefined)
    assert.equal(
      (await cors('https://dawnotemu.app')).headers['access-control-allow-origin'],
      'https://dawnotemu.app',
    )
  } finally {
    await built.close()
    await rm(dataDir, { recursive: true, force: true })
  }
})

test('development has the outbox and no clock', async () => {
  const dataDir = await mkdtemp(path.join(tmpdir(), 'dawnotemu-development-'))
  const built = await buildApp({
    config: ok({ APP_ENV: 'development', DATA_DIR: dataDir, PREFERRED_VOICE_SERVICE: 'local' }).config,
    databaseUrl: app.databaseUrl,
    secretKey: 'x'.repeat(32),
    logger: silentLogger,
  })
  try {
    const statuses = await Promise.all(
      devPaths.map(async ([method, url]) => (await built.http.inject({ method, url })).statusCode),
    )
    assert.deepEqual(statuses, [200, 200, 404])
  } finally {
    await built.close()
    await rm(dataDir, { recursive: true, force: true })
  }
})
