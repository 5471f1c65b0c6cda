import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { startTestApp, type Account, type TestApp } from '../../../test/app.ts'
import { dayMs, readBooks } from '../../../test/ledger-fixtures.ts'
import { createCredits, type LotSource } from './credits.ts'

let app: TestApp
before(async () => {
  app = await startTestApp()
})
after(() => app.close())

const ledgerAt = (now: Date) =>
  createCredits({ clock: { now: () => now }, config: { unitLabel: '', unitSize: 1000, sourcesPriority: [] } })

/** Grants as if it were `at`. */
const grant = (
  userId: number,
  amount: number,
  own: { source?: LotSource; expiresAt?: Date; at?: Date } = {},
) =>
  app.test.database.transaction((tx) =>
    ledgerAt(own.at ?? new Date()).grant(tx, {
      userId,
      amount,
      source: own.source ?? 'add_on',
      reason: 'admin_grant',
      ...(own.expiresAt === undefined ? {} : { expiresAt: own.expiresAt }),
    }),
  )

interface Item {
  id: number
  type: string
  amount: number
  created_at: string
  metadata: object
}
interface History {
  items: Item[]
  total: number
  limit: number
  offset: number
  next_offset: number | null
  applied_types: string[]
}
interface Summary {
  balance: number
  balance_cached: number
  lots: {
    id: number
    source: string
    amount_remaining: number
    is_active: boolean
    expires_at: string | null
  }[]
  lots_truncated: boolean
  history: History
  recent_transactions: Item[]
}

const get = async <T>(account: Account, target: string): Promise<T> => {
  const answer = await app.call('GET', target, { token: account.accessToken })
  assert.equal(answer.status, 200, answer.text)
  return JSON.parse(answer.text)
}
const summary = (account: Account, query = '') => get<Summary>(account, `/me/credits${query}`)
const history = (account: Account, query = '') => get<History>(account, `/me/credits/history${query}`)

test('without a token there is nothing to see', async () => {
  for (const target of ['/me/credits', '/me/credits/history'])
    assert.equal((await app.call('GET', target)).status, 401)
})

test('the summary of a new account, key by key', async () => {
  const account = await app.signUp()
  const body: Record<string, unknown> = await get(account, '/me/credits')
  const { lots, history: page, recent_transactions: recent, ...rest } = body
  assert.deepEqual(rest, {
    balance: 10,
    balance_computed: 10,
    balance_cached: 10,
    balance_source: 'computed',
    unit_label: 'Story Points (Punkty Magii)',
    unit_size: 1000,
    lots_truncated: false,
  })
  const [lot] = lots as Record<string, unknown>[]
  assert.ok(lot)
  const { id, created_at: createdAt, updated_at: updatedAt, ...lotRest } = lot
  assert.equal(typeof id, 'number')
  for (const time of [createdAt, updatedAt]) assert.match(String(time), /^\d{4}-\d\d-\d\dT[\d:.]+Z$/)
  assert.deepEqual(lotRest, {
    source: 'free',
    amount_granted: 10,
    amount_remaining: 10,
    expires_at: null,
    is_active: true,
  })
  assert.deepEqual(recent, (page as History).items)
  assert.deepEqual(page, await history(account))
  const [item] = page.items as unknown as Record<string, unknown>[]
  assert.deepEqual(
    { ...item, id: 0, created_at: '', updated_at: '' },
    {
      id: 0,
      type: 'credit',
      amount: 10,
      reason: 'initial_grant',
      status: 'applied',
      audio_story_id: null,
      story_id: null,
      metadata: {},
      created_at: '',
      updated_at: '',
    },
  )
  assert.deepEqual(
    { ...page, items: [] },
    {
      items: [],
      total: 1,
      limit: 20,
      offset: 0,
      next_offset: null,
      applied_types: [],
    },
  )
})

test('a tampered cache is shown as it is, and a GET does not repair it', async () => {
  const account = await app.signUp()
  await app.test.database.pool.query('update users set credits_balance = 99 where id = $1', [account.id])
  const before = await readBooks(app.test.database, account.id)
  const body = await summary(account)
  assert.deepEqual([body.balance, body.balance_cached], [10, 99])
  assert.deepEqual(await readBooks(app.test.database, account.id), before)
  assert.equal(before.cached, 99)
})

test('an expired lot comes first, is inactive and does not count', async () => {
  const account = await app.signUp()
  const lastWeek = new Date(Date.now() - 7 * dayMs)
  await grant(account.id, 20, { source: 'event', at: lastWeek, expiresAt: new Date(Date.now() - dayMs) })
  await grant(account.id, 7, { expiresAt: new Date(Date.now() + dayMs) })
  const { balance, lots } = await summary(account)
  assert.equal(balance, 17)
  assert.deepEqual(
    lots.map((lot) => [lot.source, lot.amount_remaining, lot.is_active]),
    [
      ['event', 20, false],
      ['add_on', 7, true],
      ['free', 10, true],
    ],
  )
})

