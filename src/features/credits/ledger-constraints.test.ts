import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import pg from 'pg'
import { sqlState, violatedConstraint } from '../../platform/db/database.ts'
import {
  allocation,
  check,
  integrity,
  lastLot,
  lastTransaction,
  lotRow as lotOf,
  openHandWriter,
  transactionRow as transactionOf,
  type HandWriter,
} from '../../../test/ledger-by-hand.ts'
import { assertBooks, openLedger, type LedgerBench } from '../../../test/ledger-fixtures.ts'

// The database itself refuses unbalanced or rewritten books, whoever writes: here nobody goes through the ledger module.

let bench: LedgerBench
let writer: HandWriter
/** Two users with a lot of ten points each; the first one's narration is charged three. */
let owner: number
let other: number
let lot: number
let foreignLot: number
let credit: number
let debit: number
let narration: number
let story: number

const grant = async (userId: number): Promise<number> => {
  const give = { userId, amount: 10, source: 'free', reason: 'initial_grant' } as const
  return (await bench.database.transaction((tx) => bench.credits.grant(tx, give))).transactionId
}

const charge = async (userId: number, target: { narrationId: number; storyId: number }): Promise<number> => {
  const request = { userId, amount: 3, reason: `audio_synthesis:${target.storyId}`, ...target }
  return (await bench.database.transaction((tx) => bench.credits.debit(tx, request))).transactionId
}

const firstLot = async (userId: number): Promise<number> => (await bench.books(userId)).lots[0]?.id ?? 0

before(async () => {
  bench = await openLedger()
  ;[owner, other] = [await bench.newUser(), await bench.newUser()]
  credit = await grant(owner)
  await grant(other)
  const target = await bench.newNarration(owner)
  ;[narration, story] = [target.narrationId, target.storyId]
  debit = await charge(owner, target)
  ;[lot, foreignLot] = [await firstLot(owner), await firstLot(other)]
  writer = await openHandWriter(bench.test.url, async () => [
    await bench.books(owner),
    await bench.books(other),
  ])
})
after(async () => {
  await writer.close()
  await bench.close()
})

const commit: HandWriter['commit'] = (...statements) => writer.commit(...statements)
const refused: HandWriter['refused'] = (...expected) => writer.refused(...expected)
const lotRow = (values: Parameters<typeof lotOf>[1] = {}): string => lotOf(owner, values)
const transactionRow = (values: Parameters<typeof transactionOf>[1] = {}): string =>
  transactionOf(owner, values)

test('books written by hand pass when they balance', async () => {
  await commit(lotRow({}), transactionRow({}), allocation(lastTransaction, lastLot, 5))
  await commit(
    `update credit_lots set amount_remaining = 0 where id = (select max(id) from credit_lots)`,
    transactionRow({ type: `'expire'`, amount: -5 }),
    allocation(lastTransaction, `(select max(id) from credit_lots)`, -5),
  )
  await bench.database.transaction((tx) =>
    bench.credits.grant(tx, { userId: owner, amount: 1, source: 'free', reason: 'initial_grant' }),
  )
  assertBooks(await bench.books(owner))
})

test('a lot: source, amounts, owner', async () => {
  await refused(check, 'credit_lots_source_check', lotRow({ source: `'gift'` }))
  await refused(check, 'credit_lots_amount_granted_check', lotRow({ amount_granted: 0, amount_remaining: 0 }))
  await refused(check, 'credit_lots_amount_granted_check', lotRow({ amount_granted: 1_000_001 }))
  await refused(check, 'credit_lots_amount_remaining_check', lotRow({ amount_remaining: 6 }))
  await refused(check, 'credit_lots_amount_remaining_check', lotRow({ amount_remaining: -1 }))
  await refused(
    check,
    'credit_lots_amount_remaining_check',
    `update credit_lots set amount_remaining = -1 where id = ${lot}`,
  )
  await refused(
    check,
    'credit_lots_amount_remaining_check',
    `update credit_lots set amount_remaining = 11 where id = ${lot}`,
  )
  await refused('23503', 'credit_lots_user_id_fkey', lotRow({ user_id: 2_000_000_000 }))
})

