import { sql } from 'kysely'
import type { Db, Tx } from '../../platform/db/database.ts'
import { sha256 } from '../../platform/crypto.ts'
import { currentPeriod, emptyLine, sourceOf, type LineState } from './line-state.ts'

/** A line as its folded state was stored. */
export interface StoredLine extends LineState {
  id: number
}

const columns = [
  'id',
  'owner_user_id',
  'store',
  'product_id',
  'pending_product_id',
  'current_transaction_id',
  'period_started_at',
  'period_ends_at',
  'access_ends_at',
  'is_active',
  'will_renew',
  'billing_issue_at',
] as const

const select = (db: Db) => db.selectFrom('store_subscriptions').select(columns)
type Row = NonNullable<Awaited<ReturnType<ReturnType<typeof select>['executeTakeFirst']>>>

/** Enough of a line for showing it: its current period, without its past. */
const toLine = (row: Row): StoredLine => ({
  ...emptyLine,
  id: row.id,
  ownerUserId: row.owner_user_id,
  periods:
    row.period_started_at && row.period_ends_at
      ? [
          {
            transactionId: row.current_transaction_id ?? '',
            productId: row.product_id,
            startsAt: row.period_started_at,
            endsAt: row.period_ends_at,
            expiredAt: null,
            isTemporary: false,
          },
        ]
      : [],
  accessEndsAt: row.access_ends_at,
  isActive: row.is_active,
  willRenew: row.will_renew,
  plan: row.product_id,
  pendingPlan: row.pending_product_id,
  store: row.store === 'app_store' || row.store === 'play_store' ? row.store : null,
  billingIssueAt: row.billing_issue_at,
})

/** The lines a user owns, as stored. */
export const listLines = async (db: Db, userId: number): Promise<StoredLine[]> =>
  (await select(db).where('owner_user_id', '=', userId).orderBy('id').execute()).map(toLine)

/** Locks a line and answers its owner; under the locks of the users concerned, several in ascending id. */
export const lockLine = async (tx: Tx, id: number): Promise<{ ownerUserId: number | null }> => {
  const row = await tx
    .selectFrom('store_subscriptions')
    .select('owner_user_id')
    .where('id', '=', id)
    .forUpdate()
    .executeTakeFirstOrThrow()
  return { ownerUserId: row.owner_user_id }
}

export const findOwner = async (db: Db, id: number): Promise<number | null> => {
  const row = await db
    .selectFrom('store_subscriptions')
    .select('owner_user_id')
    .where('id', '=', id)
    .executeTakeFirst()
  return row?.owner_user_id ?? null
}

/** A line's key is an original transaction id, a transaction id, or `user:<id>`; only its hash is kept. */
export const findLineByKey = async (db: Db, key: string): Promise<number | null> => {
  const row = await db
    .selectFrom('store_subscriptions')
    .select('id')
    .where('line_hash', '=', sha256(key))
    .executeTakeFirst()
  return row?.id ?? null
}

/** The line of that key, made if new; of two that make it at once, one waits for the other and finds it. */
export const ensureLine = async (
  tx: Tx,
  line: { key: string; originalTransactionId: string | null; now: Date },
): Promise<number> => {
  const known = await findLineByKey(tx, line.key)
  if (known !== null) return known
  const made = await tx
    .insertInto('store_subscriptions')
    .values({
      line_hash: sha256(line.key),
      original_transaction_id: line.originalTransactionId,
      created_at: line.now,
      updated_at: line.now,
    })
    .onConflict((conflict) => conflict.column('line_hash').doNothing())
    .returning('id')
    .executeTakeFirst()
  const id = made?.id ?? (await findLineByKey(tx, line.key))
  if (id === null) throw new Error('lines: a line was neither made nor found')
  return id
}

/** Texts that stand in for a transaction id are not shown. */
const shownTransaction = (line: LineState): string | null => {
  const id = currentPeriod(line)?.transactionId ?? null
  return id === null || /^(?:purchase|event):/.test(id) ? null : id
}

export const writeLine = async (tx: Tx, id: number, line: LineState, now: Date): Promise<void> => {
  const period = currentPeriod(line)
  await tx
    .updateTable('store_subscriptions')
    .set({
      owner_user_id: line.ownerUserId,
      store: sourceOf(line.store),
      product_id: line.plan,
      pending_product_id: line.pendingPlan,
      current_transaction_id: shownTransaction(line),
      period_started_at: period?.startsAt ?? null,
      period_ends_at: period?.endsAt ?? null,
      access_ends_at: line.accessEndsAt,
      is_active: line.isActive,
      will_renew: line.willRenew,
      billing_issue_at: line.billingIssueAt,
      updated_at: now,
    })
    .where('id', '=', id)
    .execute()
}

/**
 * Lines that a TRANSFER may move, ascending: those that one of `userIds` owns or was named in; and those of nobody we
 * know in which one of `senders` was named, who sent them to strangers before. The fold decides.
 */
export const listTransferable = async (
  db: Db,
  userIds: readonly number[],
  senders: readonly number[],
): Promise<number[]> => {
  const rows = await db
    .selectFrom('store_subscriptions as s')
    .select('s.id')
    .where(
      sql<boolean>`(s.owner_user_id = any (${[...userIds]}::integer[]) or exists (
        select 1 from webhook_events e where e.subscription_id = s.id
          and (e.user_id = any (${[...userIds]}::integer[])
            or (s.owner_user_id is null and e.user_id = any (${[...senders]}::integer[])))))`,
    )
    .orderBy('s.id')
    .execute()
  return rows.map((row) => row.id)
}
