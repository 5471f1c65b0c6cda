import { sql } from 'kysely'
import type { Db } from '../../platform/db/database.ts'
import {
  lotColumns,
  toLot,
  toTransaction,
  transactionColumns,
  type Lot,
  type Transaction,
} from './queries.ts'
import { byExpiry } from './lot-order.ts'

/** All lots with points (next to expire first), then the newest empty ones up to `emptyLimit`; one snapshot. */
export const listLots = async (
  db: Db,
  userId: number,
  emptyLimit: number,
): Promise<{ open: Lot[]; empty: Lot[]; isTruncated: boolean }> => {
  const rows = await db
    .selectFrom('credit_lots')
    .select(lotColumns)
    .where('user_id', '=', userId)
    .where('amount_remaining', '>', 0)
    .unionAll((eb) =>
      eb.parens(
        eb
          .selectFrom('credit_lots')
          .select(lotColumns)
          .where('user_id', '=', userId)
          .where('amount_remaining', '=', 0)
          .orderBy('id', 'desc')
          .limit(emptyLimit + 1),
      ),
    )
    .execute()
  const lots = rows.map(toLot)
  const empty = lots.filter((lot) => lot.amountRemaining === 0).sort((a, b) => b.id - a.id)
  return {
    open: lots.filter((lot) => lot.amountRemaining > 0).sort(byExpiry),
    empty: empty.slice(0, emptyLimit).sort(byExpiry),
    isTruncated: empty.length > emptyLimit,
  }
}

export interface HistoryPage {
  /** Empty means all. */
  types: readonly string[]
  limit: number
  offset: number
}

/** Newest first. One type, or all, is one walk along an index; several types are as many walks, merged. */
export const listTransactions = async (db: Db, userId: number, page: HistoryPage): Promise<Transaction[]> => {
  const newest = (type: string | null, limit: number, offset: number) =>
    db
      .selectFrom('credit_transactions')
      .select(transactionColumns)
      .where('user_id', '=', userId)
      .$if(type !== null, (query) => query.where('type', '=', type ?? ''))
      .orderBy('created_at', 'desc')
      .orderBy('id', 'desc')
      .limit(limit)
      .offset(offset)
  const { types, limit, offset } = page
  const [first, ...others] = types
  if (first === undefined || others.length === 0)
    return (await newest(first ?? null, limit, offset).execute()).map(toTransaction)
  const walk = (type: string) => db.selectFrom(newest(type, limit + offset, 0).as('walk')).selectAll('walk')
  const merged = others.reduce((query, type) => query.unionAll(walk(type)), walk(first))
  const rows = await db
    .selectFrom(merged.as('merged'))
    .selectAll('merged')
    .orderBy('created_at', 'desc')
    .orderBy('id', 'desc')
    .limit(limit)
    .offset(offset)
    .execute()
  return rows.map(toTransaction)
}

/** The cached balance, and how many transactions of these types (empty: of all) there are, without counting them. */
export const readTotals = async (
  db: Db,
  userId: number,
  types: readonly string[],
): Promise<{ cached: number; total: number }> => {
  const row = await db
    .selectFrom('users as u')
    .select([
      'u.credits_balance as cached',
      (eb) =>
        eb
          .selectFrom('credit_history_counts as c')
          .select((sums) =>
            sums.fn.coalesce(sums.fn.sum<number>('c.transactions'), sql<number>`0`).as('total'),
          )
          .whereRef('c.user_id', '=', 'u.id')
          .$if(types.length > 0, (query) => query.where('c.type', 'in', types))
          .as('total'),
    ])
    .where('u.id', '=', userId)
    .executeTakeFirst()
  return { cached: row?.cached ?? 0, total: row?.total ?? 0 }
}
