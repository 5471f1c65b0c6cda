import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { after, before, test } from 'node:test'
import * as scene from '../../../test/account-scene.ts'
import type { Answer, TestApp } from '../../../test/app.ts'
import { asApp, newClient, newUser, signInAt, startThrottledApp } from '../../../test/throttle-scene.ts'

const limitedText = 'Too many requests. Please try again later.'
const someToken = (): string => randomBytes(32).toString('base64url')

let app: TestApp
before(async () => {
  app = await startThrottledApp({ work: false })
})
after(() => app.close())

interface Client {
  address: string
  token?: string
}

interface Row {
  policy: string
  method: 'GET' | 'POST' | 'PATCH' | 'DELETE'
  path: () => string
  by: 'address' | 'user'
  windows: [quota: number, seconds: number][]
  /** A request that fails for its content; it counts like any other. */
  refused: { json?: unknown; status: number }
  /** A body that succeeds at the first try, where one is at hand. */
  succeeds?: (account: { email: string; password: string }) => { json?: unknown; status: number }
}

/** The table of 10 §7, except for `refresh`, which counts failures only and has a file of its own. */
const rows: Row[] = [
  {
    policy: 'register',
    method: 'POST',
    path: () => '/auth/register',
    by: 'address',
    windows: [
      [5, 60],
      [20, 3600],
    ],
    refused: { json: {}, status: 400 },
    succeeds: () => ({ json: scene.registration(), status: 201 }),
  },
  {
    policy: 'login',
    method: 'POST',
    path: () => '/auth/login',
    by: 'address',
    windows: [[10, 60]],
    refused: { json: {}, status: 400 },
    succeeds: ({ email, password }) => ({ json: { email, password }, status: 200 }),
  },
  {
    policy: 'profile',
    method: 'PATCH',
    path: () => '/auth/me',
    by: 'user',
    windows: [[5, 60]],
    refused: { json: {}, status: 400 },
    succeeds: ({ password }) => ({
      json: { current_password: password, email: scene.newAddress() },
      status: 200,
    }),
  },
  {
    policy: 'delete',
    method: 'DELETE',
    path: () => '/auth/me',
    by: 'user',
    windows: [[3, 300]],
    refused: { json: {}, status: 400 },
  },
  {
    policy: 'resend',
    method: 'POST',
    path: () => '/auth/resend-confirmation',
    by: 'address',
    windows: [[5, 300]],
    refused: { json: {}, status: 400 },
    succeeds: ({ email }) => ({ json: { email }, status: 200 }),
  },
  {
    policy: 'reset-request',
    method: 'POST',
    path: () => '/auth/reset-password-request',
    by: 'address',
    windows: [[5, 300]],
    refused: { json: {}, status: 400 },
    succeeds: ({ email }) => ({ json: { email }, status: 200 }),
  },
  {
    policy: 'reset',
    method: 'POST',
    path: () => `/auth/reset-password/${someToken()}`,
    by: 'address',
    windows: [[5, 300]],
    refused: { json: {}, status: 400 },
  },
  ...(['GET', 'POST'] as const).map((method): Row => ({
    policy: 'link',
    method,
    path: () => `/auth/confirm-email/${someToken()}`,
    by: 'address',
    windows: [[30, 300]],
    refused: { status: 400 },
  })),
  {
    policy: 'link',
    method: 'GET',
    path: () => `/auth/reset-password/${someToken()}`,
    by: 'address',
    windows: [[30, 300]],
    refused: { status: 400 },
  },
  {
    policy: 'challenge',
    method: 'GET',
    path: () => '/auth/challenge',
    by: 'address',
    windows: [[30, 60]],
    refused: { status: 400 },
  },
  {
    policy: 'export',
    method: 'POST',
    path: () => '/auth/me/export',
    by: 'user',
    windows: [[3, 86_400]],
    refused: { json: {}, status: 400 },
    succeeds: ({ password }) => ({ json: { current_password: password }, status: 202 }),
  },
]

const ask = (row: Row, client: Client, json: unknown): Promise<Answer> =>
  app.call(row.method, row.path(), {
    headers: asApp(client.address),
    ...(client.token === undefined ? {} : { token: client.token }),
    ...(json === undefined ? {} : { json }),
  })

const windowName = ({ policy }: Row, index: number, seconds: number): string =>
  index === 0 ? policy : `${policy}-${seconds}`

