import type { Db } from '../../platform/db/database.ts'

/** Annual purchases with a month due by `now` whose line has an owner that may receive it; ids above `after`. */
export const listDueMonths = async (db: Db, now: Date, after: number, limit: number): Promise<number[]> => {
  const rows = await db
    .selectFrom('store_purchases as p')
    .innerJoin('store_subscriptions as s', 's.id', 'p.subscription_id')
    .innerJoin('users as u', 'u.id', 's.owner_user_id')
    .select('p.id')
    .where('p.next_grant_at', '<=', now)
    .where('u.status', 'in', ['active', 'pending'])
    .where('p.id', '>', after)
    .orderBy('p.id')
    .limit(limit)
    .execute()
  return rows.map((row) => row.id)
}

/** Refunded purchases that hold points again (a narration paid with them was refunded); ids above `after`. */
export const listRefundedWithPoints = async (db: Db, after: number, limit: number): Promise<number[]> => {
  const rows = await db
    .selectFrom('store_purchases as p')
    .select('p.id')
    .where('p.is_refunded', '=', true)
    .where('p.id', '>', after)
    .where((eb) =>
      eb.exists(
        eb
          .selectFrom('credit_transactions as t')
          .innerJoin('credit_transaction_allocations as a', 'a.transaction_id', 't.id')
          .innerJoin('credit_lots as l', 'l.id', 'a.lot_id')
          .select('l.id')
          .whereRef('t.purchase_id', '=', 'p.id')
          .where('t.type', '=', 'credit')
          .where('l.amount_remaining', '>', 0),
      ),
    )
    .orderBy('p.id')
    .limit(limit)
    .execute()
  return rows.map((row) => row.id)
}