test('a transaction: type, sign, status, what it refunds, grant key, owner', async () => {
  // An unknown type has no legal sign either, nor an unknown status a legal type: the first broken check by name speaks.
  await refused(check, 'credit_transactions_amount_sign', transactionRow({ type: `'gift'` }))
  await refused(check, 'credit_transactions_refunded_type', transactionRow({ status: `'void'` }))
  await refused(
    check,
    'credit_transactions_status_check',
    transactionRow({ type: `'debit'`, amount: -5, status: `'void'` }),
  )
  for (const [type, amount] of [
    [`'credit'`, -5],
    [`'credit'`, 0],
    [`'debit'`, 5],
    [`'debit'`, 0],
    [`'expire'`, 5],
  ] as const)
    await refused(check, 'credit_transactions_amount_sign', transactionRow({ type, amount }))
  const back = { type: `'refund'`, refund_of_transaction_id: debit }
  await refused(check, 'credit_transactions_amount_sign', transactionRow({ ...back, amount: -3 }))
  await refused(check, 'credit_transactions_refunded_type', transactionRow({ status: `'refunded'` }))
  await refused(check, 'credit_transactions_refund_reference', transactionRow({ type: `'refund'` }))
  await refused(
    check,
    'credit_transactions_refund_reference',
    transactionRow({ refund_of_transaction_id: debit }),
  )
  await refused(
    check,
    'credit_transactions_grant_key_type',
    transactionRow({ type: `'debit'`, amount: -1, grant_key: `'k'` }),
  )
  await refused(check, 'credit_transactions_metadata_check', transactionRow({ metadata: `'[]'` }))
  await refused('23503', 'credit_transactions_user_id_fkey', transactionRow({ user_id: 2_000_000_000 }))
  await refused('23503', 'credit_transactions_actor_fkey', transactionRow({ actor: 2_000_000_000 }))
  await refused('22001', null, transactionRow({ reason: `repeat('x', 256)` }))
})

test('an allocation is never zero, never twice for one lot, never of unknown rows', async () => {
  await refused(check, 'credit_transaction_allocations_amount_check', allocation(credit, lot, 0))
  await refused('23505', 'credit_transaction_allocations_pkey', allocation(credit, lot, 1))
  await refused('23503', 'credit_transaction_allocations_lot_id_fkey', allocation(credit, 2_000_000_000, 1))
})

test('one applied debit a narration, one refund a debit, one row a grant key', async () => {
  const again = transactionRow({ type: `'debit'`, amount: -1, narration_id: narration, story_id: story })
  await refused('23505', 'uq_credit_tx_open_debit', again)
  const refund = transactionRow({ type: `'refund'`, amount: 3, refund_of_transaction_id: debit })
  await refused('23505', 'credit_transactions_refund_of_transaction_id_key', refund, refund)
  const keyed = transactionRow({ grant_key: `'same'` })
  await refused('23505', 'credit_transactions_grant_key_key', keyed, keyed)
})

test('at commit a lot holds the sum of its allocations', async () => {
  const balanced = 'credit_lot_balanced'
  await refused(integrity, balanced, lotRow({}))
  await refused(
    integrity,
    balanced,
    `update credit_lots set amount_remaining = amount_remaining + 1 where id = ${lot}`,
  )
  await refused(
    integrity,
    balanced,
    lotRow({ amount_remaining: 4 }),
    transactionRow({}),
    allocation(lastTransaction, lastLot, 5),
  )
  await refused(
    integrity,
    balanced,
    transactionRow({ type: `'expire'`, amount: -5 }),
    allocation(lastTransaction, lot, -5),
  )
  // Points moved between two lots without a transaction.
  await refused(
    integrity,
    balanced,
    `update credit_lots set amount_remaining = amount_remaining + 1 where id = ${lot}`,
    `update credit_lots set amount_remaining = amount_remaining - 1 where id = ${foreignLot}`,
  )
})

