import { sql } from 'kysely'
import type { Db, Tx } from '../../platform/db/database.ts'

export interface Lot {
  id: number
  source: string
  amountGranted: number
  amountRemaining: number
  expiresAt: Date | null
  createdAt: Date
  updatedAt: Date
}

export interface Transaction {
  id: number
  userId: number
  type: 'credit' | 'debit' | 'refund' | 'expire'
  amount: number
  status: string
  reason: string
  narrationId: number | null
  storyId: number | null
  metadata: unknown
  createdAt: Date
  updatedAt: Date
}

type LotRow = {
  id: number
  source: string
  amount_granted: number
  amount_remaining: number
  expires_at: Date | null
  created_at: Date
  updated_at: Date
}

export const lotColumns = [
  'id',
  'source',
  'amount_granted',
  'amount_remaining',
  'expires_at',
  'created_at',
  'updated_at',
] as const

export const toLot = (row: LotRow): Lot => ({
  id: row.id,
  source: row.source,
  amountGranted: row.amount_granted,
  amountRemaining: row.amount_remaining,
  expiresAt: row.expires_at,
  createdAt: row.created_at,
  updatedAt: row.updated_at,
})

/** First lock of every transaction that touches money; false when there is no such user. */
export const lockUser = async (tx: Tx, userId: number): Promise<boolean> => {
  const row = await tx
    .selectFrom('users')
    .select('id')
    .where('id', '=', userId)
    .forNoKeyUpdate()
    .executeTakeFirst()
  return row !== undefined
}

/** The user's lots that hold points, locked in id order. */
export const lockOpenLots = async (tx: Tx, userId: number): Promise<Lot[]> => {
  const rows = await tx
    .selectFrom('credit_lots')
    .select(lotColumns)
    .where('user_id', '=', userId)
    .where('amount_remaining', '>', 0)
    .orderBy('id')
    .forUpdate()
    .execute()
  return rows.map(toLot)
}

/** What a transaction took from or gave to each lot, the lots locked in id order. */
export const lockAllocatedLots = async (
  tx: Tx,
  transactionId: number,
): Promise<{ lot: Lot; amount: number }[]> => {
  const rows = await tx
    .selectFrom('credit_transaction_allocations as a')
    .innerJoin('credit_lots as l', 'l.id', 'a.lot_id')
    .select(['a.amount', ...lotColumns.map((name) => `l.${name}` as const)])
    .where('a.transaction_id', '=', transactionId)
    .orderBy('l.id')
    .forUpdate('l')
    .execute()
  return rows.map((row) => ({ lot: toLot(row), amount: row.amount }))
}

export const insertLot = async (
  tx: Tx,
  lot: { userId: number; source: string; amount: number; expiresAt: Date | null; now: Date },
): Promise<number> => {
  const row = await tx
    .insertInto('credit_lots')
    .values({
      user_id: lot.userId,
      source: lot.source,
      amount_granted: lot.amount,
      amount_remaining: lot.amount,
      expires_at: lot.expiresAt,
      created_at: lot.now,
      updated_at: lot.now,
    })
    .returning('id')
    .executeTakeFirstOrThrow()
  return row.id
}

/** Adds `delta` (signed) to a lot; optionally moves its expiry. */
export const changeLot = async (
  tx: Tx,
  lotId: number,
  delta: number,
  now: Date,
  expiresAt?: Date,
): Promise<void> => {
  await tx
    .updateTable('credit_lots')
    .set((eb) => ({
      amount_remaining: eb('amount_remaining', '+', delta),
      updated_at: now,
      ...(expiresAt === undefined ? {} : { expires_at: expiresAt }),
    }))
    .where('id', '=', lotId)
    .execute()
}

export interface NewTransaction {
  userId: number
  type: Transaction['type']
  amount: number
  reason: string
  now: Date
  narrationId?: number | null
  storyId?: number | null
  refundOf?: number
  grantKey?: string
  actor?: number
  metadata?: Record<string, string | number | boolean | null>
}

