import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import type { Clock } from '../src/platform/clock.ts'
import { executeRaw, type Database, type Tx } from '../src/platform/db/database.ts'
import { createCredits, type Credits } from '../src/features/credits/credits.ts'
import { createTestDatabase, type TestDatabase } from './database.ts'

export const hourMs = 3_600_000
export const dayMs = 24 * hourMs

export interface ManualClock extends Clock {
  advance(ms: number): void
}

/** A clock that stands still until it is moved. */
export const manualClock = (start = '2026-03-01T12:00:00.000Z'): ManualClock => {
  let now = Date.parse(start)
  return {
    now: () => new Date(now),
    advance: (ms) => {
      now += ms
    },
  }
}

export const defaultPriority = ['event', 'monthly', 'referral', 'add_on', 'free']

export interface Books {
  /** The cached balance and when it was computed. */
  cached: number
  cachedAt: Date | null
  lots: {
    id: number
    source: string
    granted: number
    remaining: number
    expiresAt: Date | null
    createdAt: Date
  }[]
  transactions: {
    id: number
    type: string
    amount: number
    status: string
    reason: string
    narrationId: number | null
    refundOf: number | null
    metadata: unknown
    allocations: { lotId: number; amount: number }[]
  }[]
}

/** Everything the ledger holds of one user, lots and transactions by id. */
export const readBooks = async (database: Database, userId: number): Promise<Books> => {
  const [user, lots, transactions, allocations] = await Promise.all([
    database.read
      .selectFrom('users')
      .select(['credits_balance', 'credits_balance_at'])
      .where('id', '=', userId)
      .executeTakeFirstOrThrow(),
    database.read.selectFrom('credit_lots').selectAll().where('user_id', '=', userId).orderBy('id').execute(),
    database.read
      .selectFrom('credit_transactions')
      .selectAll()
      .where('user_id', '=', userId)
      .orderBy('id')
      .execute(),
    database.read
      .selectFrom('credit_transaction_allocations as a')
      .innerJoin('credit_transactions as t', 't.id', 'a.transaction_id')
      .select(['a.transaction_id', 'a.lot_id', 'a.amount'])
      .where('t.user_id', '=', userId)
      .orderBy('a.lot_id')
      .execute(),
  ])
  return {
    cached: user.credits_balance,
    cachedAt: user.credits_balance_at,
    lots: lots.map((row) => ({
      id: row.id,
      source: row.source,
      granted: row.amount_granted,
      remaining: row.amount_remaining,
      expiresAt: row.expires_at,
      createdAt: row.created_at,
    })),
    transactions: transactions.map((row) => ({
      id: row.id,
      type: row.type,
      amount: row.amount,
      status: row.status,
      reason: row.reason,
      narrationId: row.narration_id,
      refundOf: row.refund_of_transaction_id,
      metadata: row.metadata,
      allocations: allocations
        .filter((part) => part.transaction_id === row.id)
        .map((part) => ({
          lotId: part.lot_id,
          amount: part.amount,
        })),
    })),
  }
}

export const spendableOf = (books: Books, now: Date): number =>
  sum(books.lots.filter((lot) => lot.expiresAt === null || lot.expiresAt > now).map((lot) => lot.remaining))

export const sum = (numbers: readonly number[]): number =>
  numbers.reduce((total, number) => total + number, 0)