test('at commit a transaction is the sum of its allocations', async () => {
  const balanced = 'credit_transaction_balanced'
  await refused(integrity, balanced, transactionRow({}))
  await refused(
    integrity,
    balanced,
    lotRow({ amount_granted: 4, amount_remaining: 4 }),
    transactionRow({}),
    allocation(lastTransaction, lastLot, 4),
  )
  // A second allocation added to an old transaction, the lot kept in step.
  await refused(integrity, balanced, lotRow({}), allocation(credit, lastLot, 5))
})

test('at commit every allocation has the sign and the owner of its transaction', async () => {
  const balanced = 'credit_transaction_balanced'
  // −1 in all, but one part is +1.
  await refused(
    integrity,
    balanced,
    lotRow({ amount_granted: 1, amount_remaining: 1 }),
    `update credit_lots set amount_remaining = amount_remaining - 2 where id = ${lot}`,
    transactionRow({ type: `'expire'`, amount: -1 }),
    allocation(lastTransaction, lot, -2),
    allocation(lastTransaction, lastLot, 1),
  )
  await refused(
    integrity,
    balanced,
    `update credit_lots set amount_remaining = amount_remaining - 2 where id = ${foreignLot}`,
    transactionRow({ type: `'debit'`, amount: -2 }),
    allocation(lastTransaction, foreignLot, -2),
  )
})

test('nothing is deleted or truncated', async () => {
  const kept = 'ledger_append_only'
  const unused = transactionRow({ type: `'expire'`, amount: -1 })
  await refused(integrity, kept, `delete from credit_transaction_allocations where lot_id = ${lot}`)
  await refused(integrity, kept, `delete from credit_transactions where id = ${debit}`)
  await refused(integrity, kept, unused, `delete from credit_transactions where id = ${lastTransaction}`)
  await refused(integrity, kept, `delete from credit_lots where id = ${foreignLot}`)
  await refused(integrity, kept, 'truncate credit_transaction_allocations')
  for (const table of ['credit_lots', 'credit_transactions', 'users', 'stories', 'narrations'])
    await refused(integrity, kept, `truncate ${table} cascade`)
  await refused('0A000', null, 'truncate credit_transactions')
  // RESTRICT since PostgreSQL 18 has a state of its own; before, it was 23503.
  await assert.rejects(commit(`delete from users where id = ${owner}`), (error: unknown) =>
    ['23001', '23503'].includes(sqlState(error) ?? ''),
  )
})

test('what was written once stays: lots, transactions, allocations', async () => {
  const kept = 'ledger_append_only'
  for (const change of [
    `user_id = ${other}`,
    `source = 'event'`,
    'amount_granted = 1000',
    `created_at = now() - interval '1 day'`,
  ])
    await refused(integrity, kept, `update credit_lots set ${change} where id = ${lot}`)
  for (const change of [
    `user_id = ${other}`,
    `type = 'expire'`,
    'amount = -2',
    `grant_key = 'new'`,
    `actor = ${other}`,
    `refund_of_transaction_id = ${credit}`,
    `created_at = now() - interval '1 day'`,
    `reason = 'something else'`,
    `metadata = '{"a": 1}'`,
  ])
    await refused(integrity, kept, `update credit_transactions set ${change} where id = ${debit}`)
  const undone = `update credit_transactions set status = 'refunded' where id = ${credit}`
  await refused(check, 'credit_transactions_refunded_type', undone)
  for (const change of [`amount = 9`, `lot_id = ${foreignLot}`, `transaction_id = ${debit}`])
    await refused(
      integrity,
      kept,
      `update credit_transaction_allocations set ${change} where transaction_id = ${credit}`,
    )
})

test('references only ever go away: never to another narration or story', async () => {
  const kept = 'ledger_append_only'
  const [second, third] = [await bench.newNarration(owner), await bench.newNarration(owner)]
  const charged = await charge(owner, second)
  await refused(
    integrity,
    kept,
    `update credit_transactions set narration_id = ${third.narrationId} where id = ${charged}`,
  )
  await commit(`update credit_transactions set narration_id = null, story_id = null where id = ${charged}`)
  await refused(
    integrity,
    kept,
    `update credit_transactions set narration_id = ${third.narrationId} where id = ${charged}`,
  )
  await refused(integrity, kept, `update credit_transactions set story_id = ${story} where id = ${charged}`)
})

