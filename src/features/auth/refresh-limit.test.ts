import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import * as scene from '../../../test/account-scene.ts'
import { until, type Answer, type TestApp } from '../../../test/app.ts'
import {
  asApp,
  asBrowser,
  newClient,
  newUser,
  raiseAccountFailures,
  raiseCounter,
  startThrottledApp,
  type NewUser,
} from '../../../test/throttle-scene.ts'
import { newRefreshToken } from '../../platform/crypto.ts'

const limitedText = 'Too many requests. Please try again later.'

let app: TestApp
before(async () => {
  app = await startThrottledApp({ work: false })
})
after(() => app.close())

const present = (
  refreshToken: unknown,
  address: string,
  headers: Record<string, string> = {},
): Promise<Answer> =>
  app.call('POST', '/auth/refresh', {
    json: { refresh_token: refreshToken },
    headers: { ...asApp(address), ...headers },
  })

/** Signs in; the login's refresh token. */
const openSession = async ({ email, password }: NewUser): Promise<string> => {
  const answer = await app.call('POST', '/auth/login', {
    json: { email, password },
    headers: asApp(newClient()),
  })
  assert.equal(answer.status, 200, answer.text)
  return String(answer.body['refresh_token'])
}

/** Presents a live token. A success says nothing of a limit. */
const succeed = async (refreshToken: string, address: string): Promise<string> => {
  const answer = await present(refreshToken, address)
  assert.equal(answer.status, 200, answer.text)
  for (const name of ['ratelimit', 'ratelimit-policy', 'retry-after'])
    assert.equal(answer.headers.get(name), null)
  return String(answer.body['refresh_token'])
}

const leftOf = (answer: Answer): number => {
  assert.equal(answer.headers.get('ratelimit-policy'), '"refresh";q=30;w=300')
  return Number(/^"refresh";r=(\d+);t=\d+$/.exec(answer.headers.get('ratelimit') ?? '')?.[1])
}

const assertLimited = (answer: Answer): void => {
  assert.equal(answer.status, 429, answer.text)
  const retryAfter = Number(answer.headers.get('retry-after'))
  assert.ok(retryAfter >= 1 && retryAfter <= 300, String(retryAfter))
  assert.deepEqual(answer.body, { error: limitedText, retry_after: retryAfter })
  assert.equal(leftOf(answer), 0)
}

const spendFailures = (address: string): Promise<void> =>
  raiseCounter(app, { kind: 'limit:refresh:300', of: address, times: 30, windowSeconds: 300 })

test('F21: 31 garbage tokens from one address, then a live one from it', async () => {
  const refreshToken = await openSession(await newUser(app))
  const address = newClient()
  for (let count = 1; count <= 30; count += 1) {
    const answer = await present(count % 2 ? 'garbage' : newRefreshToken(), address)
    scene.assertRefused(answer, 401, 'Invalid token. Please log in again.')
    assert.equal(leftOf(answer), 30 - count)
    assert.equal(answer.headers.get('retry-after'), null)
  }
  assertLimited(await present('garbage', address))
  assertLimited(await present(newRefreshToken(), address))
  const next = await succeed(refreshToken, address)
  await succeed(next, address)
  scene.assertRefused(await present('garbage', newClient()), 401, 'Invalid token. Please log in again.')
  await scene.advanceClock(app, 300)
  assert.equal(leftOf(await present('garbage', address)), 29)
})

test('successes do not count: 60 of them, then the first failure leaves 29', async () => {
  const address = newClient()
  const refreshToken = await openSession(await newUser(app))
  for (let round = 0; round < 6; round += 1)
    await Promise.all(Array.from({ length: 10 }, () => succeed(refreshToken, address)))
  assert.equal(leftOf(await present('garbage', address)), 29)
})

/** Each prepares a session and answers the request that meets the row, from the address given. */
const failures: [row: string, counts: boolean, meet: (address: string) => Promise<Answer>][] = [
  ['1: no token', false, (address) => present(undefined, address)],
  [
    '2: a cookie from elsewhere',
    true,
    async (address) => {
      const cookie = `__Host-dt_refresh=${await openSession(await newUser(app))}`
      return app.call('POST', '/auth/refresh', {
        headers: { ...asBrowser(address), 'sec-fetch-site': 'cross-site', cookie },
      })
    },
  ],
  ['3: garbage', true, (address) => present(5, address)],
  ['4: unknown', true, (address) => present(newRefreshToken(), address)],
  [
    '5: an account that is deactivated',
    true,
    async (address) => {
      const user = await newUser(app)
      const refreshToken = await openSession(user)
      await scene.setUser(app, user.id, "status = 'deactivated'")
      return present(refreshToken, address)
    },
  ],
  [
    '6: idle time over',
    true,
    async (address) => {
      const user = await newUser(app)
      const refreshToken = await openSession(user)
      await scene.rows(app, 'update sessions set idle_expires_at = last_used_at where user_id = $1', [
        user.id,
      ])
      return present(refreshToken, address)
    },
  ],
  [
    '7: signed out',
    true,
    async (address) => {
      const refreshToken = await openSession(await newUser(app))
      await app.call('POST', '/auth/logout', { json: { refresh_token: refreshToken } })
      return present(refreshToken, address)
    },
  ],
  [
    '8: superseded',
    true,
    async (address) => {
      const refreshToken = await openSession(await newUser(app))
      await succeed(await succeed(refreshToken, newClient()), newClient())
      return present(refreshToken, address)
    },
  ],
  [
    '9: an address that is not confirmed',
    false,
    async (address) => {
      const user = await newUser(app)
      const refreshToken = await openSession(user)
      await scene.setUser(app, user.id, 'email_confirmed = false')
      return present(refreshToken, address)
    },
  ],
]

