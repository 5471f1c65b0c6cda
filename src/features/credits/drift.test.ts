import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { Type } from 'typebox'
import { Value } from 'typebox/value'
import { listRuns } from '../../platform/jobs/job-runs.ts'
import { hourMs, openLedger, type LedgerBench } from '../../../test/ledger-fixtures.ts'
import { newPurchase } from '../../../test/ledger-purchases.ts'
import { recordingLogger } from '../../../test/logger.ts'
import { createCheckLedger, createLedgerCheck, type LedgerCheck } from './credits.ts'

let bench: LedgerBench
let ledgerCheck: LedgerCheck
before(async () => {
  bench = await openLedger()
  ledgerCheck = createLedgerCheck({ database: bench.database })
})
after(() => bench.close())

const grant = (userId: number, amount: number, own: { purchaseId?: number; expiresAt?: Date } = {}) =>
  bench.database.transaction((tx) =>
    bench.credits.grant(tx, { userId, amount, source: 'free', reason: 'initial_grant', ...own }),
  )

/** An account with a bit of everything: grants, an expired lot, debits, refunds, an attempt. */
const scene = async () => {
  const userId = await bench.newUser()
  await grant(userId, 10)
  await grant(userId, 5, { expiresAt: new Date(bench.clock.now().getTime() + hourMs) })
  const narration = await bench.newNarration(userId)
  const debit = (amount: number) =>
    bench.database.transaction((tx) =>
      bench.credits.debit(tx, { userId, amount, reason: 'audio_synthesis:1', ...narration }),
    )
  const first = await debit(7)
  await bench.database.transaction((tx) => bench.credits.refund(tx, first.transactionId, 'synthesis_failed'))
  const open = await debit(3)
  return { userId, narration, refunded: first.transactionId, open: open.transactionId }
}

/** Changes that no trigger lets through are made with the triggers off. */
const force = async (text: string, values: unknown[] = []): Promise<void> => {
  const client = await bench.database.pool.connect()
  try {
    await client.query('begin')
    await client.query('set local session_replication_role = replica')
    await client.query(text, values)
    await client.query('commit')
  } finally {
    // Drops the connection, and with it whatever is left of a broken transaction.
    client.release(true)
  }
}

const findings = async (userId: number) =>
  ((await ledgerCheck.checkUser(userId))?.findings ?? []).map((each) => [
    each.kind,
    each.expected,
    each.found,
  ])
const kinds = async (userId: number) => (await findings(userId)).map(([kind]) => kind).sort()

test('books that the module wrote are clean, before and after the clock passes an expiry', async () => {
  const { userId } = await scene()
  assert.deepEqual(await ledgerCheck.checkUser(userId), {
    usersChecked: 1,
    usersWithDrift: 0,
    findings: [],
  })
  bench.clock.advance(2 * hourMs)
  assert.deepEqual(await findings(userId), [])
  assert.equal(await ledgerCheck.checkUser(2_000_000_000), null)
})

test('a tampered cache names the user, what it should be and what it is', async () => {
  const { userId } = await scene()
  await force('update users set credits_balance = 99 where id = $1', [userId])
  assert.deepEqual((await ledgerCheck.checkUser(userId))?.findings, [
    { userId, kind: 'cached_balance', subject: `user ${userId}`, expected: 12, found: 99 },
  ])
  await bench.database.transaction((tx) => bench.credits.fixBalance(tx, userId))
  assert.deepEqual(await findings(userId), [])
})

const tampers: [what: string, statement: string, expected: string[]][] = [
  [
    'a lot that holds less than its movements',
    `update credit_lots set amount_remaining = amount_remaining - 1 where id = (select min(id) from credit_lots where user_id = $1)`,
    ['cached_balance', 'lot_balance', 'user_total'],
  ],
  [
    'a broken chain',
    `update credit_transaction_allocations set position = position + 5 where position > 1 and lot_id = (select min(id) from credit_lots where user_id = $1)`,
    ['lot_chain'],
  ],
  [
    'a forged balance in the chain',
    `update credit_transaction_allocations set balance_after = balance_after + 1 where position = 1 and lot_id = (select min(id) from credit_lots where user_id = $1)`,
    ['lot_chain'],
  ],
  [
    'a changed amount of a transaction',
    `update credit_transactions set amount = -4 where user_id = $1 and type = 'debit' and status = 'applied'`,
    ['transaction_amount', 'user_total'],
  ],
  [
    'a refunded debit without its refund',
    `update credit_transactions set status = 'refunded' where user_id = $1 and type = 'debit' and status = 'applied'`,
    ['refund_rows'],
  ],
  [
    'a refund of a debit that still counts',
    `update credit_transactions set status = 'applied', narration_id = null where user_id = $1 and type = 'debit' and status = 'refunded'`,
    ['refund_rows'],
  ],
  [
    'a refund of another amount',
    `update credit_transactions set amount = 6 where user_id = $1 and type = 'refund'`,
    ['refund_amount', 'transaction_amount', 'user_total'],
  ],
  [
    'a lost counter',
    `delete from credit_history_counts where user_id = $1 and type = 'debit'`,
    ['history_count'],
  ],
  [
    'a wrong counter',
    `update credit_history_counts set transactions = transactions + 1 where user_id = $1 and type = 'credit'`,
    ['history_count'],
  ],
]