/** The headers say the quotas, what is left in each window, and when it ends: within 5 s of its full length. */
const assertHeaders = (row: Row, answer: Answer, left: (index: number) => number): void => {
  const { windows } = row
  const policies = windows.map(
    ([quota, seconds], index) => `"${windowName(row, index, seconds)}";q=${quota};w=${seconds}`,
  )
  assert.equal(answer.headers.get('ratelimit-policy'), policies.join(', '))
  const members = (answer.headers.get('ratelimit') ?? '').split(', ')
  assert.equal(members.length, windows.length)
  for (const [index, [, seconds]] of windows.entries()) {
    const member = members[index] ?? ''
    const [, name, rest, until] = /^"([a-z0-9-]+)";r=(\d+);t=(\d+)$/.exec(member) ?? []
    assert.deepEqual([name, Number(rest)], [windowName(row, index, seconds), left(index)], member)
    assert.ok(Number(until) <= seconds && Number(until) >= seconds - 15, member)
  }
}

const assertLimited = (row: Row, answer: Answer): void => {
  assert.equal(answer.status, 429, answer.text)
  const retryAfter = Number(answer.headers.get('retry-after'))
  assert.deepEqual(answer.body, { error: limitedText, retry_after: retryAfter })
  const [, seconds] = row.windows[0] ?? [0, 0]
  assert.ok(Number.isInteger(retryAfter) && retryAfter >= 1 && retryAfter <= seconds, String(retryAfter))
  assert.equal(Number(/t=(\d+)/.exec(answer.headers.get('ratelimit') ?? '')?.[1]), retryAfter)
}

for (const row of rows) {
  const [quota, seconds] = row.windows[0] ?? [0, 0]
  test(`${row.policy}, ${row.method} ${row.path().replace(/[\w-]{43}$/, '{token}')}: ${quota} in ${seconds} s by ${row.by}`, async () => {
    const account = await newUser(app)
    const other = await newUser(app)
    const isByUser = row.by === 'user'
    const client = async (who: { email: string; password: string }): Promise<Client> => ({
      address: newClient(),
      ...(isByUser ? { token: await signInAt(app, who) } : {}),
    })
    const [own, foreign] = [await client(account), await client(other)]

    for (let count = 1; count <= quota; count += 1) {
      const { json, status } = (count === 1 ? row.succeeds?.(account) : undefined) ?? row.refused
      const answer = await ask(row, own, json)
      assert.equal(answer.status, status, answer.text)
      assertHeaders(row, answer, (index) => (row.windows[index]?.[0] ?? 0) - count)
      assert.equal(answer.headers.get('retry-after'), null)
      // A changed profile ends its earlier access tokens.
      const next = isByUser ? answer.body['access_token'] : undefined
      if (typeof next === 'string') own.token = next
    }
    for (const again of [1, 2]) {
      const answer = await ask(row, own, row.refused.json)
      assertLimited(row, answer)
      assertHeaders(row, answer, (index) => Math.max(0, (row.windows[index]?.[0] ?? 0) - quota - again))
    }
    // One person on two addresses, two people on one address: it is the key of the policy that counts.
    const sameUser = { ...own, address: newClient() }
    const sameAddress = { ...foreign, address: own.address }
    assert.equal((await ask(row, sameUser, row.refused.json)).status, isByUser ? 429 : row.refused.status)
    assert.equal((await ask(row, sameAddress, row.refused.json)).status, isByUser ? row.refused.status : 429)

    await scene.advanceClock(app, seconds)
    const later = isByUser ? { ...own, token: await signInAt(app, account) } : own
    const answer = await ask(row, later, row.refused.json)
    assert.equal(answer.status, row.refused.status, answer.text)
    assert.match(answer.headers.get('ratelimit') ?? '', new RegExp(`^"${row.policy}";r=${quota - 1};`))
  })
}

for (const row of rows.filter(({ by }) => by === 'user'))
  test(`${row.policy}: without a valid token 401, never 429, and nobody’s quota is touched`, async () => {
    const account = await newUser(app)
    const address = newClient()
    const [quota] = row.windows[0] ?? [0]
    for (let count = 0; count <= 2 * quota; count += 1)
      for (const client of [{ address }, { address, token: 'x.y.z' }]) {
        const answer = await ask(row, client, { current_password: account.password })
        assert.equal(answer.status, 401, answer.text)
        assert.equal(answer.headers.get('ratelimit'), null)
      }
    const answer = await ask(row, { address, token: await signInAt(app, account) }, row.refused.json)
    assertHeaders(row, answer, () => quota - 1)
  })
