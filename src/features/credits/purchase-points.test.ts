import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { assertBooks, dayMs, openLedger, type LedgerBench } from '../../../test/ledger-fixtures.ts'
import { newPurchase, setStatus } from '../../../test/ledger-purchases.ts'

let bench: LedgerBench
before(async () => {
  bench = await openLedger()
})
after(() => bench.close())

const pay = (userId: number, purchaseId: number, amount: number, grantKey: string) =>
  bench.database.transaction((tx) =>
    bench.credits.grant(tx, {
      userId,
      amount,
      source: 'monthly',
      reason: 'subscription_renewal',
      grantKey,
      purchaseId,
      metadata: { month: 0 },
    }),
  )
const spend = (userId: number, amount: number) =>
  bench.database.transaction((tx) => bench.credits.debit(tx, { userId, amount, reason: 'audio_synthesis:1' }))
const clawBack = (purchaseId: number) =>
  bench.database.transaction((tx) => bench.credits.clawBack(tx, purchaseId))
const undo = (purchaseId: number) =>
  bench.database.transaction((tx) => bench.credits.undoClawBack(tx, purchaseId))
const points = (purchaseId: number) => bench.credits.purchasePoints(bench.database.read, purchaseId)

const checkedBooks = async (userId: number) => {
  const books = await bench.books(userId)
  assertBooks(books)
  return books
}

test('a grant keeps its purchase, its metadata and the administrator', async () => {
  const userId = await bench.newUser()
  const actor = await bench.newUser()
  const purchaseId = await newPurchase(bench, userId)
  const { transactionId } = await bench.database.transaction((tx) =>
    bench.credits.grant(tx, {
      userId,
      amount: 4,
      source: 'add_on',
      reason: 'addon:credits_10',
      purchaseId,
      actor,
      metadata: { note: 'by hand' },
    }),
  )
  const { rows } = await bench.database.pool.query(
    'select purchase_id, actor, metadata from credit_transactions where id = $1',
    [transactionId],
  )
  assert.deepEqual(rows, [{ purchase_id: purchaseId, actor, metadata: { note: 'by hand' } }])
})

test('a claw-back takes what is left of the purchase and nothing else; twice is once', async () => {
  const userId = await bench.newUser()
  const [purchaseId, other] = [await newPurchase(bench, userId), await newPurchase(bench, userId)]
  await pay(userId, purchaseId, 10, `sub:${purchaseId}:0`)
  await pay(userId, other, 5, `sub:${other}:0`)
  await spend(userId, 4)
  assert.equal(await clawBack(purchaseId), 6)
  assert.equal(await clawBack(purchaseId), 0)
  const books = await checkedBooks(userId)
  assert.equal(books.cached, 5)
  const expired = books.transactions.filter((row) => row.type === 'expire')
  assert.deepEqual(
    expired.map((row) => [row.amount, row.reason, row.metadata]),
    [[-6, 'store_refund', {}]],
  )
  assert.deepEqual(await points(purchaseId), { grantedMonths: [0], pointsLeft: 0, openClawBacks: 1 })
})

test('undoing gives back exactly what was taken, once', async () => {
  const userId = await bench.newUser()
  const purchaseId = await newPurchase(bench, userId)
  await pay(userId, purchaseId, 10, `pack:${purchaseId}`)
  await spend(userId, 4)
  await clawBack(purchaseId)
  assert.equal(await undo(purchaseId), 6)
  assert.equal(await undo(purchaseId), 0)
  const books = await checkedBooks(userId)
  assert.equal(books.cached, 6)
  assert.equal(books.transactions.at(-1)?.reason, 'store_refund_reversed')
  assert.deepEqual(await points(purchaseId), { grantedMonths: [0], pointsLeft: 6, openClawBacks: 0 })
  assert.equal(await clawBack(purchaseId), 6)
  assert.equal(await undo(purchaseId), 6)
  assert.equal((await checkedBooks(userId)).cached, 6)
})

test('a debit refunded after a claw-back leaves points that the next claw-back takes; undoing gives all back', async () => {
  const userId = await bench.newUser()
  const purchaseId = await newPurchase(bench, userId)
  await pay(userId, purchaseId, 10, `sub:${purchaseId}:0`)
  const { transactionId } = await spend(userId, 4)
  await clawBack(purchaseId)
  await bench.database.transaction((tx) => bench.credits.refund(tx, transactionId, 'synthesis_failed'))
  assert.equal((await points(purchaseId)).pointsLeft, 4)
  assert.equal(await clawBack(purchaseId), 4)
  assert.equal((await points(purchaseId)).openClawBacks, 2)
  assert.equal(await undo(purchaseId), 10)
  assert.equal((await checkedBooks(userId)).cached, 10)
})