test('two of three, then the last: pages by next_offset', async () => {
  const account = await app.signUp()
  await grant(account.id, 2)
  await grant(account.id, 3)
  const first = await summary(account, '?history_limit=2')
  assert.equal(first.history.items.length, 2)
  assert.deepEqual(first.recent_transactions, first.history.items)
  assert.deepEqual([first.history.total, first.history.next_offset], [3, 2])
  const second = await summary(account, '?history_limit=2&history_offset=2')
  assert.deepEqual([second.history.items.length, second.history.next_offset], [1, null])
  const past = await history(account, '?offset=50')
  assert.deepEqual([past.items, past.total, past.next_offset], [[], 3, null])
})

test('pages neither repeat nor skip rows of equal time, whatever their size', async () => {
  const account = await app.signUp()
  const at = new Date()
  for (let amount = 1; amount <= 9; amount += 1) await grant(account.id, amount, { at })
  const whole = (await history(account, '?limit=100')).items
  assert.equal(whole.length, 10)
  const order = whole.map((item) => [item.created_at, item.id] as const)
  assert.deepEqual(
    order,
    order.toSorted((a, b) => (a[0] === b[0] ? b[1] - a[1] : a[0] < b[0] ? 1 : -1)),
  )
  for (const limit of [1, 3, 4]) {
    const joined: Item[] = []
    for (let offset: number | null = 0; offset !== null;) {
      const page: History = await history(account, `?limit=${limit}&offset=${offset}`)
      joined.push(...page.items)
      offset = page.next_offset
    }
    assert.deepEqual(joined, whole, `pages of ${limit}`)
  }
})

test('sizes and offsets are clamped, never refused', async () => {
  const account = await app.signUp()
  const limits: [text: string, limit: number][] = [
    ['0', 1],
    ['-5', 1],
    ['1', 1],
    ['100', 100],
    ['101', 100],
    ['999999999999', 100],
    ['abc', 20],
    ['', 20],
    ['1.5', 20],
    ['1e3', 20],
    [' 7 ', 7],
  ]
  for (const [text, limit] of limits) {
    const query = encodeURIComponent(text)
    assert.equal((await history(account, `?limit=${query}`)).limit, limit, `limit=${text}`)
    assert.equal(
      (await summary(account, `?history_limit=${query}`)).history.limit,
      limit,
      `history_limit=${text}`,
    )
  }
  const offsets: [text: string, offset: number][] = [
    ['-1', 0],
    ['abc', 0],
    ['3', 3],
    ['999999999999', 2_147_483_647],
  ]
  for (const [text, offset] of offsets)
    assert.equal((await history(account, `?offset=${text}`)).offset, offset, `offset=${text}`)
})

test('types filter and are echoed; unknown ones fall away', async () => {
  const account = await app.signUp()
  const lastWeek = new Date(Date.now() - 7 * dayMs)
  await grant(account.id, 4, { at: lastWeek })
  const cases: [query: string, applied: string[], total: number][] = [
    ['?type=credit', ['credit'], 2],
    ['?type=debit', ['debit'], 0],
    ['?types=debit,credit', ['debit', 'credit'], 2],
    ['?type=bogus', [], 2],
    ['?type=bogus,debit', ['debit'], 0],
    ['?type=%20DEBIT%20,debit', ['debit'], 0],
    ['?type=debit&types=credit', ['debit'], 0],
    ['?type=&types=debit', ['debit'], 0],
    ['?type=debit&type=credit', ['debit'], 0],
    ['?type=refund,expire', ['refund', 'expire'], 0],
  ]
  for (const [query, applied, total] of cases) {
    const page = await history(account, query)
    assert.deepEqual([page.applied_types, page.total, page.items.length], [applied, total, total], query)
    assert.deepEqual((await summary(account, query)).history.applied_types, applied, query)
  }
})

test('metadata shows the listed keys only, and nobody sees another one’s rows', async () => {
  const [account, other] = [await app.signUp(), await app.signUp()]
  const { transactionId } = await grant(account.id, 1)
  await app.test.database.pool.query(
    'alter table credit_transactions disable trigger credit_transactions_guard',
  )
  await app.test.database.pool.query(
    `update credit_transactions set metadata = '{"lot_id": 5, "note": "secret", "actor": 1}', actor = $2 where id = $1`,
    [transactionId, other.id],
  )
  await app.test.database.pool.query(
    'alter table credit_transactions enable trigger credit_transactions_guard',
  )
  const { items } = await history(account)
  assert.deepEqual(items.find((item) => item.id === transactionId)?.metadata, { lot_id: 5 })
  assert.ok(!JSON.stringify(items).includes('actor'))
  const theirs = await history(other)
  assert.ok(theirs.items.every((item) => item.id !== transactionId))
  assert.equal(theirs.total, 1)
})
