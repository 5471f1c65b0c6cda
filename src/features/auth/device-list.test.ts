import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import * as scene from '../../../test/account-scene.ts'
import { startTestApp, type Account, type Answer, type TestApp } from '../../../test/app.ts'
import { manualClock } from '../../../test/ledger-fixtures.ts'

const clock = manualClock()
const day = 86_400_000

let app: TestApp
before(async () => {
  app = await startTestApp({ overrides: { clock }, work: false })
})
after(() => app.close())

type Pair = Pick<Account, 'accessToken' | 'refreshToken'>
interface Listed {
  id: number
  current: boolean
  client_name: string
  user_agent: string
  ip_prefix: string
  created_at: string
  last_used_at: string
  expires_at: string
}

const present = (refreshToken: string): Promise<Answer> =>
  app.call('POST', '/auth/refresh', { json: { refresh_token: refreshToken } })

const sessionOver = 'Session is no longer valid. Please log in again.'
const assertLives = async ({ accessToken, refreshToken }: Pair): Promise<void> => {
  assert.equal((await app.call('GET', '/auth/me', { token: accessToken })).status, 200)
  assert.equal((await present(refreshToken)).status, 200)
}
const assertEnded = async ({ accessToken, refreshToken }: Pair): Promise<void> => {
  const bearer = await app.call('GET', '/auth/me', { token: accessToken })
  scene.assertRefused(bearer, 401, 'Token is no longer valid, please log in again')
  scene.assertRefused(await present(refreshToken), 401, sessionOver)
}

const list = async (token: string): Promise<Listed[]> => {
  const answer = await app.call('GET', '/auth/sessions', { token })
  assert.equal(answer.status, 200, answer.text)
  assert.deepEqual(Object.keys(answer.body), ['sessions'])
  const { sessions }: { sessions: Listed[] } = JSON.parse(answer.text)
  return sessions
}
const currentId = async (token: string): Promise<number> =>
  (await list(token)).find(({ current }) => current)?.id ?? 0
const revoke = (token: string, id: number | string): Promise<Answer> =>
  app.call('DELETE', `/auth/sessions/${id}`, { token })

const signInFrom = async (account: Account, own: { client_name?: string; agent?: string }): Promise<Pair> => {
  const { email, password } = account
  const json = { email, password, ...(own.client_name === undefined ? {} : { client_name: own.client_name }) }
  const headers: Record<string, string> = own.agent === undefined ? {} : { 'user-agent': own.agent }
  const answer = await app.call('POST', '/auth/login', { json, headers })
  assert.equal(answer.status, 200, answer.text)
  return {
    accessToken: String(answer.body['access_token']),
    refreshToken: String(answer.body['refresh_token']),
  }
}

