import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import * as scene from '../../../test/account-scene.ts'
import { startTestApp, until, type Account, type Answer, type TestApp } from '../../../test/app.ts'
import { manualClock } from '../../../test/ledger-fixtures.ts'
import { newRefreshToken } from '../../platform/crypto.ts'

const clock = manualClock()
const minute = 60_000
const day = 86_400_000

let app: TestApp
before(async () => {
  app = await startTestApp({ overrides: { clock }, work: false, env: { RATELIMIT_ENABLED: 'false' } })
})
after(() => app.close())

const present = (refreshToken: unknown): Promise<Answer> =>
  app.call('POST', '/auth/refresh', { json: { refresh_token: refreshToken } })

/** Presents a token that must be live; answers its successor. */
const refresh = async (refreshToken: string): Promise<string> => {
  const answer = await present(refreshToken)
  assert.equal(answer.status, 200, answer.text)
  assert.deepEqual(Object.keys(answer.body).sort(), ['access_token', 'expires_in', 'refresh_token'])
  assert.equal(answer.body['expires_in'], 900)
  return String(answer.body['refresh_token'])
}

const expired = 'Refresh token has expired. Please log in again.'
const ended = 'Session is no longer valid. Please log in again.'
const invalid = 'Invalid token. Please log in again.'
const assertRefused = scene.assertRefused
const isSignedIn = async (token: string): Promise<boolean> =>
  (await app.call('GET', '/auth/me', { token })).status === 200

const traces = async ({ id }: Account): Promise<{ events: number; mails: number; ended: number }> => ({
  events: await scene.count(app, "auth_events where user_id = $1 and kind = 'reuse'", [id]),
  mails: await scene.count(app, "emails where user_id = $1 and kind = 'session_closed'", [id]),
  ended: await scene.count(app, "sessions where user_id = $1 and end_reason = 'reuse'", [id]),
})
const oneReuse = { events: 1, mails: 1, ended: 1 }
const noReuse = { events: 0, mails: 0, ended: 0 }

/** All of these tokens are refused as of an ended session, the access token too. */
const assertDead = async (tokens: readonly string[], accessToken?: string): Promise<void> => {
  for (const token of tokens) assertRefused(await present(token), 401, ended)
  if (accessToken !== undefined) assert.equal(await isSignedIn(accessToken), false)
}

describe('checks in their order', () => {
  for (const value of [undefined, null, '', 0, false, []])
    test(`1: ${JSON.stringify(value)} is no token`, async () => {
      assertRefused(await present(value), 400, 'Refresh token is required')
    })

  for (const value of [5, true, { a: 1 }, ['dtr_x'], 'x', 'dtr_', `dtr_${'A'.repeat(49)}`])
    test(`3: ${JSON.stringify(value)} is invalid`, async () => {
      assertRefused(await present(value), 401, invalid)
    })

  test('4: well formed and unknown', async () => {
    assertRefused(await present(newRefreshToken()), 401, invalid)
  })

  test('5 before 6 and 7: the account is not active; nothing changes', async () => {
    const account = await scene.createAccount(app)
    await scene.rows(
      app,
      `update sessions set ended_at = $2, end_reason = 'logout', idle_expires_at = $2 where user_id = $1`,
      [account.id, clock.now()],
    )
    const before = await scene.rows(app, 'select * from sessions where user_id = $1', [account.id])
    for (const status of ['pending', 'deactivated', 'deleting']) {
      await scene.setUser(app, account.id, `status = '${status}'`)
      assertRefused(await present(account.refreshToken), 401, 'Invalid or inactive user')
    }
    assert.deepEqual(await scene.rows(app, 'select * from sessions where user_id = $1', [account.id]), before)
  })

  test('6 before 7 and 8: idle time over, session ended, token superseded', async () => {
    const account = await scene.createAccount(app)
    await refresh(await refresh(account.refreshToken))
    await scene.rows(
      app,
      `update sessions set ended_at = $2, end_reason = 'logout', idle_expires_at = $2 where user_id = $1`,
      [account.id, clock.now()],
    )
    assertRefused(await present(account.refreshToken), 401, expired)
    assert.deepEqual(await traces(account), noReuse)
  })

  test('7 before 8: an ended session’s superseded token is no reuse', async () => {
    const account = await scene.createAccount(app)
    await refresh(await refresh(account.refreshToken))
    await scene.rows(app, "update sessions set ended_at = $2, end_reason = 'logout' where user_id = $1", [
      account.id,
      clock.now(),
    ])
    await assertDead([account.refreshToken])
    assert.deepEqual(await traces(account), noReuse)
  })

  test('8 before 9: reuse by an unconfirmed account', async () => {
    const account = await scene.createAccount(app)
    await refresh(await refresh(account.refreshToken))
    await scene.setUser(app, account.id, 'email_confirmed = false')
    await assertDead([account.refreshToken])
    assert.deepEqual(await traces(account), oneReuse)
  })

  test('9: an unconfirmed address is 403 and changes nothing', async () => {
    const account = await scene.createAccount(app)
    const successor = await refresh(account.refreshToken)
    await scene.setUser(app, account.id, 'email_confirmed = false')
    const text = 'Please confirm your email address before accessing the application.'
    assertRefused(await present(successor), 403, text)
    await scene.setUser(app, account.id, 'email_confirmed = true')
    await refresh(account.refreshToken)
  })
})