test('deleting a narration takes its reference and nothing else', async () => {
  const userId = await bench.newUser()
  await grant(userId)
  const target = await bench.newNarration(userId)
  const charged = await charge(userId, target)
  await commit(`delete from narrations where id = ${target.narrationId}`)
  const books = await bench.books(userId)
  assertBooks(books)
  const row = books.transactions.find((entry) => entry.id === charged)
  assert.deepEqual([row?.narrationId, row?.amount, row?.status], [null, -3, 'applied'])
})

test('applied becomes refunded, once, and never back', async () => {
  const userId = await bench.newUser()
  await grant(userId)
  const charged = await charge(userId, await bench.newNarration(userId))
  await commit(`update credit_transactions set status = 'refunded', updated_at = now() where id = ${charged}`)
  const back = `update credit_transactions set status = 'applied' where id = ${charged}`
  await refused(integrity, 'ledger_append_only', back)
})

test('the scrub of an account in deletion: reasons become admin_grant, metadata empty, nothing more', async () => {
  const kept = 'ledger_append_only'
  const userId = await bench.newUser()
  await commit(
    lotRow({ user_id: userId }),
    transactionRow({ user_id: userId, reason: `'for Anna of Opole'`, metadata: `'{"note": "Anna"}'` }),
    allocation(lastTransaction, lastLot, 5),
  )
  const rows = `where user_id = ${userId}`
  const scrub = `update credit_transactions set reason = 'admin_grant', metadata = '{}', updated_at = now() ${rows}`
  await refused(integrity, kept, scrub)
  await commit(`update users set status = 'deleting' where id = ${userId}`)
  await refused(
    integrity,
    kept,
    `update credit_transactions set reason = 'another text', metadata = '{}' ${rows}`,
  )
  await refused(integrity, kept, `update credit_transactions set metadata = '{"note": "Ewa"}' ${rows}`)
  await refused(integrity, kept, `update credit_transactions set amount = 4, reason = 'admin_grant' ${rows}`)
  await commit(scrub)
  const [row] = (await bench.books(userId)).transactions
  assert.deepEqual([row?.reason, row?.metadata, row?.amount], ['admin_grant', {}, 5])
})

test('legal changes of a lot: expiry and date of change', async () => {
  await commit(
    `update credit_lots set expires_at = now() + interval '7 days', updated_at = now() where id = ${foreignLot}`,
  )
  await commit(`update credit_lots set expires_at = null where id = ${foreignLot}`)
  const [row] = (await bench.books(other)).lots
  assert.deepEqual([row?.expiresAt, row?.remaining], [null, 10])
})

test('the cached balance is never negative', async () => {
  await refused(
    check,
    'users_credits_balance_check',
    `update users set credits_balance = -1 where id = ${owner}`,
  )
})

test('a real race for the open debit of a narration: the second waits and is refused', async () => {
  const userId = await bench.newUser()
  await grant(userId)
  const target = await bench.newNarration(userId)
  const lotId = await firstLot(userId)
  const rival = new pg.Client({ connectionString: bench.test.url })
  await rival.connect()
  try {
    const row = transactionRow({
      user_id: userId,
      type: `'debit'`,
      amount: -1,
      narration_id: target.narrationId,
    })
    await rival.query('begin')
    await rival.query(row)
    await rival.query(`update credit_lots set amount_remaining = amount_remaining - 1 where id = ${lotId}`)
    await rival.query(allocation(lastTransaction, lotId, -1))
    const second = assert.rejects(
      commit(row),
      (error: unknown) => violatedConstraint(error) === 'uq_credit_tx_open_debit',
    )
    await rival.query('commit')
    await second
  } finally {
    await rival.end()
  }
  assertBooks({ ...(await bench.books(userId)), cachedAt: null })
})
