import type { Db, Tx } from '../../platform/db/database.ts'
import type { LotSource } from '../credits/credits.ts'
import type { GrantRequest } from './grant-request.ts'

export interface WaitingGrant extends GrantRequest {
  id: number
  userId: number
  status: 'waiting' | 'approved' | 'rejected'
  requestedBy: number
  requestedAt: Date
  /** Until when it can be approved. */
  approvableUntil: Date
  decidedBy: number | null
  decidedAt: Date | null
  /** The `credit` row, once approved. */
  transactionId: number | null
}

const columns = [
  'id',
  'user_id',
  'amount',
  'source',
  'reason',
  'grant_expires_at',
  'status',
  'requested_by',
  'requested_at',
  'expires_at',
  'decided_by',
  'decided_at',
  'transaction_id',
] as const

const select = (db: Db) => db.selectFrom('waiting_grants').select(columns)
type Row = NonNullable<Awaited<ReturnType<ReturnType<typeof select>['executeTakeFirst']>>>

const sources: readonly LotSource[] = ['event', 'monthly', 'referral', 'add_on', 'free']

const toWaitingGrant = (row: Row): WaitingGrant => {
  const source = sources.find((known) => known === row.source)
  if (!source) throw new Error(`waiting grant ${row.id}: unknown source`)
  return {
    id: row.id,
    userId: row.user_id,
    amount: row.amount,
    source,
    reason: row.reason,
    expiresAt: row.grant_expires_at,
    status: row.status === 'approved' || row.status === 'rejected' ? row.status : 'waiting',
    requestedBy: row.requested_by,
    requestedAt: row.requested_at,
    approvableUntil: row.expires_at,
    decidedBy: row.decided_by,
    decidedAt: row.decided_at,
    transactionId: row.transaction_id,
  }
}

export const insertWaitingGrant = async (
  tx: Tx,
  grant: GrantRequest & { userId: number; requestedBy: number; now: Date; approvableUntil: Date },
): Promise<WaitingGrant> => {
  const row = await tx
    .insertInto('waiting_grants')
    .values({
      user_id: grant.userId,
      amount: grant.amount,
      source: grant.source,
      reason: grant.reason,
      grant_expires_at: grant.expiresAt,
      requested_by: grant.requestedBy,
      requested_at: grant.now,
      expires_at: grant.approvableUntil,
    })
    .returning(columns)
    .executeTakeFirstOrThrow()
  return toWaitingGrant(row)
}

export const findWaitingGrant = async (db: Db, id: number): Promise<WaitingGrant | null> => {
  const row = await select(db).where('id', '=', id).executeTakeFirst()
  return row ? toWaitingGrant(row) : null
}

/** To be called under the lock of the user. */
export const lockWaitingGrant = async (tx: Tx, id: number): Promise<WaitingGrant | null> => {
  const row = await select(tx).where('id', '=', id).forUpdate().executeTakeFirst()
  return row ? toWaitingGrant(row) : null
}

/** waiting → approved or rejected; null when somebody else has decided. */
export const decideWaitingGrant = async (
  tx: Tx,
  id: number,
  decision: { status: 'approved' | 'rejected'; decidedBy: number; now: Date; transactionId: number | null },
): Promise<WaitingGrant | null> => {
  const row = await tx
    .updateTable('waiting_grants')
    .set({
      status: decision.status,
      decided_by: decision.decidedBy,
      decided_at: decision.now,
      transaction_id: decision.transactionId,
    })
    .where('id', '=', id)
    .where('status', '=', 'waiting')
    .returning(columns)
    .executeTakeFirst()
  return row ? toWaitingGrant(row) : null
}

/** Those that can still be approved, oldest first. */
export const listWaitingGrants = async (db: Db, now: Date, limit: number): Promise<WaitingGrant[]> =>
  (
    await select(db)
      .where('status', '=', 'waiting')
      .where('expires_at', '>', now)
      .orderBy('id')
      .limit(limit)
      .execute()
  ).map(toWaitingGrant)

/** The account is being deleted: nobody can approve, and what was written about it goes. */
export const eraseWaitingGrants = async (tx: Tx, userId: number): Promise<void> => {
  await tx
    .updateTable('waiting_grants')
    .set({ reason: 'admin_grant' })
    .where('user_id', '=', userId)
    .where('reason', '<>', 'admin_grant')
    .execute()
}
