import type { Db } from '../../platform/db/database.ts'
import {
  lotColumns,
  toLot,
  toTransaction,
  transactionColumns,
  type Lot,
  type Transaction,
} from './queries.ts'

/** All lots with points (next to expire first), then the newest empty ones up to `emptyLimit`. */
export const listLots = async (
  db: Db,
  userId: number,
  emptyLimit: number,
): Promise<{ lots: Lot[]; isTruncated: boolean }> => {
  const [open, empty] = await Promise.all([
    db
      .selectFrom('credit_lots')
      .select(lotColumns)
      .where('user_id', '=', userId)
      .where('amount_remaining', '>', 0)
      .orderBy('expires_at', (order) => order.asc().nullsLast())
      .orderBy('created_at')
      .orderBy('id')
      .execute(),
    db
      .selectFrom('credit_lots')
      .select(lotColumns)
      .where('user_id', '=', userId)
      .where('amount_remaining', '=', 0)
      .orderBy('id', 'desc')
      .limit(emptyLimit + 1)
      .execute(),
  ])
  const shown = empty.slice(0, emptyLimit).map(toLot).sort(byExpiry)
  return { lots: [...open.map(toLot), ...shown], isTruncated: empty.length > emptyLimit }
}

const byExpiry = (a: Lot, b: Lot): number =>
  (a.expiresAt?.getTime() ?? Infinity) - (b.expiresAt?.getTime() ?? Infinity) ||
  a.createdAt.getTime() - b.createdAt.getTime() ||
  a.id - b.id

/** Newest first; `types` empty means all. */
export const listTransactions = async (
  db: Db,
  userId: number,
  page: { types: readonly string[]; limit: number; offset: number },
): Promise<{ items: Transaction[]; total: number }> => {
  const filtered = db
    .selectFrom('credit_transactions')
    .where('user_id', '=', userId)
    .$if(page.types.length > 0, (query) => query.where('type', 'in', page.types))
  const [rows, count] = await Promise.all([
    filtered
      .select(transactionColumns)
      .orderBy('created_at', 'desc')
      .orderBy('id', 'desc')
      .limit(page.limit)
      .offset(page.offset)
      .execute(),
    filtered.select((eb) => eb.fn.countAll<number>().as('total')).executeTakeFirstOrThrow(),
  ])
  return { items: rows.map(toTransaction), total: count.total }
}
