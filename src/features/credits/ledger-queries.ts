import { sql } from 'kysely'
import type { Db, Tx } from '../../platform/db/database.ts'
import { lotColumns, toLot, type Lot, type Transaction } from './queries.ts'

/** Locks accounts in ascending id, before anything else of money is locked; answers the status of those that exist. */
export const lockUsers = async (tx: Tx, userIds: readonly number[]): Promise<Map<number, string>> => {
  if (userIds.length === 0) return new Map()
  const rows = await tx
    .selectFrom('users')
    .select(['id', 'status'])
    .where('id', 'in', userIds)
    .orderBy('id')
    .forNoKeyUpdate()
    .execute()
  return new Map(rows.map((row) => [row.id, row.status]))
}

/** The user's lots that hold points, locked in id order; with `expiredAt` only those that are over by then. */
export const lockOpenLots = async (tx: Tx, userId: number, expiredAt?: Date): Promise<Lot[]> => {
  const rows = await tx
    .selectFrom('credit_lots')
    .select(lotColumns)
    .where('user_id', '=', userId)
    .where('amount_remaining', '>', 0)
    .$if(expiredAt !== undefined, (query) => query.where('expires_at', '<=', expiredAt ?? null))
    .orderBy('id')
    .forUpdate()
    .execute()
  return rows.map(toLot)
}

export const ownerOfLot = async (tx: Tx, lotId: number): Promise<number | null> =>
  (await tx.selectFrom('credit_lots').select('user_id').where('id', '=', lotId).executeTakeFirst())
    ?.user_id ?? null