describe('scenarios', () => {
  test('F1: the shipped app presents the login’s token for 90 days', async () => {
    const account = await scene.createAccount(app)
    const successors = new Set<string>()
    for (let hour = 0; hour < 89 * 24; hour += 24) {
      successors.add(await refresh(account.refreshToken))
      clock.advance(15 * minute)
      successors.add(await refresh(account.refreshToken))
      clock.advance(day - 15 * minute)
    }
    assert.equal(successors.size, 89 * 2)
    await refresh(account.refreshToken)
    clock.advance(day)
    assertRefused(await present(account.refreshToken), 401, expired)
  })

  test('F1: an access token never outlives the session', async () => {
    const account = await scene.createAccount(app)
    for (let days = 0; days < 84; days += 6) {
      clock.advance(6 * day)
      await refresh(account.refreshToken)
    }
    clock.advance(6 * day - 10 * minute)
    const { body } = await present(account.refreshToken)
    const claims: { iat: number; exp: number } = JSON.parse(
      Buffer.from(String(body['access_token']).split('.')[1] ?? '', 'base64url').toString(),
    )
    assert.equal(claims.exp - claims.iat, 600)
  })

  test('idle for 7 days less a second is live, for 7 days is over', async () => {
    const account = await scene.createAccount(app)
    clock.advance(7 * day - 1000)
    const successor = await refresh(account.refreshToken)
    clock.advance(7 * day - 1000)
    await refresh(successor)
    clock.advance(7 * day)
    assertRefused(await present(successor), 401, expired)
  })

  test('a failed refresh does not slide the idle time', async () => {
    const account = await scene.createAccount(app)
    clock.advance(6 * day)
    await scene.setUser(app, account.id, 'email_confirmed = false')
    assert.equal((await present(account.refreshToken)).status, 403)
    await scene.setUser(app, account.id, 'email_confirmed = true')
    clock.advance(day)
    assertRefused(await present(account.refreshToken), 401, expired)
  })

  test('90 days less a second is live, 90 days is over', async () => {
    const account = await scene.createAccount(app)
    for (let days = 0; days < 84; days += 6) {
      clock.advance(6 * day)
      await refresh(account.refreshToken)
    }
    clock.advance(6 * day - 1000)
    const successor = await refresh(account.refreshToken)
    clock.advance(1000)
    for (const token of [account.refreshToken, successor]) assertRefused(await present(token), 401, expired)
  })

  test('F2: twenty at once', async () => {
    const account = await scene.createAccount(app)
    const answers = await Promise.all(Array.from({ length: 20 }, () => present(account.refreshToken)))
    assert.deepEqual(
      answers.map(({ status }) => status),
      Array<number>(20).fill(200),
    )
    const tokens = (name: string) => answers.map(({ body }) => String(body[name]))
    assert.equal(new Set(tokens('refresh_token')).size, 20)
    for (const token of tokens('access_token')) assert.equal(await isSignedIn(token), true)
    await refresh(account.refreshToken)
  })

  test('F3: a client that adopts each successor', async () => {
    let { refreshToken } = await scene.createAccount(app)
    for (let turn = 0; turn < 10; turn += 1) refreshToken = await refresh(refreshToken)
  })

  test('F4, F7: R1 again and again, its answers lost', async () => {
    const account = await scene.createAccount(app)
    const first = await refresh(account.refreshToken)
    for (let turn = 0; turn < 5; turn += 1) await refresh(first)
    await refresh(await refresh(first))
    assert.deepEqual(await traces(account), noReuse)
  })

  test('F5, F6: R0 after R1 ends the session with one event and one mail; other sessions live', async () => {
    const account = await scene.createAccount(app)
    const other = await scene.signIn(app, account)
    const stranger = await scene.createAccount(app)
    const first = await refresh(account.refreshToken)
    const second = await refresh(first)
    assert.equal(await isSignedIn(account.accessToken), true)
    await assertDead([account.refreshToken], account.accessToken)
    await assertDead([account.refreshToken, first, second, account.refreshToken])
    assert.deepEqual(await traces(account), oneReuse)
    assert.equal(await isSignedIn(other.accessToken), true)
    await refresh(other.refreshToken)
    await refresh(stranger.refreshToken)
    const [event] = await scene.rows(
      app,
      "select session_id, refresh_token_id, ip_prefix, user_agent from auth_events where user_id = $1 and kind = 'reuse'",
      [account.id],
    )
    assert.ok(event?.['session_id'] && event['refresh_token_id'])
    assert.equal(event['ip_prefix'], '127.0.0.0/24')
  })

  test('F8: a discarded sibling', async () => {
    const account = await scene.createAccount(app)
    const [one, other] = [await refresh(account.refreshToken), await refresh(account.refreshToken)]
    const next = await refresh(other)
    await assertDead([one, other, next, account.refreshToken], account.accessToken)
    assert.deepEqual(await traces(account), oneReuse)
  })

  test('F9: the presented sibling stays live', async () => {
    const account = await scene.createAccount(app)
    await refresh(account.refreshToken)
    const other = await refresh(account.refreshToken)
    await refresh(other)
    await refresh(other)
  })

  for (let round = 1; round <= 10; round += 1) {
    test(`F10: two siblings at the same instant, round ${round}`, async () => {
      const account = await scene.createAccount(app)
      const siblings = [await refresh(account.refreshToken), await refresh(account.refreshToken)]
      const answers = await Promise.all(siblings.map(present))
      assert.deepEqual(answers.map(({ status }) => status).sort(), [200, 401])
      await assertDead([account.refreshToken, ...siblings], account.accessToken)
      assert.deepEqual(await traces(account), oneReuse)
    })

    test(`F11: parent and child at the same instant, round ${round}`, async () => {
      const account = await scene.createAccount(app)
      const child = await refresh(account.refreshToken)
      const pair = round % 2 === 0 ? [account.refreshToken, child] : [child, account.refreshToken]
      const answers = await Promise.all(pair.map(present))
      const ofParent = answers[pair.indexOf(account.refreshToken)]?.status
      assert.equal(answers[pair.indexOf(child)]?.status, 200)
      if (ofParent === 200) {
        await refresh(child)
        assert.deepEqual(await traces(account), noReuse)
      } else {
        assert.equal(ofParent, 401)
        await assertDead([account.refreshToken, child], account.accessToken)
        assert.deepEqual(await traces(account), oneReuse)
      }
    })
  }

  test('F12: a thief refreshes the app’s token and presents the successor', async () => {
    const account = await scene.createAccount(app)
    const thief = await refresh(account.refreshToken)
    const next = await refresh(thief)
    await assertDead([account.refreshToken, thief, next], account.accessToken)
    const [mail] = await scene.rows(
      app,
      "select recipient from emails where user_id = $1 and kind = 'session_closed'",
      [account.id],
    )
    assert.equal(mail?.['recipient'], account.email)
  })

  test('F13: thief and adopting client with the same R1', async () => {
    const account = await scene.createAccount(app)
    const shared = await refresh(account.refreshToken)
    const [owners, thiefs] = [await refresh(shared), await refresh(shared)]
    await refresh(owners)
    await assertDead([thiefs, owners, shared], account.accessToken)
    assert.deepEqual(await traces(account), oneReuse)
  })

  test('F14: weeks of R0, then an update adopts successors', async () => {
    const account = await scene.createAccount(app)
    for (let days = 0; days < 21; days += 1) {
      clock.advance(day)
      await refresh(account.refreshToken)
    }
    const first = await refresh(account.refreshToken)
    await refresh(first)
    await assertDead([account.refreshToken, first])
  })

  test('F23: an access token as refresh token, a refresh token as bearer', async () => {
    const account = await scene.createAccount(app)
    assertRefused(await present(account.accessToken), 401, invalid)
    assertRefused(await app.call('GET', '/auth/me', { token: account.refreshToken }), 401, 'Invalid token')
  })

  test('only the newest 50 unpresented successors are kept; an older one is unknown, not reuse', async () => {
    const account = await scene.createAccount(app)
    const oldest = await refresh(account.refreshToken)
    const kept = await refresh(account.refreshToken)
    for (let turn = 0; turn < 49; turn += 1) await refresh(account.refreshToken)
    assertRefused(await present(oldest), 401, invalid)
    assert.deepEqual(await traces(account), noReuse)
    await refresh(kept)
  })

  test('the device record follows, and a new address never refuses', async () => {
    const { refreshToken, id } = await scene.createAccount(app)
    const headers = { 'user-agent': 'DawnoTemu/3.0 (Android)' }
    const json = { refresh_token: refreshToken }
    assert.equal((await app.call('POST', '/auth/refresh', { json, headers })).status, 200)
    const [session] = await scene.rows(app, 'select user_agent from sessions where user_id = $1', [id])
    assert.equal(session?.['user_agent'], headers['user-agent'])
  })
})