/** The invariants I1 to I5 of one user's books; the cache is compared at the time it was computed. */
export const assertBooks = (books: Books): void => {
  if (books.cachedAt)
    assert.equal(books.cached, spendableOf(books, books.cachedAt), 'I1: the cache equals the lots')
  for (const lot of books.lots) {
    assert.ok(lot.remaining >= 0 && lot.remaining <= lot.granted, `I2: lot ${lot.id} holds ${lot.remaining}`)
    const parts = books.transactions.flatMap((row) => row.allocations).filter((part) => part.lotId === lot.id)
    assert.equal(sum(parts.map((part) => part.amount)), lot.remaining, `I2: allocations of lot ${lot.id}`)
  }
  for (const row of books.transactions) {
    const sign = row.type === 'credit' || row.type === 'refund' ? 1 : -1
    assert.equal(Math.sign(row.amount), sign, `I3: sign of ${row.type} ${row.amount}`)
    assert.equal(
      sum(row.allocations.map((part) => part.amount)),
      row.amount,
      `I3: allocations of ${row.type} ${row.id}`,
    )
    assert.ok(row.allocations.every((part) => Math.sign(part.amount) === sign))
  }
  const total = sum(books.transactions.map((row) => row.amount))
  assert.equal(total, sum(books.lots.map((lot) => lot.remaining)), 'I4: transactions equal lots')
  assertRefunds(books)
}

const assertRefunds = (books: Books): void => {
  const open = books.transactions.filter((row) => row.type === 'debit' && row.status === 'applied')
  const narrations = open.map((row) => row.narrationId).filter((id) => id !== null)
  assert.equal(new Set(narrations).size, narrations.length, 'I5: one applied debit a narration')
  for (const row of books.transactions) {
    const refunds = books.transactions.filter((other) => other.refundOf === row.id)
    assert.equal(refunds.length, row.status === 'refunded' ? 1 : 0, `I5: refunds of ${row.id}`)
    const [refund] = refunds
    if (!refund) continue
    assert.equal(refund.amount, -row.amount, 'I5: a refund has the amount of its debit')
    assert.deepEqual(
      refund.allocations,
      row.allocations.map((part) => ({ lotId: part.lotId, amount: -part.amount })),
      'I5: a refund gives each lot what was taken from it',
    )
  }
}

export interface Narration {
  narrationId: number
  storyId: number
}

export interface LedgerBench {
  test: TestDatabase
  database: Database
  clock: ManualClock
  credits: Credits
  newUser(): Promise<number>
  /** A narration of the user with a voice of its own, so that any number fits one story. */
  newNarration(userId: number): Promise<Narration>
  books(userId: number): Promise<Books>
  close(): Promise<void>
}

const insertReturningId = async (tx: Tx, statement: string, values: readonly unknown[]): Promise<number> =>
  Number((await executeRaw(tx, `${statement} returning id`, values)).rows[0]?.['id'])

/** A migrated database with a ledger that runs by a clock the test moves. */
export const openLedger = async (): Promise<LedgerBench> => {
  const test = await createTestDatabase()
  const { database } = test
  const clock = manualClock()
  const config = {
    unitLabel: 'Story Points (Punkty Magii)',
    unitSize: 1000,
    sourcesPriority: defaultPriority,
  }
  const storyId = await database.transaction((tx) =>
    insertReturningId(
      tx,
      `insert into stories (title, content) values ('Latarnia', 'Była sobie latarnia.')`,
      [],
    ),
  )
  return {
    test,
    database,
    clock,
    credits: createCredits({
      clock,
      config,
    }),
    newUser: () =>
      database.transaction((tx) =>
        insertReturningId(tx, 'insert into users (email) values ($1)', [
          `${randomBytes(8).toString('hex')}@example.test`,
        ]),
      ),
    newNarration: (userId) =>
      database.transaction(async (tx) => {
        const voice = `insert into voices (user_id, name, provider, created_at, updated_at) values ($1, 'Mama', 'local', $2, $2)`
        const voiceId = await insertReturningId(tx, voice, [userId, clock.now()])
        const narration = `insert into narrations (story_id, voice_id, user_id, created_at, updated_at) values ($1, $2, $3, $4, $4)`
        const narrationId = await insertReturningId(tx, narration, [storyId, voiceId, userId, clock.now()])
        return {
          narrationId,
          storyId,
        }
      }),
    books: (userId) => readBooks(database, userId),
    close: () => test.close(),
  }
}