/** One ledger row with its allocations. */
export const insertTransaction = async (
  tx: Tx,
  row: NewTransaction,
  allocations: readonly { lotId: number; amount: number }[],
): Promise<number> => {
  const { id } = await tx
    .insertInto('credit_transactions')
    .values({
      user_id: row.userId,
      type: row.type,
      amount: row.amount,
      reason: row.reason,
      narration_id: row.narrationId ?? null,
      story_id: row.storyId ?? null,
      refund_of_transaction_id: row.refundOf ?? null,
      grant_key: row.grantKey ?? null,
      actor: row.actor ?? null,
      metadata: JSON.stringify(row.metadata ?? {}),
      created_at: row.now,
      updated_at: row.now,
    })
    .returning('id')
    .executeTakeFirstOrThrow()
  await tx
    .insertInto('credit_transaction_allocations')
    .values(allocations.map(({ lotId, amount }) => ({ transaction_id: id, lot_id: lotId, amount })))
    .execute()
  return id
}

export const findByGrantKey = async (
  tx: Tx,
  grantKey: string,
): Promise<{ id: number; amount: number } | null> =>
  (await tx
    .selectFrom('credit_transactions')
    .select(['id', 'amount'])
    .where('grant_key', '=', grantKey)
    .executeTakeFirst()) ?? null

export const findOpenDebit = async (tx: Tx, userId: number, narrationId: number): Promise<number | null> => {
  const row = await tx
    .selectFrom('credit_transactions')
    .select('id')
    .where('user_id', '=', userId)
    .where('narration_id', '=', narrationId)
    .where('type', '=', 'debit')
    .where('status', '=', 'applied')
    .executeTakeFirst()
  return row?.id ?? null
}

export const transactionColumns = [
  'id',
  'user_id',
  'type',
  'amount',
  'status',
  'reason',
  'narration_id',
  'story_id',
  'metadata',
  'created_at',
  'updated_at',
] as const

export const findTransaction = async (tx: Tx, id: number): Promise<Transaction | null> => {
  const row = await tx
    .selectFrom('credit_transactions')
    .select(transactionColumns)
    .where('id', '=', id)
    .executeTakeFirst()
  return row ? toTransaction(row) : null
}

export const toTransaction = (row: {
  id: number
  user_id: number
  type: string
  amount: number
  status: string
  reason: string
  narration_id: number | null
  story_id: number | null
  metadata: unknown
  created_at: Date
  updated_at: Date
}): Transaction => ({
  id: row.id,
  userId: row.user_id,
  type: row.type === 'credit' || row.type === 'debit' || row.type === 'refund' ? row.type : 'expire',
  amount: row.amount,
  status: row.status,
  reason: row.reason,
  narrationId: row.narration_id,
  storyId: row.story_id,
  metadata: row.metadata,
  createdAt: row.created_at,
  updatedAt: row.updated_at,
})

/** applied → refunded; false when someone else was first. */
export const markRefunded = async (tx: Tx, id: number, now: Date): Promise<boolean> => {
  const result = await tx
    .updateTable('credit_transactions')
    .set({ status: 'refunded', updated_at: now })
    .where('id', '=', id)
    .where('status', '=', 'applied')
    .executeTakeFirst()
  return result.numUpdatedRows > 0n
}

/** Points that can be spent at `now`. */
export const spendable = async (db: Db, userId: number, now: Date): Promise<number> => {
  const row = await db
    .selectFrom('credit_lots')
    .select((eb) => eb.fn.coalesce(eb.fn.sum<number>('amount_remaining'), sql<number>`0`).as('points'))
    .where('user_id', '=', userId)
    .where('amount_remaining', '>', 0)
    .where((eb) => eb.or([eb('expires_at', 'is', null), eb('expires_at', '>', now)]))
    .executeTakeFirstOrThrow()
  return row.points
}

export const storeBalance = async (tx: Tx, userId: number, balance: number, now: Date): Promise<void> => {
  await tx
    .updateTable('users')
    .set({ credits_balance: balance, credits_balance_at: now })
    .where('id', '=', userId)
    .execute()
}

export const cachedBalance = async (db: Db, userId: number): Promise<number> => {
  const row = await db
    .selectFrom('users')
    .select('credits_balance')
    .where('id', '=', userId)
    .executeTakeFirst()
  return row?.credits_balance ?? 0
}