/** Backends of the server that wait for a lock. */
const waitingBackends = async (): Promise<number[]> =>
  (
    await scene.rows<{ pid: number }>(
      app,
      `select pid from pg_stat_activity where datname = current_database()
       and application_name like 'dawnotemu-%' and wait_event_type = 'Lock'`,
    )
  ).map(({ pid }) => pid)

const someWaiting = () =>
  until(async () => ((await waitingBackends()).length > 0 ? true : null), 'a waiting backend')

describe('faults of the database', () => {
  test('a live token gets 200 through a deadlock', async () => {
    const { refreshToken, id } = await scene.createAccount(app)
    const client = await app.test.database.pool.connect()
    try {
      const deadlocks = () =>
        scene.rows<{ deadlocks: number }>(
          app,
          'select deadlocks from pg_stat_database where datname = current_database()',
        )
      // The other side waits longer before it looks for a deadlock, so the server is the one that is refused.
      await client.query("set deadlock_timeout = '20s'")
      await client.query('begin')
      await client.query(
        'select t.id from refresh_tokens t join sessions s on s.id = t.session_id where s.user_id = $1 for update of t',
        [id],
      )
      const answer = present(refreshToken)
      await someWaiting()
      await client.query('select id from sessions where user_id = $1 for update', [id])
      await client.query('rollback')
      assert.equal((await answer).status, 200)
      await until(async () => (Number((await deadlocks())[0]?.deadlocks) > 0 ? true : null), 'the deadlock')
    } finally {
      await client.query('set deadlock_timeout = default')
      client.release()
    }
  })

  test('a live token gets 200 through a connection that is dropped half way', async () => {
    const { refreshToken, id } = await scene.createAccount(app)
    const client = await app.test.database.pool.connect()
    try {
      await client.query('begin')
      await client.query('select id from sessions where user_id = $1 for update', [id])
      const answer = present(refreshToken)
      await someWaiting()
      for (const pid of await waitingBackends())
        await scene.rows(app, 'select pg_terminate_backend($1)', [pid])
      await client.query('rollback')
      assert.equal((await answer).status, 200)
    } finally {
      client.release()
    }
  })

  test('a live token gets 200 when every connection of the server was dropped while idle', async () => {
    const { refreshToken } = await scene.createAccount(app)
    await scene.dropServerConnections(app)
    assert.equal((await present(refreshToken)).status, 200)
  })

  test('a fault that does not pass within 5 s is 503 with Retry-After, and the token stays live', async () => {
    const { refreshToken } = await scene.createAccount(app)
    app.expectErrors()
    await scene.withoutDatabase(app, async () => {
      const started = performance.now()
      const answer = await present(refreshToken)
      assert.equal(answer.status, 503, answer.text)
      assert.ok(performance.now() - started > 4500)
      assert.ok(Number(answer.headers.get('retry-after')) >= 1)
    })
    assert.equal((await present(refreshToken)).status, 200)
  })
})
