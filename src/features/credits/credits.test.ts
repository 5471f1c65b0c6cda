import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { AppError } from '../../platform/errors.ts'
import {
  assertBooks,
  dayMs,
  hourMs,
  openLedger,
  spendableOf,
  type LedgerBench,
} from '../../../test/ledger-fixtures.ts'
import { createCredits, type LotSource } from './credits.ts'

let bench: LedgerBench
before(async () => {
  bench = await openLedger()
})
after(() => bench.close())

const grant = (userId: number, amount: number, source: LotSource = 'free', expiresInMs?: number) =>
  bench.database.transaction((tx) =>
    bench.credits.grant(tx, {
      userId,
      amount,
      source,
      reason: 'admin_grant',
      ...(expiresInMs === undefined
        ? {}
        : { expiresAt: new Date(bench.clock.now().getTime() + expiresInMs) }),
    }),
  )

const debit = async (
  userId: number,
  amount: number,
  narration?: { narrationId: number; storyId: number },
) => {
  const target = narration ?? (await bench.newNarration(userId))
  const reason = `audio_synthesis:${target.storyId}`
  return bench.database.transaction((tx) => bench.credits.debit(tx, { userId, amount, reason, ...target }))
}

const refund = (debitId: number, reason = 'synthesis_failed') =>
  bench.database.transaction((tx) => bench.credits.refund(tx, debitId, reason))

const checkedBooks = async (userId: number) => {
  const books = await bench.books(userId)
  assertBooks(books)
  return books
}

const isRefusal = (required: number, available: number) => (error: unknown) => {
  assert.ok(error instanceof AppError)
  assert.equal(error.code, 'insufficient_credits')
  assert.equal(error.details.text, `Insufficient Story Points: need ${required}, available ${available}`)
  assert.deepEqual(error.details.body, { required })
  return true
}

/** Points left in each lot, by source and order of granting. */
const remaining = async (userId: number) =>
  (await checkedBooks(userId)).lots.map((lot) => [lot.source, lot.remaining])

test('a grant makes one lot, one credit row and one allocation; lots are never merged', async () => {
  const userId = await bench.newUser()
  await grant(userId, 7)
  await grant(userId, 3)
  const books = await checkedBooks(userId)
  assert.deepEqual(
    books.lots.map((lot) => [lot.granted, lot.remaining, lot.expiresAt]),
    [
      [7, 7, null],
      [3, 3, null],
    ],
  )
  assert.deepEqual(
    books.transactions.map((row) => [row.type, row.amount, row.allocations.length]),
    [
      ['credit', 7, 1],
      ['credit', 3, 1],
    ],
  )
  assert.equal(books.cached, 10)
})

test('the source decides before the date: a free lot dying in an hour goes after a never-expiring monthly lot', async () => {
  const userId = await bench.newUser()
  await grant(userId, 2, 'free', hourMs)
  await grant(userId, 2, 'monthly')
  await debit(userId, 3)
  assert.deepEqual(await remaining(userId), [
    ['free', 1],
    ['monthly', 0],
  ])
})

test('default order of sources, whatever the order of granting', async () => {
  const userId = await bench.newUser()
  for (const source of ['free', 'add_on', 'referral', 'monthly', 'event'] as const)
    await grant(userId, 1, source)
  const spent: string[] = []
  for (let count = 0; count < 5; count += 1) {
    const before = await remaining(userId)
    await debit(userId, 1)
    const after = await remaining(userId)
    spent.push(
      ...before.filter(([, left], index) => left !== after[index]?.[1]).map(([source]) => String(source)),
    )
  }
  assert.deepEqual(spent, ['event', 'monthly', 'referral', 'add_on', 'free'])
})

test('one source: earliest expiry first, never last, then the older, then the lower id', async () => {
  const userId = await bench.newUser()
  await grant(userId, 1, 'free')
  await grant(userId, 1, 'free', 3 * dayMs)
  bench.clock.advance(1000)
  await grant(userId, 1, 'free', 2 * dayMs)
  // Same moment of expiry as the second lot, granted later; and a twin of its own.
  await grant(userId, 1, 'free', 3 * dayMs - 1000)
  await grant(userId, 1, 'free', 3 * dayMs - 1000)
  const expected = [2, 1, 3, 4, 0]
  for (const [count, index] of expected.entries()) {
    await debit(userId, 1)
    const left = (await checkedBooks(userId)).lots.map((lot) => lot.remaining)
    assert.equal(left[index], 0, `debit ${count + 1} should empty lot ${index}: ${left.join()}`)
    assert.equal(left.filter((points) => points === 0).length, count + 1)
  }
})

