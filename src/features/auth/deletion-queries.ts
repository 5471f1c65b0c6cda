import { sql } from 'kysely'
import type { Db, Tx } from '../../platform/db/database.ts'

export const deletionStates = [
  'stop',
  'voices',
  'exports',
  'wait',
  'recheck',
  'points',
  'scrub',
  'notice',
  'done',
] as const
export type DeletionState = (typeof deletionStates)[number]

export interface Deletion {
  id: number
  userId: number
  requestedBy: string
  state: DeletionState
  attempts: number
  nextAttemptAt: Date | null
  lastFailure: string | null
  needsAttentionAt: Date | null
  notifyEmail: string | null
  noticeEmailId: number | null
  /** As stored by this feature; null until the account's rows are gone. */
  receipt: unknown
  createdAt: Date
  completedAt: Date | null
}

const columns = [
  'id',
  'user_id',
  'requested_by',
  'state',
  'attempts',
  'next_attempt_at',
  'last_failure',
  'needs_attention_at',
  'notify_email',
  'notice_email_id',
  'receipt',
  'created_at',
  'completed_at',
] as const

const select = (db: Db) => db.selectFrom('account_deletions').select(columns)
type Row = NonNullable<Awaited<ReturnType<ReturnType<typeof select>['executeTakeFirst']>>>

const toDeletion = (row: Row): Deletion => {
  const state = deletionStates.find((name) => name === row.state)
  if (!state) throw new Error('deletions: unknown state')
  return {
    id: row.id,
    userId: row.user_id,
    requestedBy: row.requested_by,
    state,
    attempts: row.attempts,
    nextAttemptAt: row.next_attempt_at,
    lastFailure: row.last_failure,
    needsAttentionAt: row.needs_attention_at,
    notifyEmail: row.notify_email,
    noticeEmailId: row.notice_email_id,
    receipt: row.receipt,
    createdAt: row.created_at,
    completedAt: row.completed_at,
  }
}

export const findDeletion = async (db: Db, id: number): Promise<Deletion | null> => {
  const row = await select(db).where('id', '=', id).executeTakeFirst()
  return row ? toDeletion(row) : null
}

/** Unfinished ones, oldest first. */
export const listOpenDeletions = async (db: Db): Promise<Deletion[]> =>
  (await select(db).where('completed_at', 'is', null).orderBy('id').execute()).map(toDeletion)

export const insertDeletion = async (
  tx: Tx,
  deletion: {
    userId: number
    requestedBy: string
    reason: string | null
    notifyEmail: string | null
    nextAttemptAt: Date
    now: Date
  },
): Promise<number> => {
  const row = await tx
    .insertInto('account_deletions')
    .values({
      user_id: deletion.userId,
      requested_by: deletion.requestedBy,
      reason: deletion.reason,
      notify_email: deletion.notifyEmail,
      next_attempt_at: deletion.nextAttemptAt,
      created_at: deletion.now,
    })
    .returning('id')
    .executeTakeFirstOrThrow()
  return row.id
}

/** Moves the state by compare-and-set; false when another run was first. */
export const moveDeletion = async (
  tx: Tx,
  id: number,
  from: DeletionState,
  to: DeletionState,
): Promise<boolean> => {
  const result = await tx
    .updateTable('account_deletions')
    .set({ state: to })
    .where('id', '=', id)
    .where('state', '=', from)
    .executeTakeFirst()
  return result.numUpdatedRows > 0n
}

/** When to look at it next, at the latest; nothing for a finished one. */
export const postponeDeletion = async (
  tx: Tx,
  id: number,
  next: { at: Date } | { at: Date; attempts: number; lastFailure: string | null },
): Promise<void> => {
  await tx
    .updateTable('account_deletions')
    .set({
      next_attempt_at: next.at,
      ...('attempts' in next ? { attempts: next.attempts, last_failure: next.lastFailure } : {}),
    })
    .where('id', '=', id)
    .where('completed_at', 'is', null)
    .execute()
}

export const listDueDeletions = async (db: Db, now: Date): Promise<number[]> => {
  const rows = await db
    .selectFrom('account_deletions')
    .select('id')
    .where('completed_at', 'is', null)
    .where((eb) => eb.or([eb('next_attempt_at', 'is', null), eb('next_attempt_at', '<=', now)]))
    .orderBy('id')
    .limit(200)
    .execute()
  return rows.map(({ id }) => id)
}

/** Marks those that were begun before `createdBefore` and are still open, once each. */
export const markNeedingAttention = async (
  tx: Tx,
  createdBefore: Date,
  now: Date,
): Promise<{ id: number; state: string; lastFailure: string | null }[]> => {
  const rows = await tx
    .updateTable('account_deletions')
    .set({ needs_attention_at: now })
    .where('completed_at', 'is', null)
    .where('needs_attention_at', 'is', null)
    .where('created_at', '<=', createdBefore)
    .returning(['id', 'state', 'last_failure'])
    .execute()
  return rows.map((row) => ({ id: row.id, state: row.state, lastFailure: row.last_failure }))
}

/** notice, no mail yet → its mail; false when another run has queued one. */
export const nameNotice = async (tx: Tx, id: number, emailId: number): Promise<boolean> => {
  const result = await tx
    .updateTable('account_deletions')
    .set({ notice_email_id: emailId })
    .where('id', '=', id)
    .where('state', '=', 'notice')
    .where('notice_email_id', 'is', null)
    .executeTakeFirst()
  return result.numUpdatedRows > 0n
}

/** Adds keys to the stored receipt, or replaces them. */
export const addToReceipt = async (tx: Tx, id: number, more: object): Promise<void> => {
  await tx
    .updateTable('account_deletions')
    .set({ receipt: sql`coalesce(receipt, '{}'::jsonb) || ${JSON.stringify(more)}::jsonb` })
    .where('id', '=', id)
    .execute()
}

/** notice → done: the address goes; the reason moves to where it says nothing about whom. */
export const finishDeletion = async (tx: Tx, id: number, now: Date): Promise<boolean> => {
  const open = await tx
    .selectFrom('account_deletions')
    .select('reason')
    .where('id', '=', id)
    .where('state', '=', 'notice')
    .forUpdate()
    .executeTakeFirst()
  if (!open) return false
  await tx
    .updateTable('account_deletions')
    .set({
      state: 'done',
      reason: null,
      notify_email: null,
      notice_email_id: null,
      next_attempt_at: null,
      last_failure: null,
      completed_at: now,
    })
    .where('id', '=', id)
    .execute()
  if (open.reason !== null) {
    const month = new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth(), 1))
    await tx.insertInto('account_deletion_reasons').values({ month, reason: open.reason }).execute()
  }
  return true
}