for (const [what, statement, expected] of tampers)
  test(`found: ${what}`, async () => {
    const { userId } = await scene()
    await force(statement, [userId])
    assert.deepEqual(await kinds(userId), expected)
  })

test('found: a part of a transaction in somebody else’s lot', async () => {
  const [{ userId, open }, other] = [await scene(), await bench.newUser()]
  await grant(other, 5)
  await force(
    `update credit_transaction_allocations set position = 2, balance_after = 2, lot_id = (select id from credit_lots where user_id = $2)
     where transaction_id = $1`,
    [open, other],
  )
  assert.deepEqual((await kinds(userId)).includes('transaction_parts'), true)
  assert.deepEqual(await kinds(other), ['lot_balance'])
})

const attempt = (narrationId: number, stage: string, debitId: number) =>
  force(
    `insert into narration_attempts (narration_id, kind, stage, text, text_sha256, provider, model, parts_total, debit_id,
       accepted_at, wait_deadline, ended_at)
     values ($1, 'paid', $2, 'x', sha256('x'), 'local', 'm', 1, $3, now(), now(),
       case when $2 in ('done', 'failed', 'cancelled') then now() end)`,
    [narrationId, stage, debitId],
  )

test('attempts and their debits: the lawful pairs are clean, each unlawful one is named', async () => {
  for (const [stage, which, expected] of [
    ['waiting', 'open', []],
    ['speaking', 'refunded', ['unfinished_attempt_debits']],
    ['done', 'open', []],
    ['done', 'refunded', ['finished_attempt_refunded']],
    ['failed', 'refunded', []],
    ['failed', 'open', ['failed_attempt_charged']],
    ['cancelled', 'open', ['failed_attempt_charged']],
  ] as const) {
    const made = await scene()
    await attempt(made.narration.narrationId, stage, made[which])
    assert.deepEqual(await kinds(made.userId), expected, `${stage} with a debit that is ${which}`)
  }
})

test('points left on a purchase that was refunded are found, and gone after the claw-back', async () => {
  const userId = await bench.newUser()
  const purchaseId = await newPurchase(bench, userId)
  await grant(userId, 6, { purchaseId })
  await bench.database.pool.query('update store_purchases set is_refunded = true where id = $1', [purchaseId])
  assert.deepEqual(await findings(userId), [['refunded_purchase_points', 0, 6]])
  await bench.database.transaction((tx) => bench.credits.clawBack(tx, purchaseId))
  assert.deepEqual(await findings(userId), [])
})

test('the job keeps the number of accounts with drift and logs what it found; checks of others are asked, too', async () => {
  const { usersWithDrift } = await ledgerCheck.checkAll()
  const logger = recordingLogger()
  const seen: number[] = []
  const more = createLedgerCheck({
    database: bench.database,
    moreChecks: [
      async (_tx, userIds) => [
        { userId: userIds[0] ?? 0, kind: 'overdue_month', subject: 'purchase 1', expected: 1, found: 0 },
      ],
    ],
  })
  const job = createCheckLedger({
    database: bench.database,
    clock: bench.clock,
    logger,
    ledgerCheck: more,
    onChecked: (count) => seen.push(count),
  })
  await job.run({}, { jobId: '1', retryCount: 0, signal: new AbortController().signal })
  const last = (await listRuns(bench.database.read)).find(({ name }) => name === 'credits.check-ledger')
  const { users_with_drift: kept } = Value.Parse(
    Type.Object({ users_with_drift: Type.Integer() }),
    last?.result,
  )
  assert.ok(usersWithDrift > 5, String(usersWithDrift))
  assert.ok(kept >= usersWithDrift)
  assert.deepEqual(seen, [kept])
  const logged = logger.lines.filter(({ message }) => message === 'ledger drift')
  assert.ok(logged.some(({ fields }) => fields['kind'] === 'overdue_month'))
  assert.ok(logged.length > usersWithDrift)
})

test('writers at work are no drift', async () => {
  const userId = await bench.newUser()
  await grant(userId, 1000)
  const over = new AbortController()
  const write = async () => {
    while (!over.signal.aborted) {
      const { transactionId } = await bench.database.transaction((tx) =>
        bench.credits.debit(tx, { userId, amount: 1, reason: 'x' }),
      )
      await bench.database.transaction((tx) => bench.credits.refund(tx, transactionId, 'synthesis_failed'))
    }
  }
  const writers = Promise.all([write(), write()])
  for (let count = 0; count < 15; count += 1) assert.deepEqual(await findings(userId), [])
  over.abort()
  await writers
})
