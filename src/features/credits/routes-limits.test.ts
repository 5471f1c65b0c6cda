import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import fc from 'fast-check'
import { createAccount } from '../../../test/account-scene.ts'
import { startTestApp, type TestApp } from '../../../test/app.ts'
import { silentLogger } from '../../../test/logger.ts'
import { propertySettings } from '../../../test/property-settings.ts'
import { expireOneByOne } from './credits.ts'

let app: TestApp
before(async () => {
  app = await startTestApp({ work: false, env: { RATELIMIT_ENABLED: 'true' } })
})
after(() => app.close())

test('thirty a minute and person, each route by itself; another person behind the same address has their own', async () => {
  const [first, second] = [await createAccount(app), await createAccount(app)]
  await app.app.seed()
  for (const [target, name] of [
    ['/me/credits', 'me-credits'],
    ['/me/credits/history', 'me-credits-history'],
    ['/stories/1/credits', 'story-credits'],
  ] as const) {
    const answers = await Promise.all(
      Array.from({ length: 31 }, () => app.call('GET', target, { token: first.accessToken })),
    )
    assert.deepEqual(
      answers.map(({ status }) => status).toSorted((a, b) => a - b),
      [...Array.from({ length: 30 }, () => 200), 429],
      target,
    )
    const refused = answers.find(({ status }) => status === 429)
    assert.equal(refused?.headers.get('ratelimit-policy'), `"${name}";q=30;w=60`)
    assert.equal(refused?.body['retry_after'], Number(refused?.headers.get('retry-after')))
    assert.equal((await app.call('GET', target, { token: second.accessToken })).status, 200)
  }
})

test('I20: money that moves ends no token', async () => {
  const account = await createAccount(app)
  const { credits, database } = app.app
  const { id: userId } = account
  const grant = await database.transaction((tx) =>
    credits.grant(tx, { userId, amount: 5, source: 'add_on', reason: 'admin_grant' }),
  )
  assert.ok(grant.isNew)
  const { transactionId } = await database.transaction((tx) =>
    credits.debit(tx, { userId, amount: 2, reason: 'audio_synthesis:1' }),
  )
  await database.transaction((tx) => credits.refund(tx, transactionId, 'synthesis_failed'))
  await database.transaction((tx) => credits.expireDue(tx, userId))
  await database.transaction((tx) => credits.fixBalance(tx, userId))
  const answer = await app.call('GET', '/auth/me', { token: account.accessToken })
  assert.equal(answer.status, 200, answer.text)
  const refreshed = await app.call('POST', '/auth/refresh', { json: { refresh_token: account.refreshToken } })
  assert.equal(refreshed.status, 200, refreshed.text)
})

test('property: pages of any size and filter, joined, are the whole filtered list (I19)', async () => {
  const { credits, database } = app.app
  const userId = (await createAccount(app)).id
  const moments = [new Date('2026-01-01T00:00:00Z'), new Date('2026-01-02T00:00:00Z')]
  for (let count = 0; count < 14; count += 1)
    await database.transaction(async (tx) => {
      const { transactionId } = await credits.debit(tx, { userId, amount: 1, reason: 'x' })
      if (count % 2 === 0) await credits.refund(tx, transactionId, 'synthesis_failed')
      if (count % 5 === 0) await credits.grant(tx, { userId, amount: 3, source: 'event', reason: 'x' })
    })
  const { rows } = await database.pool.query<{ id: number }>(
    'select max(id) as id from credit_lots where user_id = $1 and amount_remaining > 0',
    [userId],
  )
  await expireOneByOne({ database, credits, logger: silentLogger }, [rows[0]?.id ?? 0], 'admin_expire')
  // Rows of equal time: their order is their ids' alone.
  const client = await database.pool.connect()
  await client.query('begin')
  await client.query('set local session_replication_role = replica')
  await client.query(
    'update credit_transactions set created_at = ($2::timestamptz[])[1 + id % 2] where user_id = $1',
    [userId, moments],
  )
  await client.query('commit')
  client.release()
  const all = await credits.history(database.read, userId, { types: [], limit: 100, offset: 0 })
  assert.equal(all.items.length, all.total)
  const order = all.items.map((item) => [item.createdAt.getTime(), item.id] as const)
  assert.deepEqual(
    order,
    order.toSorted((a, b) => b[0] - a[0] || b[1] - a[1]),
  )
  await fc.assert(
    fc.asyncProperty(
      fc.uniqueArray(fc.constantFrom('credit', 'debit', 'refund', 'expire'), { maxLength: 4 }),
      fc.integer({ min: 1, max: 40 }),
      async (types, limit) => {
        const expected = all.items.filter((item) => types.length === 0 || types.includes(item.type))
        const joined: typeof all.items = []
        for (let offset = 0; ; offset += limit) {
          const page = await credits.history(database.read, userId, { types, limit, offset })
          assert.equal(page.total, expected.length)
          joined.push(...page.items)
          if (page.items.length === 0) break
        }
        assert.deepEqual(joined, expected)
      },
    ),
    propertySettings(60),
  )
})