test('the months of a transferred subscription are taken from everyone who got them', async () => {
  const [first, second] = [await bench.newUser(), await bench.newUser()]
  const purchaseId = await newPurchase(bench, first)
  await pay(first, purchaseId, 30, `sub:${purchaseId}:0`)
  await pay(second, purchaseId, 30, `sub:${purchaseId}:1`)
  await spend(second, 7)
  assert.deepEqual(await bench.credits.payees(bench.database.read, purchaseId), [first, second])
  assert.equal(await clawBack(purchaseId), 53)
  assert.deepEqual([(await checkedBooks(first)).cached, (await checkedBooks(second)).cached], [0, 0])
  assert.deepEqual((await points(purchaseId)).grantedMonths, [0, 1])
  assert.equal(await undo(purchaseId), 53)
  assert.deepEqual([(await checkedBooks(first)).cached, (await checkedBooks(second)).cached], [30, 23])
})

test('race: claw-back, undo, debits and refunds of a shared purchase leave balanced books and no deadlock', async () => {
  const users = [await bench.newUser(), await bench.newUser()]
  const purchaseId = await newPurchase(bench, users[0] ?? 0)
  for (const [month, userId] of users.entries())
    await pay(userId, purchaseId, 30, `sub:${purchaseId}:${month}`)
  const debits = await Promise.all(users.map((userId) => spend(userId, 5)))
  const results = await Promise.allSettled([
    clawBack(purchaseId),
    undo(purchaseId),
    clawBack(purchaseId),
    ...users.map((userId) => spend(userId, 1)),
    ...debits.map(({ transactionId }) =>
      bench.database.transaction((tx) => bench.credits.refund(tx, transactionId, 'synthesis_failed')),
    ),
  ])
  for (const result of results)
    if (result.status === 'rejected') assert.match(String(result.reason), /insufficient|Insufficient/)
  for (const userId of users) await checkedBooks(userId)
  const { rows } = await bench.database.pool.query<{ deadlocks: number }>(
    'select deadlocks::integer from pg_stat_database where datname = current_database()',
  )
  assert.equal(rows[0]?.deadlocks, 0)
})

test('a deleted account gets nothing back, and does not count as owed', async () => {
  const userId = await bench.newUser()
  const purchaseId = await newPurchase(bench, userId)
  await pay(userId, purchaseId, 10, `sub:${purchaseId}:0`)
  await clawBack(purchaseId)
  await setStatus(bench, userId, 'deleting')
  assert.equal(await undo(purchaseId), 0)
  assert.equal((await points(purchaseId)).openClawBacks, 0)
  assert.equal((await checkedBooks(userId)).cached, 0)
})

test('expiring a lot: one row, again none; the metadata of a sweep only for a sweep', async () => {
  const userId = await bench.newUser()
  const purchaseId = await newPurchase(bench, userId)
  await pay(userId, purchaseId, 10, `sub:${purchaseId}:0`)
  const lotId = (await bench.books(userId)).lots[0]?.id ?? 0
  const expire = () => bench.database.transaction((tx) => bench.credits.expireLot(tx, lotId, 'admin_expire'))
  assert.equal(await expire(), 10)
  assert.equal(await expire(), 0)
  const books = await checkedBooks(userId)
  assert.deepEqual(
    books.transactions.map((row) => [row.type, row.amount, row.reason, row.metadata]),
    [
      ['credit', 10, 'subscription_renewal', { month: 0 }],
      ['expire', -10, 'admin_expire', {}],
    ],
  )
  assert.equal(books.cached, 0)
  await assert.rejects(
    bench.database.transaction((tx) => bench.credits.expireLot(tx, 2_000_000_000, 'admin_expire')),
    /unknown lot/,
  )
})

test('fixing a balance repairs the cache alone', async () => {
  const userId = await bench.newUser()
  await bench.database.transaction((tx) =>
    bench.credits.grant(tx, { userId, amount: 10, source: 'free', reason: 'initial_grant' }),
  )
  await bench.database.pool.query('update users set credits_balance = 99 where id = $1', [userId])
  const before = await bench.books(userId)
  bench.clock.advance(dayMs)
  const fixed = await bench.database.transaction((tx) => bench.credits.fixBalance(tx, userId))
  assert.deepEqual(fixed, { before: 99, after: 10 })
  const books = await checkedBooks(userId)
  assert.deepEqual([books.lots, books.transactions], [before.lots, before.transactions])
  assert.equal(await bench.database.transaction((tx) => bench.credits.fixBalance(tx, 2_000_000_000)), null)
})