describe('GET /auth/sessions', () => {
  test('what the list says of a device, and nothing else', async () => {
    const account = await scene.createAccount(app)
    await scene.rows(app, 'delete from sessions where user_id = $1', [account.id])
    const { accessToken } = await signInFrom(account, {
      client_name: '  Tablet Zosi 🧸 ',
      agent: 'Café/1.0 (x)',
    })
    const now = clock.now().toISOString()
    const [only, ...others] = await list(accessToken)
    assert.deepEqual(others, [])
    assert.deepEqual(only, {
      id: only?.id,
      current: true,
      client_name: 'Tablet Zosi 🧸',
      user_agent: 'Caf/1.0 (x)',
      ip_prefix: '127.0.0.0/24',
      created_at: now,
      last_used_at: now,
      expires_at: new Date(Date.parse(now) + 7 * day).toISOString(),
    })
    assert.match(now, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
  })

  test('without a client name the user agent gives one; both are cut to size', async () => {
    const account = await scene.createAccount(app)
    const { accessToken } = await signInFrom(account, { agent: `DawnoTemu/${'3'.repeat(300)}` })
    const named = (await list(accessToken)).find(({ current }) => current)
    assert.equal(named?.client_name, 'DawnoTemu')
    assert.equal(named?.user_agent.length, 256)
    const longest = '🧸'.repeat(64)
    await signInFrom(account, { client_name: longest })
    assert.ok((await list(accessToken)).some(({ client_name }) => client_name === longest))
    const json = { email: account.email, password: account.password, client_name: `${longest}x` }
    scene.assertRefused(
      await app.call('POST', '/auth/login', { json }),
      400,
      'Invalid value for client_name.',
    )
  })

  test('last used first, one current; ended, over and foreign ones are not listed', async () => {
    const account = await scene.createAccount(app)
    await scene.createAccount(app)
    clock.advance(7 * day)
    const oldest = await scene.signIn(app, account)
    clock.advance(1000)
    const gone = await scene.signIn(app, account)
    const newest = await scene.signIn(app, account)
    clock.advance(1000)
    assert.equal((await present(oldest.refreshToken)).status, 200)
    assert.equal((await app.call('POST', '/auth/logout', { token: gone.accessToken })).status, 204)
    const ids = [await currentId(oldest.accessToken), await currentId(newest.accessToken)]
    const seen = await list(newest.accessToken)
    assert.deepEqual(
      seen.map(({ id, current }) => [id, current]),
      [
        [ids[0], false],
        [ids[1], true],
      ],
    )
    assert.equal(seen[0]?.last_used_at, clock.now().toISOString())
  })

  test('the end is the absolute one once that is nearer', async () => {
    const account = await scene.createAccount(app)
    const created = clock.now().getTime()
    for (let days = 0; days < 84; days += 6) {
      clock.advance(6 * day)
      assert.equal((await present(account.refreshToken)).status, 200)
    }
    clock.advance(3 * day)
    const { body } = await present(account.refreshToken)
    const [session] = await list(String(body['access_token']))
    assert.equal(session?.expires_at, new Date(created + 90 * day).toISOString())
    assert.equal(session?.created_at, new Date(created).toISOString())
  })

  test('the record follows the device that refreshes', async () => {
    const account = await scene.createAccount(app)
    const headers = { 'user-agent': 'DawnoTemu/4.0 (iOS)' }
    await app.call('POST', '/auth/refresh', { json: { refresh_token: account.refreshToken }, headers })
    const session = (await list(account.accessToken)).find(({ current }) => current)
    assert.equal(session?.user_agent, 'DawnoTemu/4.0 (iOS)')
  })

  test('all four calls but logout want a bearer', async () => {
    for (const [method, path] of [
      ['GET', '/auth/sessions'],
      ['DELETE', '/auth/sessions/1'],
      ['POST', '/auth/logout-all'],
    ] as const)
      scene.assertRefused(await app.call(method, path), 401, 'Authentication token is missing')
  })
})

describe('DELETE /auth/sessions/{id}', () => {
  test('F18: revoked from another device it is over at its next call; the other lives', async () => {
    const account = await scene.createAccount(app)
    const lost = await scene.signIn(app, account)
    const id = await currentId(lost.accessToken)
    assert.equal((await revoke(account.accessToken, id)).status, 204)
    await assertEnded(lost)
    await assertLives(account)
    const events = await scene.rows(
      app,
      `select e.kind, e.ip_prefix, s.end_reason from auth_events e join sessions s on s.id = e.session_id
       where e.session_id = $1 and e.kind <> 'sign_in'`,
      [id],
    )
    assert.deepEqual(events, [{ kind: 'session_ended', ip_prefix: '127.0.0.0/24', end_reason: 'user' }])
  })

  test('the own session may be revoked', async () => {
    const account = await scene.createAccount(app)
    assert.equal((await revoke(account.accessToken, await currentId(account.accessToken))).status, 204)
    await assertEnded(account)
  })

  test('foreign, unknown, ended, over and malformed ids are one and the same 404', async () => {
    const account = await scene.createAccount(app)
    const stranger = await scene.createAccount(app)
    const strangers = await currentId(stranger.accessToken)
    const over = await currentId((await scene.signIn(app, account)).accessToken)
    clock.advance(7 * day)
    const { accessToken } = await scene.signIn(app, account)
    const other = await scene.signIn(app, account)
    const ended = await currentId(other.accessToken)
    assert.equal((await revoke(accessToken, ended)).status, 204)
    const fresh = await scene.signIn(app, stranger)
    const ids = [strangers, await currentId(fresh.accessToken), ended, over, 2_147_483_647]
    for (const id of [...ids, '0', '-1', '01', '1e3', 'x', '2147483648', '%20'])
      scene.assertRefused(await revoke(accessToken, id), 404, 'Session not found')
    await assertLives(fresh)
  })
})

describe('POST /auth/logout-all', () => {
  test('F17: every session of the account ends, the acting one too, no other account’s', async () => {
    const account = await scene.createAccount(app)
    const others = [await scene.signIn(app, account), await scene.signIn(app, account)]
    const stranger = await scene.createAccount(app)
    assert.equal((await app.call('POST', '/auth/logout-all', { token: account.accessToken })).status, 204)
    for (const pair of [account, ...others]) await assertEnded(pair)
    await assertLives(stranger)
    const events = "auth_events where user_id = $1 and kind = 'session_ended' and ip_prefix <> ''"
    assert.equal(await scene.count(app, events, [account.id]), 3)
    const reasons = "sessions where user_id = $1 and end_reason = 'everywhere'"
    assert.equal(await scene.count(app, reasons, [account.id]), 3)
    assert.equal((await app.call('POST', '/auth/logout-all', { token: account.accessToken })).status, 401)
    await assertLives(await scene.signIn(app, account))
  })

  test('refreshes and reuses that run meanwhile: nothing that they got works afterwards', async () => {
    const account = await scene.createAccount(app)
    const reused = await scene.signIn(app, account)
    const first = String((await present(reused.refreshToken)).body['refresh_token'])
    await present(first)
    const [out, ...answers] = await Promise.all([
      app.call('POST', '/auth/logout-all', { token: account.accessToken }),
      ...Array.from({ length: 6 }, () => present(account.refreshToken)),
      present(reused.refreshToken),
      present(first),
    ])
    assert.equal(out.status, 204)
    for (const { status, body } of answers) {
      assert.ok(status === 200 || status === 401, String(status))
      if (status === 401) continue
      const refreshToken = String(body['refresh_token'])
      await assertEnded({ accessToken: String(body['access_token']), refreshToken })
    }
    assert.equal(await scene.count(app, 'sessions where user_id = $1 and ended_at is null', [account.id]), 0)
  })
})