test('unlisted sources follow the listed ones by name; an empty list means by name', async () => {
  for (const [priority, first, second] of [
    [['free'], 'free', 'add_on'],
    [[], 'add_on', 'free'],
  ] as const) {
    const { clock } = bench
    const credits = createCredits({
      clock,
      config: { unitLabel: '', unitSize: 1000, sourcesPriority: priority },
    })
    const userId = await bench.newUser()
    for (const source of ['monthly', 'add_on', 'free'] as const) await grant(userId, 1, source)
    const emptied: string[] = []
    for (let count = 0; count < 2; count += 1) {
      const narration = await bench.newNarration(userId)
      await bench.database.transaction((tx) =>
        credits.debit(tx, { userId, amount: 1, reason: 'audio_synthesis:1', ...narration }),
      )
      const now = (await remaining(userId)).filter(([, left]) => left === 0).map(([source]) => String(source))
      emptied.push(...now.filter((source) => !emptied.includes(source)))
    }
    assert.deepEqual(emptied, [first, second])
  }
})

test('a lot is spent until the moment it expires, and not at that moment', async () => {
  const userId = await bench.newUser()
  await grant(userId, 2, 'free', hourMs)
  bench.clock.advance(hourMs - 1)
  await debit(userId, 1)
  bench.clock.advance(1)
  assert.equal(await bench.credits.balance(bench.database.read, userId), 0)
  await assert.rejects(debit(userId, 1), isRefusal(1, 0))
})

test('a debit over several lots is one row with one allocation a lot', async () => {
  const userId = await bench.newUser()
  await grant(userId, 2, 'event')
  await grant(userId, 2, 'monthly')
  await grant(userId, 9, 'free')
  const { transactionId, isNew } = await debit(userId, 5)
  assert.equal(isNew, true)
  const books = await checkedBooks(userId)
  const row = books.transactions.find((entry) => entry.id === transactionId)
  assert.equal(row?.amount, -5)
  assert.deepEqual(
    row?.allocations.map((part) => part.amount),
    [-2, -2, -1],
  )
  assert.equal(books.cached, 8)
})

test('too few points: refused in words, and nothing changes', async () => {
  const userId = await bench.newUser()
  await grant(userId, 4)
  await grant(userId, 20, 'free', hourMs)
  bench.clock.advance(hourMs)
  const before = await bench.books(userId)
  await assert.rejects(debit(userId, 5), isRefusal(5, 4))
  assert.deepEqual(await bench.books(userId), before)
})

test('an open debit of the narration is returned without a charge, for another price too', async () => {
  const userId = await bench.newUser()
  await grant(userId, 10)
  const narration = await bench.newNarration(userId)
  const first = await debit(userId, 3, narration)
  const before = await checkedBooks(userId)
  for (const amount of [3, 1, 9, 5000])
    assert.deepEqual(await debit(userId, amount, narration), {
      transactionId: first.transactionId,
      isNew: false,
    })
  assert.deepEqual(await checkedBooks(userId), before)
})

test('a refund gives the same lots back, marks the debit, and the next attempt charges anew', async () => {
  const userId = await bench.newUser()
  await grant(userId, 2, 'event')
  await grant(userId, 5, 'free', 30 * dayMs)
  const narration = await bench.newNarration(userId)
  const first = await debit(userId, 4, narration)
  const other = await debit(userId, 1)
  const before = await bench.books(userId)
  assert.equal(await refund(first.transactionId), true)
  const books = await checkedBooks(userId)
  assert.deepEqual(
    books.lots.map((lot) => [lot.remaining, lot.expiresAt]),
    [
      [2, null],
      [4, before.lots[1]?.expiresAt],
    ],
  )
  assert.equal(books.cached, 6)
  assert.equal(books.transactions.find((row) => row.id === other.transactionId)?.status, 'applied')
  const row = books.transactions.find((entry) => entry.refundOf === first.transactionId)
  assert.deepEqual([row?.type, row?.amount, row?.reason], ['refund', 4, 'synthesis_failed'])
  assert.equal(row?.narrationId, narration.narrationId)

  const second = await debit(userId, 4, narration)
  assert.equal(second.isNew, true)
  assert.notEqual(second.transactionId, first.transactionId)
  assert.equal((await checkedBooks(userId)).cached, 2)
})

test('a second refund changes nothing, also after the narration was charged again', async () => {
  const userId = await bench.newUser()
  await grant(userId, 10)
  const narration = await bench.newNarration(userId)
  const { transactionId } = await debit(userId, 4, narration)
  assert.equal(await refund(transactionId), true)
  await debit(userId, 4, narration)
  const before = await checkedBooks(userId)
  bench.clock.advance(hourMs)
  assert.equal(await refund(transactionId), false)
  assert.deepEqual(await bench.books(userId), before)
})

