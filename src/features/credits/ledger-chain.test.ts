import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import pg from 'pg'
import { violatedConstraint } from '../../platform/db/database.ts'
import {
  allocation,
  check,
  integrity,
  lastLot,
  lastTransaction,
  lotRow,
  openHandWriter,
  transactionRow,
  type HandWriter,
} from '../../../test/ledger-by-hand.ts'
import { assertBooks, openLedger, type LedgerBench } from '../../../test/ledger-fixtures.ts'

// Each allocation continues the one before it: that is why the last one tells what the lot holds (migration 0010).

let bench: LedgerBench
let writer: HandWriter
let owner: number
/** A lot of ten points with three links: +10, −3, −2. */
let lot: number

before(async () => {
  bench = await openLedger()
  owner = await bench.newUser()
  await bench.database.transaction((tx) =>
    bench.credits.grant(tx, { userId: owner, amount: 10, source: 'free', reason: 'initial_grant' }),
  )
  for (const amount of [3, 2])
    await bench.database.transaction((tx) => bench.credits.debit(tx, { userId: owner, amount, reason: 'x' }))
  lot = (await bench.books(owner)).lots[0]?.id ?? 0
  writer = await openHandWriter(bench.test.url, () => bench.books(owner))
})
after(async () => {
  await writer.close()
  await bench.close()
})

const chain = async () =>
  (
    await writer.client.query<{ amount: number; position: number; balance_after: number }>(
      'select amount, position, balance_after from credit_transaction_allocations where lot_id = $1 order by position',
      [lot],
    )
  ).rows.map((row) => [row.position, row.amount, row.balance_after])

const expire = (amount: number): string => transactionRow(owner, { type: `'expire'`, amount })
const setLot = (points: number): string =>
  `update credit_lots set amount_remaining = ${points} where id = ${lot}`

test('the module writes links without a gap', async () => {
  assert.deepEqual(await chain(), [
    [1, 10, 10],
    [2, -3, 7],
    [3, -2, 5],
  ])
})

test('a gap is refused, at the end and at the beginning', async () => {
  const gap = 'credit_allocation_chain'
  await writer.refused(
    integrity,
    gap,
    setLot(4),
    expire(-1),
    allocation(lastTransaction, lot, -1, { position: 5 }),
  )
  await writer.refused(
    integrity,
    gap,
    lotRow(owner),
    transactionRow(owner),
    allocation(lastTransaction, lastLot, 5, { position: 2 }),
  )
  await writer.refused(
    check,
    'credit_allocations_position_check',
    lotRow(owner),
    transactionRow(owner),
    allocation(lastTransaction, lastLot, 5, { position: 0 }),
  )
})

test('a forged balance is refused, also when the lot says the same', async () => {
  const forged = 'credit_allocation_chain'
  for (const balanceAfter of [3, 5, 6, 9])
    await writer.refused(
      integrity,
      forged,
      setLot(balanceAfter),
      expire(-1),
      allocation(lastTransaction, lot, -1, { balanceAfter }),
    )
  await writer.refused(
    integrity,
    forged,
    lotRow(owner, { amount_granted: 9, amount_remaining: 9 }),
    transactionRow(owner),
    allocation(lastTransaction, lastLot, 5, { balanceAfter: 9 }),
  )
  await writer.refused(
    check,
    'credit_allocations_balance_check',
    expire(-6),
    allocation(lastTransaction, lot, -6),
  )
  for (const column of ['position', 'balance_after'])
    await writer.refused(
      '23502',
      null,
      expire(-1),
      `insert into credit_transaction_allocations (transaction_id, lot_id, amount, ${column})
       values (${lastTransaction}, ${lot}, -1, 4)`,
    )
})

test('two rows of one position are refused, and so is rewriting a link', async () => {
  await writer.refused(
    '23505',
    'uq_credit_allocations_position',
    setLot(4),
    expire(-1),
    allocation(lastTransaction, lot, -1, { position: 3, balanceAfter: 6 }),
  )
  for (const change of ['position = 9', 'balance_after = 9'])
    await writer.refused(
      integrity,
      'ledger_append_only',
      `update credit_transaction_allocations set ${change} where lot_id = ${lot} and position = 3`,
    )
})

test('the last link decides, not one in between', async () => {
  // 7 is what the second link left.
  await writer.refused(integrity, 'credit_lot_balanced', setLot(7))
})

test('one statement may write several links, in any order', async () => {
  const userId = await bench.newUser()
  await writer.commit(
    lotRow(userId, { amount_remaining: 3 }),
    transactionRow(userId),
    transactionRow(userId, { type: `'expire'`, amount: -2 }),
    `insert into credit_transaction_allocations (transaction_id, lot_id, amount, position, balance_after)
     values (${lastTransaction}, ${lastLot}, -2, 2, 3), (${lastTransaction} - 1, ${lastLot}, 5, 1, 5)`,
  )
  assertBooks({ ...(await bench.books(userId)), cachedAt: null })
})

test('parallel inserts: the second waits for the first and is refused, whatever it claims', async () => {
  const rival = new pg.Client({ connectionString: bench.test.url })
  await rival.connect()
  try {
    await rival.query('begin')
    await rival.query(setLot(4))
    await rival.query(expire(-1))
    await rival.query(allocation(lastTransaction, lot, -1))
    // The same position waits for the unique index. (Of other types, or they would wait for the rival's counter before.)
    const same = assert.rejects(
      writer.commit(
        transactionRow(owner, { type: `'debit'`, amount: -1 }),
        allocation(lastTransaction, lot, -1),
      ),
      (error: unknown) => violatedConstraint(error) === 'uq_credit_allocations_position',
    )
    // The one after it has nothing visible to continue.
    const third = await openHandWriter(bench.test.url, async () => null)
    await assert.rejects(
      third.commit(
        transactionRow(owner, { amount: 1 }),
        allocation(lastTransaction, lot, 1, { position: 5, balanceAfter: 5 }),
      ),
      (error: unknown) => violatedConstraint(error) === 'credit_allocation_chain',
    )
    await third.close()
    await rival.query('commit')
    await same
  } finally {
    await rival.end()
  }
  assert.deepEqual((await chain()).at(-1), [4, -1, 4])
})

test('the check of a lot looks at its newest link alone', async () => {
  await writer.client.query('set enable_seqscan = off')
  const { rows } = await writer.client.query<{ 'QUERY PLAN': string }>(
    `explain select balance_after from credit_transaction_allocations
     where lot_id = 1 order by position desc limit 1`,
  )
  const plan = rows.map((row) => row['QUERY PLAN']).join('\n')
  assert.match(plan, /Limit[^]*Index Scan Backward using uq_credit_allocations_position/)
  assert.doesNotMatch(plan, /Sort/)
})

test('counters follow the rows, one an insert', async () => {
  const { rows } = await writer.client.query<{ type: string; kept: number; counted: string }>(
    `select t.type, c.transactions as kept, count(*) as counted from credit_transactions t
     join credit_history_counts c using (user_id, type) where user_id = $1 group by 1, 2 order by 1`,
    [owner],
  )
  assert.deepEqual(
    rows.map((row) => [row.type, row.kept]),
    rows.map((row) => [row.type, Number(row.counted)]),
  )
  assert.deepEqual(
    rows.map((row) => row.type),
    ['credit', 'debit', 'expire'],
  )
})
