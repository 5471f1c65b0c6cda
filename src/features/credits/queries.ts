import { sql } from 'kysely'
import type { Db } from '../../platform/db/database.ts'

export interface Lot {
  id: number
  userId: number
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
  purchaseId: number | null
  metadata: unknown
  createdAt: Date
  updatedAt: Date
}

type LotRow = {
  id: number
  user_id: number
  source: string
  amount_granted: number
  amount_remaining: number
  expires_at: Date | null
  created_at: Date
  updated_at: Date
}

export const lotColumns = [
  'id',
  'user_id',
  'source',
  'amount_granted',
  'amount_remaining',
  'expires_at',
  'created_at',
  'updated_at',
] as const

export const toLot = (row: LotRow): Lot => ({
  id: row.id,
  userId: row.user_id,
  source: row.source,
  amountGranted: row.amount_granted,
  amountRemaining: row.amount_remaining,
  expiresAt: row.expires_at,
  createdAt: row.created_at,
  updatedAt: row.updated_at,
})

export const transactionColumns = [
  'id',
  'user_id',
  'type',
  'amount',
  'status',
  'reason',
  'narration_id',
  'story_id',
  'purchase_id',
  'metadata',
  'created_at',
  'updated_at',
] as const

export const findTransaction = async (db: Db, id: number): Promise<Transaction | null> => {
  const row = await db
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
  purchase_id: number | null
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
  purchaseId: row.purchase_id,
  metadata: row.metadata,
  createdAt: row.created_at,
  updatedAt: row.updated_at,
})

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