export const lockLot = async (tx: Tx, lotId: number): Promise<Lot | null> => {
  const row = await tx
    .selectFrom('credit_lots')
    .select(lotColumns)
    .where('id', '=', lotId)
    .forUpdate()
    .executeTakeFirst()
  return row ? toLot(row) : null
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

export interface NewTransaction {
  userId: number
  type: Transaction['type']
  /** Signed. */
  amount: number
  reason: string
  now: Date
  narrationId?: number | null
  storyId?: number | null
  refundOf?: number
  grantKey?: string
  purchaseId?: number | null
  actor?: number
  metadata?: Record<string, string | number | boolean | null>
}

/** What a transaction does to one locked lot. */
export interface Movement {
  lotId: number
  /** Signed. */
  amount: number
  balanceAfter: number
  /** Moves the lot's expiry. */
  expiresAt?: Date
}

const valuesOf = (row: NewTransaction) => sql`(${row.userId}::integer, ${row.type}, ${row.amount}::integer,
  ${row.reason}, ${row.narrationId ?? null}::integer, ${row.storyId ?? null}::integer,
  ${row.refundOf ?? null}::integer, ${row.grantKey ?? null}, ${row.purchaseId ?? null}::integer,
  ${row.actor ?? null}::integer, ${JSON.stringify(row.metadata ?? {})}::jsonb, ${row.now}::timestamptz,
  ${row.now}::timestamptz)`

const columns =
  sql.raw(`(user_id, type, amount, reason, narration_id, story_id, refund_of_transaction_id, grant_key,
  purchase_id, actor, metadata, created_at, updated_at)`)

/**
 * Locks the account and its open lots and takes points in spending order (`take_points` in migration 0010). `available` is
 * null for an unknown account; `transactionId` is null, and nothing written, for too little or an open debit.
 */
export const takePoints = async (
  tx: Tx,
  debit: {
    userId: number
    amount: number
    reason: string
    now: Date
    narrationId: number | null
    storyId: number | null
  },
  sourcesPriority: readonly string[],
): Promise<{ transactionId: number | null; available: number | null }> => {
  const { userId, amount, reason, now, narrationId, storyId } = debit
  const { rows } = await sql<{ transaction_id: number | null; available: number | null }>`
    select transaction_id, available from take_points(${userId}, ${amount}, ${reason}, ${narrationId},
      ${storyId}, ${now}, ${[...sourcesPriority]})`.execute(tx)
  return { transactionId: rows[0]?.transaction_id ?? null, available: rows[0]?.available ?? null }
}

/** One ledger row, its allocations and the locked lots it changes, in one statement. */
export const post = async (tx: Tx, row: NewTransaction, movements: readonly Movement[]): Promise<void> => {
  await sql`
    with movements as (
      select * from unnest(${movements.map(({ lotId }) => lotId)}::integer[],
        ${movements.map(({ amount }) => amount)}::integer[],
        ${movements.map(({ balanceAfter }) => balanceAfter)}::integer[],
        ${movements.map(({ expiresAt }) => expiresAt ?? null)}::timestamptz[])
        as movement (lot_id, amount, balance_after, expires_at)
    ), entry as (
      insert into credit_transactions ${columns} values ${valuesOf(row)} returning id
    ), lots as (
      update credit_lots l set amount_remaining = m.balance_after, updated_at = ${row.now}::timestamptz,
          expires_at = coalesce(m.expires_at, l.expires_at)
        from movements m where l.id = m.lot_id
    )
    insert into credit_transaction_allocations (transaction_id, lot_id, amount, position, balance_after)
      select entry.id, m.lot_id, m.amount, 1 + coalesce((select max(a.position)
          from credit_transaction_allocations a where a.lot_id = m.lot_id), 0), m.balance_after
        from movements m, entry`.execute(tx)
}

/**
 * A credit row, its lot and allocation, and the cached balance; null, and nothing written, when the grant key is taken. The
 * key is decided by its index: two accounts that are granted by one key at once hold no lock in common.
 */
export const postGrant = async (
  tx: Tx,
  row: NewTransaction,
  lot: { source: string; expiresAt: Date | null },
): Promise<number | null> => {
  const { rows } = await sql<{ id: number }>`
    with entry as (
      insert into credit_transactions ${columns} values ${valuesOf(row)}
      on conflict (grant_key) do nothing returning id
    ), lot as (
      insert into credit_lots
        (user_id, source, amount_granted, amount_remaining, expires_at, created_at, updated_at)
      select ${row.userId}::integer, ${lot.source}, ${row.amount}::integer, ${row.amount}::integer,
        ${lot.expiresAt}::timestamptz, ${row.now}::timestamptz, ${row.now}::timestamptz from entry
      returning id
    ), parts as (
      insert into credit_transaction_allocations (transaction_id, lot_id, amount, position, balance_after)
      select entry.id, lot.id, ${row.amount}::integer, 1, ${row.amount}::integer from lot, entry
    ), cache as (
      -- This statement does not see the new lot yet.
      update users set credits_balance_at = ${row.now}::timestamptz, credits_balance = ${row.amount}::integer + (
          select coalesce(sum(amount_remaining), 0) from credit_lots
            where user_id = ${row.userId}::integer and amount_remaining > 0
              and (expires_at is null or expires_at > ${row.now}::timestamptz))
        from entry where users.id = ${row.userId}::integer
    )
    select id from entry`.execute(tx)
  return rows[0]?.id ?? null
}

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

export const findByGrantKey = async (db: Db, grantKey: string): Promise<number | null> =>
  (
    await db
      .selectFrom('credit_transactions')
      .select('id')
      .where('grant_key', '=', grantKey)
      .executeTakeFirst()
  )?.id ?? null

export const findOpenDebit = async (tx: Tx, userId: number, narrationId: number): Promise<number | null> =>
  (
    await tx
      .selectFrom('credit_transactions')
      .select('id')
      .where('user_id', '=', userId)
      .where('narration_id', '=', narrationId)
      .where('type', '=', 'debit')
      .where('status', '=', 'applied')
      .executeTakeFirst()
  )?.id ?? null

/** Computes the cached balance from the lots; answers the new and the earlier one, null for an unknown user. */
export const storeBalance = async (
  tx: Tx,
  userId: number,
  now: Date,
): Promise<{ before: number; after: number } | null> => {
  const { rows } = await sql<{ before: number; after: number }>`
    update users u set credits_balance_at = ${now}::timestamptz, credits_balance = (
        select coalesce(sum(l.amount_remaining), 0) from credit_lots l
          where l.user_id = u.id and l.amount_remaining > 0
            and (l.expires_at is null or l.expires_at > ${now}::timestamptz))
      from (select id, credits_balance from users where id = ${userId}::integer) earlier
      where u.id = earlier.id
      returning earlier.credits_balance as before, u.credits_balance as after`.execute(tx)
  return rows[0] ?? null
}