test('two points into a lot whose twenty expired yesterday: two live for seven days, twenty are expired', async () => {
  const userId = await bench.newUser()
  await grant(userId, 22, 'add_on', 10 * dayMs)
  const { transactionId } = await debit(userId, 2)
  bench.clock.advance(11 * dayMs)
  const expiredAt = (await bench.books(userId)).lots[0]?.expiresAt
  assert.equal(await refund(transactionId), true)
  const books = await checkedBooks(userId)
  const [lot] = books.lots
  assert.equal(lot?.remaining, 2)
  assert.equal(lot?.expiresAt?.getTime(), bench.clock.now().getTime() + 7 * dayMs)
  assert.equal(books.cached, 2)
  const expired = books.transactions.filter((row) => row.type === 'expire')
  assert.deepEqual(
    expired.map((row) => [row.amount, row.reason, row.metadata]),
    [
      [
        -20,
        'auto_expire',
        {
          lot_id: lot?.id,
          lot_source: 'add_on',
          lot_amount_granted: 22,
          expired_at: expiredAt?.toISOString(),
          source_task: 'credits.expire-lots',
        },
      ],
    ],
  )
  bench.clock.advance(7 * dayMs - 1)
  assert.equal(await bench.credits.balance(bench.database.read, userId), 2)
  bench.clock.advance(1)
  assert.equal(await bench.credits.balance(bench.database.read, userId), 0)
})

test('a refund into an expired lot that was spent to the end writes no expire row', async () => {
  const userId = await bench.newUser()
  await grant(userId, 3, 'free', dayMs)
  await grant(userId, 3, 'free')
  const { transactionId } = await debit(userId, 5)
  bench.clock.advance(2 * dayMs)
  await refund(transactionId)
  const books = await checkedBooks(userId)
  assert.deepEqual(
    books.transactions.map((row) => row.type),
    ['credit', 'credit', 'debit', 'refund'],
  )
  assert.deepEqual(
    books.lots.map((lot) => [lot.remaining, lot.expiresAt?.getTime() ?? null]),
    [
      [3, bench.clock.now().getTime() + 7 * dayMs],
      [3, null],
    ],
  )
  assert.equal(books.cached, 6)
})

test('only a debit can be refunded', async () => {
  const userId = await bench.newUser()
  const { transactionId } = await grant(userId, 3)
  const before = await bench.books(userId)
  await assert.rejects(refund(transactionId), /only a debit/)
  await assert.rejects(refund(2_000_000_000), /only a debit/)
  assert.deepEqual(await bench.books(userId), before)
})

test('a known grant key returns the first result and changes nothing', async () => {
  const userId = await bench.newUser()
  const give = (amount: number) =>
    bench.database.transaction((tx) =>
      bench.credits.grant(tx, {
        userId,
        amount,
        source: 'free',
        reason: 'initial_grant',
        grantKey: `initial:${userId}`,
      }),
    )
  const first = await give(10)
  assert.equal(first.isNew, true)
  assert.deepEqual(await give(10), { transactionId: first.transactionId, isNew: false })
  assert.deepEqual(await give(99), { transactionId: first.transactionId, isNew: false })
  const { cached } = await checkedBooks(userId)
  assert.equal(cached, 10)
})

test('a grant is refused for a wrong amount, a past or present expiry, an unknown user', async () => {
  const userId = await bench.newUser()
  for (const amount of [0, -1, 1.5, Number.NaN, Infinity])
    await assert.rejects(grant(userId, amount), /integer/)
  await assert.rejects(grant(userId, 1, 'free', 0), /future/)
  await assert.rejects(grant(userId, 1, 'free', -1), /future/)
  await assert.rejects(grant(2_000_000_000, 1), /unknown user/)
  for (const amount of [0, -1, 1.5]) await assert.rejects(debit(userId, amount), /integer/)
  assert.deepEqual((await checkedBooks(userId)).transactions, [])
})

test('the caller’s transaction decides: rolled back, nothing happened', async () => {
  const userId = await bench.newUser()
  await grant(userId, 5)
  const narration = await bench.newNarration(userId)
  const before = await bench.books(userId)
  const attempt = bench.database.transaction(async (tx) => {
    await bench.credits.grant(tx, { userId, amount: 5, source: 'free', reason: 'admin_grant' })
    await bench.credits.debit(tx, { userId, amount: 8, reason: 'audio_synthesis:1', ...narration })
    throw new Error('the rest failed')
  })
  await assert.rejects(attempt, /the rest failed/)
  assert.deepEqual(await bench.books(userId), before)
})

/** Starts all at once and counts how they end. */
const race = async (starts: readonly (() => Promise<unknown>)[]) => {
  const results = await Promise.allSettled(starts.map((start) => start()))
  const failures = results
    .filter((result) => result.status === 'rejected')
    .map((result): unknown => result.reason)
  return { ok: results.length - failures.length, failures }
}

