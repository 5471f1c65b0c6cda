import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { dayMs, openLedger, type LedgerBench } from '../../../test/ledger-fixtures.ts'
import { newPurchase } from '../../../test/ledger-purchases.ts'
import { reportPoints } from './credits.ts'

let bench: LedgerBench
before(async () => {
  bench = await openLedger()
})
after(() => bench.close())

test('points by month and source: each movement in its column, expired ones never as consumed', async () => {
  const { database, credits, clock } = bench
  const userId = await bench.newUser()
  const purchaseId = await newPurchase(bench, userId)
  const run = database.transaction
  const give = (amount: number, own: { source: 'free' | 'monthly'; expiresAt?: Date; purchaseId?: number }) =>
    run((tx) => credits.grant(tx, { userId, amount, reason: 'x', ...own }))
  const take = (amount: number) => run((tx) => credits.debit(tx, { userId, amount, reason: 'x' }))
  // March: 20 free that die in a week, 30 monthly of a purchase; 8 spent, of which 5 come back in May.
  await give(20, { source: 'free', expiresAt: new Date(clock.now().getTime() + 7 * dayMs) })
  await give(30, { source: 'monthly', purchaseId })
  const { transactionId } = await take(5)
  await take(3)
  clock.advance(8 * dayMs)
  await run((tx) => credits.expireDue(tx, userId))
  // Nothing in April. In May the purchase is refunded by the store, and reversed in part of the month.
  clock.advance(61 * dayMs)
  await run((tx) => credits.refund(tx, transactionId, 'synthesis_failed'))
  await run((tx) => credits.clawBack(tx, purchaseId))
  await run((tx) => credits.undoClawBack(tx, purchaseId))
  await run((tx) => credits.clawBack(tx, purchaseId))
  const report = await run((tx) => reportPoints(tx, '2026-05'))
  const row = (month: string, source: string, numbers: number[]) => {
    const [granted, consumed, expired, clawedBack, outstanding] = numbers
    return { month, source, granted, consumed, expired, clawedBack, outstanding }
  }
  assert.deepEqual(report, [
    row('2026-03', 'free', [20, 0, 20, 0, 0]),
    row('2026-03', 'monthly', [30, 8, 0, 0, 22]),
    row('2026-04', 'free', [0, 0, 0, 0, 0]),
    row('2026-04', 'monthly', [0, 0, 0, 0, 22]),
    row('2026-05', 'free', [0, 0, 0, 0, 0]),
    row('2026-05', 'monthly', [0, -5, 0, 27, 0]),
  ])
  const march = await run((tx) => reportPoints(tx, '2026-03'))
  assert.deepEqual(march, report.slice(0, 2))
  const { lots } = await bench.books(userId)
  const held = lots.reduce((total, lot) => total + lot.remaining, 0)
  assert.equal(
    report.slice(-2).reduce((total, each) => total + each.outstanding, 0),
    held,
  )
})

test('an empty ledger has an empty report', async () => {
  const empty = await openLedger()
  try {
    assert.deepEqual(await empty.database.transaction((tx) => reportPoints(tx, '2026-05')), [])
  } finally {
    await empty.close()
  }
})
