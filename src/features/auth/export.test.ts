import assert from 'node:assert/strict'
import { readdir } from 'node:fs/promises'
import path from 'node:path'
import { after, before, test } from 'node:test'
import {
  advanceClock,
  assertRefused,
  count,
  createAccount,
  rows,
  setUser,
  signIn,
} from '../../../test/account-scene.ts'
import { startTestApp, until, type Account, type Answer, type TestApp } from '../../../test/app.ts'
import { readZip } from '../../../test/read-zip.ts'
import { accountRetentionJob } from './retention.job.ts'

let app: TestApp
/** The same server without a worker: what is asked for stays as it is. */
let idle: TestApp

before(async () => {
  app = await startTestApp()
  idle = await startTestApp({ work: false })
})
after(async () => {
  await app.close()
  await idle.close()
})

const ask = (server: TestApp, account: Account, json: unknown = { current_password: account.password }) =>
  server.call('POST', '/auth/me/export', { token: account.accessToken, json })

const read = (server: TestApp, account: Account): Promise<Answer> =>
  server.call('GET', '/auth/me/export', { token: account.accessToken })

const ready = (account: Account): Promise<Record<string, unknown>> =>
  until(async () => {
    const { body } = await read(app, account)
    return body['status'] === 'ready' ? body : null
  }, 'the export to be ready')

test('an export needs the current password', async () => {
  const account = await createAccount(idle)
  assertRefused(await ask(idle, account, {}), 400, 'Current password is required to export your data.')
  assertRefused(
    await ask(idle, account, { current_password: '' }),
    400,
    'Current password is required to export your data.',
  )
  assertRefused(await ask(idle, account, { current_password: 'zły' }), 403, 'Current password is incorrect.')
  assert.equal(await count(idle, 'account_exports where user_id = $1', [account.id]), 0)
})

test('without an export there is none to show, and none without a bearer', async () => {
  const account = await createAccount(idle)
  assertRefused(await read(idle, account), 404, 'No export found')
  assertRefused(await idle.call('GET', '/auth/me/export'), 401, 'Authentication token is missing')
  assertRefused(await idle.call('POST', '/auth/me/export'), 401, 'Authentication token is missing')
})

test('an unfinished export is answered again, also to twenty requests at once', async () => {
  const account = await createAccount(idle)
  const answers = await Promise.all(Array.from({ length: 20 }, () => ask(idle, account)))
  const [first] = answers
  assert.deepEqual([...new Set(answers.map(({ status }) => status))], [202])
  assert.deepEqual(new Set(answers.map(({ text }) => text)), new Set([first?.text]))
  assert.equal(first?.body['status'], 'pending')
  assert.match(String(first.body['created_at']), /^\d{4}-.*\.\d{3}Z$/)
  assert.equal(await count(idle, 'account_exports where user_id = $1', [account.id]), 1)
  assert.equal(
    await count(idle, `auth_events where user_id = $1 and kind = 'export_requested'`, [account.id]),
    1,
  )
  assert.equal(
    await count(idle, `pgboss.job where name = 'accounts.export' and (data->>'export_id')::int = $1`, [
      first.body['id'],
    ]),
    1,
  )
  const shown = await read(idle, account)
  assert.deepEqual(shown.body, {
    ...first.body,
    ready_at: null,
    expires_at: null,
    size_bytes: null,
    url: null,
  })
})

test('an export is refused once deletion has begun', async () => {
  const account = await createAccount(idle)
  await setUser(idle, account.id, `status = 'deleting'`)
  assertRefused(await ask(idle, account), 403, 'User account is inactive')
  assertRefused(await read(idle, account), 403, 'User account is inactive')
})

test('a finished export is a zip behind a link of 15 minutes, and leaves nothing in the data folder', async () => {
  const account = await createAccount(app)
  assert.equal((await ask(app, account)).status, 202)
  const body = await ready(account)
  const days = (Date.parse(String(body['expires_at'])) - Date.parse(String(body['ready_at']))) / 86_400_000
  assert.equal(days, 7)

  const answer = await fetch(String(body['url']))
  assert.equal(answer.status, 200)
  assert.equal(answer.headers.get('content-type'), 'application/zip')
  assert.equal(answer.headers.get('content-disposition'), 'attachment; filename="dawnotemu-dane.zip"')
  const bytes = new Uint8Array(await answer.arrayBuffer())
  assert.equal(bytes.length, body['size_bytes'])
  const files = await readZip(bytes)
  assert.match(files.get('CZYTAJ.txt')?.toString() ?? '', /W paczce są wszystkie pliki/)
  assert.deepEqual(await readdir(path.join(app.dataDir, 'exports')), [])

  await advanceClock(app, 901)
  assert.equal((await fetch(String(body['url']))).status, 403)
})

test('another account sees neither the export nor its file', async () => {
  const [mine, other] = [await createAccount(app), await createAccount(app)]
  assert.equal((await ask(app, mine)).status, 202)
  await ready(mine)
  assertRefused(await read(app, other), 404, 'No export found')
})

test('after 7 days an export is expired, and the daily sweep removes its file', async () => {
  const account = await createAccount(app)
  assert.equal((await ask(app, account)).status, 202)
  await ready(account)
  const folder = path.join(app.dataDir, 'objects/exports', String(account.id))
  const stored = async () => (await readdir(folder).catch(() => [])).filter((name) => name.endsWith('.zip'))
  assert.equal((await stored()).length, 1)

  await advanceClock(app, 7 * 86_400 - 60)
  account.accessToken = (await signIn(app, account)).accessToken
  const before = (await read(app, account)).body
  assert.equal(before['status'], 'ready')
  assert.equal((await fetch(String(before['url']))).status, 200)

  await advanceClock(app, 60)
  const after = (await read(app, account)).body
  assert.deepEqual([after['status'], after['url']], ['expired', null])
  await app.app.database.transaction((tx) => app.app.jobs.enqueue(tx, accountRetentionJob, {}))
  await until(
    async () =>
      (
        await rows(app, `select 1 from account_exports where user_id = $1 and status = 'expired'`, [
          account.id,
        ])
      ).length > 0
        ? true
        : null,
    'the row to expire',
  )
  await until(async () => ((await stored()).length === 0 ? true : null), 'the file to go')
})

test('three exports a day', async (t) => {
  const limited = await startTestApp({ env: { RATELIMIT_ENABLED: 'true' }, work: false })
  t.after(() => limited.close())
  const account = await createAccount(limited)
  const answers: Answer[] = []
  for (let at = 0; at < 4; at += 1) answers.push(await ask(limited, account, at === 0 ? {} : undefined))
  assert.deepEqual(
    answers.map(({ status }) => status),
    [400, 202, 202, 429],
  )
  assert.equal(answers[3]?.headers.get('ratelimit-policy'), '"export";q=3;w=86400')
  assert.equal(answers[3]?.body['error'], 'Too many requests. Please try again later.')
})