for (const [row, counts, meet] of failures)
  test(`row ${row}: ${counts ? 'counts as a failure' : 'costs nothing'}; with the budget spent ${counts ? '429' : 'the same answer'}`, async () => {
    const address = newClient()
    const first = await meet(address)
    assert.ok(first.status >= 400 && first.status < 429, first.text)
    if (counts) assert.equal(leftOf(first), 29)
    else assert.equal(first.headers.get('ratelimit'), null)
    const spent = newClient()
    await spendFailures(spent)
    const second = await meet(spent)
    if (counts) assertLimited(second)
    else assert.equal(second.status, first.status)
  })

test('reuse with the budget spent: answered 429, and the session is closed all the same', async () => {
  const user = await newUser(app)
  const first = await openSession(user)
  const second = await succeed(first, newClient())
  await succeed(second, newClient())
  const address = newClient()
  await spendFailures(address)
  assertLimited(await present(first, address))
  scene.assertRefused(
    await present(second, newClient()),
    401,
    'Session is no longer valid. Please log in again.',
  )
  assert.equal(await scene.count(app, "auth_events where user_id = $1 and kind = 'reuse'", [user.id]), 1)
  assert.equal(await scene.count(app, "emails where user_id = $1 and kind = 'session_closed'", [user.id]), 1)
})

/** Every counter that the address and the account have, spent. */
const spendEverything = async (user: NewUser, address: string): Promise<void> => {
  const ofAddress: [name: string, quota: number, windowSeconds: number][] = [
    ['register', 5, 60],
    ['register', 20, 3600],
    ['login', 10, 60],
    ['resend', 5, 300],
    ['reset-request', 5, 300],
    ['reset', 5, 300],
    ['link', 30, 300],
    ['challenge', 30, 60],
  ]
  const ofUser: typeof ofAddress = [
    ['profile', 5, 60],
    ['delete', 3, 300],
    ['export', 3, 86_400],
  ]
  for (const [rows, of] of [
    [ofAddress, address],
    [ofUser, String(user.id)],
  ] as const)
    for (const [name, times, windowSeconds] of rows)
      await raiseCounter(app, { kind: `limit:${name}:${windowSeconds}`, of, times, windowSeconds })
  await spendFailures(address)
  await raiseAccountFailures(app, user.email, 60)
  await raiseCounter(app, { kind: 'login-address', of: address, times: 20, windowSeconds: 900 })
}

test('A-L36: with every quota spent and 200 requests in a delay, a live token gets 200, at once', async () => {
  const user = await newUser(app)
  const crowded = await newUser(app)
  const address = newClient()
  const refreshToken = await openSession(user)
  await spendEverything(user, address)
  for (const path of ['/auth/register', '/auth/login', '/auth/reset-password-request'])
    assert.equal((await app.call('POST', path, { json: {}, headers: asApp(address) })).status, 429, path)

  await raiseAccountFailures(app, crowded.email, 5)
  const guess = async () => {
    const json = { email: crowded.email, password: 'x' }
    return (await app.call('POST', '/auth/login', { json, headers: asApp(newClient()) })).status
  }
  const crowd = Array.from({ length: 210 }, guess)
  const turnedAway = await until(async () => {
    const early = await Promise.race([
      Promise.any(crowd),
      new Promise<null>((resolve) => setTimeout(resolve, 20, null)),
    ])
    return early === 429 ? early : null
  }, 'a full wait room')
  assert.equal(turnedAway, 429)
  const started = performance.now()
  await Promise.all(Array.from({ length: 5 }, () => succeed(refreshToken, address)))
  assert.ok(performance.now() - started < 3000)
  const statuses = await Promise.all(crowd)
  assert.ok(
    statuses.every((status) => status === 401 || status === 429),
    statuses.join(),
  )
})

test('A-L36: with every quota spent, a live token gets 200 through a dropped connection', async () => {
  const user = await newUser(app)
  const address = newClient()
  const refreshToken = await openSession(user)
  await spendEverything(user, address)
  app.expectErrors()
  await scene.dropServerConnections(app)
  await succeed(refreshToken, address)
})
