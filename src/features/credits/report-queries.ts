import { sql } from 'kysely'
import type { Tx } from '../../platform/db/database.ts'

export interface MonthRow {
  /** `YYYY-MM`. */
  month: string
  source: string
  granted: number
  consumed: number
  expired: number
  clawed_back: number
}

/**
 * What moved in each calendar month (UTC) by source of the lot. A refund is set off against what it undoes: that of a debit
 * against consumption, that of a claw-back against claw-backs, each in the month of the refund.
 */
export const sumByMonth = async (tx: Tx): Promise<MonthRow[]> => {
  const { rows } = await sql<MonthRow>`
    with moved as (
      select to_char(t.created_at at time zone 'UTC', 'YYYY-MM') as month, l.source, a.amount,
          coalesce(undone.type, t.type) as type, coalesce(undone.reason, t.reason) as reason
        from credit_transaction_allocations a
          join credit_transactions t on t.id = a.transaction_id
          join credit_lots l on l.id = a.lot_id
          left join credit_transactions undone on undone.id = t.refund_of_transaction_id
    )
    select month, source,
        coalesce(sum(amount) filter (where type = 'credit'), 0) as granted,
        coalesce(-sum(amount) filter (where type = 'debit'), 0) as consumed,
        coalesce(-sum(amount) filter (where type = 'expire' and reason <> 'store_refund'), 0) as expired,
        coalesce(-sum(amount) filter (where type = 'expire' and reason = 'store_refund'), 0) as clawed_back
      from moved group by month, source order by month, source`.execute(tx)
  return rows
}