for (const points of [1, 3])
  test(`race: ten debits of one point on ${points}`, async () => {
    const userId = await bench.newUser()
    await grant(userId, points)
    const narrations = await Promise.all(Array.from({ length: 10 }, () => bench.newNarration(userId)))
    const { ok, failures } = await race(narrations.map((narration) => () => debit(userId, 1, narration)))
    assert.equal(ok, points)
    for (const failure of failures) isRefusal(1, 0)(failure)
    const books = await checkedBooks(userId)
    assert.equal(books.cached, 0)
    assert.equal(spendableOf(books, bench.clock.now()), 0)
  })

test('race: five debits of one narration leave one applied debit', async () => {
  const userId = await bench.newUser()
  await grant(userId, 10)
  const narration = await bench.newNarration(userId)
  const results = await Promise.all(Array.from({ length: 5 }, () => debit(userId, 2, narration)))
  assert.equal(results.filter((result) => result.isNew).length, 1)
  assert.equal(new Set(results.map((result) => result.transactionId)).size, 1)
  const books = await checkedBooks(userId)
  assert.equal(books.cached, 8)
  assert.equal(books.transactions.filter((row) => row.type === 'debit').length, 1)
})

test('race: five refunds of one debit give it back once', async () => {
  const userId = await bench.newUser()
  await grant(userId, 10)
  const { transactionId } = await debit(userId, 4)
  const results = await Promise.all(Array.from({ length: 5 }, () => refund(transactionId)))
  assert.equal(results.filter(Boolean).length, 1)
  assert.equal((await checkedBooks(userId)).cached, 10)
})

test('race: grants, refunds and debits of one user leave the cache equal to the lots', async () => {
  const userId = await bench.newUser()
  await grant(userId, 12)
  const debits = [await debit(userId, 3), await debit(userId, 4)]
  const narration = await bench.newNarration(userId)
  const { failures } = await race([
    ...debits.map(
      ({ transactionId }) =>
        () =>
          refund(transactionId),
    ),
    () => grant(userId, 5, 'event', dayMs),
    () => grant(userId, 6, 'monthly'),
    () => debit(userId, 2, narration),
  ])
  assert.deepEqual(failures, [])
  const books = await checkedBooks(userId)
  assert.equal(books.cached, 12 + 5 + 6 - 2)
  assert.equal(spendableOf(books, bench.clock.now()), books.cached)
})

test('race: equal grant keys pay once', async () => {
  const userId = await bench.newUser()
  const give = () =>
    bench.database.transaction((tx) =>
      bench.credits.grant(tx, {
        userId,
        amount: 7,
        source: 'monthly',
        reason: 'monthly_grant',
        grantKey: `k:${userId}`,
      }),
    )
  const results = await Promise.all(Array.from({ length: 5 }, give))
  assert.equal(results.filter((result) => result.isNew).length, 1)
  assert.equal((await checkedBooks(userId)).cached, 7)
})

test('race: one grant key for two accounts pays one of them, and the other learns of it', async () => {
  const users = [await bench.newUser(), await bench.newUser()]
  const give = (userId: number) =>
    bench.database.transaction((tx) =>
      bench.credits.grant(tx, {
        userId,
        amount: 7,
        source: 'monthly',
        reason: 'monthly_grant',
        grantKey: `shared:${users.join()}`,
      }),
    )
  const results = await Promise.all([...users, ...users].map(give))
  assert.equal(results.filter((result) => result.isNew).length, 1)
  assert.equal(new Set(results.map((result) => result.transactionId)).size, 1)
  const cached = await Promise.all(users.map(async (userId) => (await checkedBooks(userId)).cached))
  assert.deepEqual(
    cached.toSorted((a, b) => a - b),
    [0, 7],
  )
})

test('the summary shows open lots, then the 50 newest empty ones, and says when it left some out', async () => {
  const userId = await bench.newUser()
  for (let count = 0; count < 51; count += 1) await grant(userId, 1, 'event')
  await debit(userId, 51)
  await grant(userId, 3)
  await grant(userId, 2, 'add_on', dayMs)
  const { lots, isTruncated, balance, cached } = await bench.credits.summary(bench.database.read, userId, {
    types: [],
    limit: 20,
    offset: 0,
  })
  assert.equal(isTruncated, true)
  assert.equal(lots.length, 52)
  assert.deepEqual([balance, cached], [5, 5])
  assert.deepEqual(
    lots.slice(0, 3).map((lot) => [lot.source, lot.amountRemaining, lot.isActive]),
    [
      ['add_on', 2, true],
      ['free', 3, true],
      ['event', 0, false],
    ],
  )
  const oldest = (await bench.books(userId)).lots[0]?.id
  assert.equal(
    lots.some((lot) => lot.id === oldest),
    false,
  )
})
