import type { Db, Tx } from '../../platform/db/database.ts'

/** The answer that a request with this key got. */
export interface KnownGrant {
  requestHash: Buffer
  transactionId: number | null
  newBalance: number | null
  waitingGrantId: number | null
}

export const findGrantKey = async (db: Db, actorId: number, key: string): Promise<KnownGrant | null> => {
  const row = await db
    .selectFrom('admin_grant_keys')
    .select(['request_hash', 'transaction_id', 'new_balance', 'waiting_grant_id'])
    .where('actor_id', '=', actorId)
    .where('idempotency_key', '=', key)
    .executeTakeFirst()
  return row
    ? {
        requestHash: row.request_hash,
        transactionId: row.transaction_id,
        newBalance: row.new_balance,
        waitingGrantId: row.waiting_grant_id,
      }
    : null
}

/** False when another transaction has stored an answer for the key meanwhile. */
export const insertGrantKey = async (
  tx: Tx,
  row: { actorId: number; key: string; userId: number; now: Date } & KnownGrant,
): Promise<boolean> => {
  const inserted = await tx
    .insertInto('admin_grant_keys')
    .values({
      actor_id: row.actorId,
      idempotency_key: row.key,
      request_hash: row.requestHash,
      user_id: row.userId,
      transaction_id: row.transactionId,
      new_balance: row.newBalance,
      waiting_grant_id: row.waitingGrantId,
      created_at: row.now,
    })
    .onConflict((conflict) => conflict.columns(['actor_id', 'idempotency_key']).doNothing())
    .returning('actor_id')
    .executeTakeFirst()
  return inserted !== undefined
}

export interface GrantedCredit {
  id: number
  userId: number
  amount: number
  reason: string
  createdAt: Date
}

/** The `credit` row of a grant. */
export const findCredit = async (db: Db, id: number): Promise<GrantedCredit | null> => {
  const row = await db
    .selectFrom('credit_transactions')
    .select(['id', 'user_id', 'amount', 'reason', 'created_at'])
    .where('id', '=', id)
    .where('type', '=', 'credit')
    .executeTakeFirst()
  return row
    ? {
        id: row.id,
        userId: row.user_id,
        amount: row.amount,
        reason: row.reason,
        createdAt: row.created_at,
      }
    : null
}

export const findLotOwner = async (db: Db, lotId: number): Promise<number | null> => {
  const row = await db.selectFrom('credit_lots').select('user_id').where('id', '=', lotId).executeTakeFirst()
  return row?.user_id ?? null
}
