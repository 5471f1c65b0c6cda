import { sql, type RawBuilder } from 'kysely'
import type { Tx } from '../../platform/db/database.ts'
import type { DriftFinding } from './drift.ts'

type Row = { user_id: number; kind: string; subject: string; expected: number; found: number }

const rowsOf = async (tx: Tx, query: RawBuilder<Row>): Promise<DriftFinding[]> =>
  (await query.execute(tx)).rows.map((row) => ({
    userId: row.user_id,
    kind: row.kind,
    subject: row.subject,
    expected: row.expected,
    found: row.found,
  }))

/** I1 and I4: the cached balance is what the lots held when it was computed; all transactions make up all lots. */
export const checkUsers = (tx: Tx, userIds: readonly number[]): Promise<DriftFinding[]> =>
  rowsOf(
    tx,
    sql`with sums as (
      select u.id, u.credits_balance as cached,
        (select coalesce(sum(l.amount_remaining), 0) from credit_lots l where l.user_id = u.id
          and (l.expires_at is null or l.expires_at > coalesce(u.credits_balance_at, '-infinity'))) as live,
        (select coalesce(sum(l.amount_remaining), 0) from credit_lots l where l.user_id = u.id) as remaining,
        (select coalesce(sum(t.amount), 0) from credit_transactions t where t.user_id = u.id) as moved
      from users u where u.id = any(${userIds}::integer[])
    )
    select id as user_id, 'cached_balance' as kind, 'user ' || id as subject, live as expected, cached as found
      from sums where live <> cached
    union all
    select id, 'user_total', 'user ' || id, moved, remaining from sums where moved <> remaining`,
  )

/** I2: what a lot holds is within its bounds and the sum of its allocations, whose chain has no gap. */
export const checkLots = (tx: Tx, userIds: readonly number[]): Promise<DriftFinding[]> =>
  rowsOf(
    tx,
    sql`with links as (
      select a.lot_id, a.amount, a.position <> row_number() over chain
          or a.balance_after <> sum(a.amount) over chain as is_broken
        from credit_lots l join credit_transaction_allocations a on a.lot_id = l.id
        where l.user_id = any(${userIds}::integer[])
        window chain as (partition by a.lot_id order by a.position)
    ), chains as (
      select lot_id, sum(amount) as total, count(*) filter (where is_broken) as broken from links group by lot_id
    ), lots as (
      select l.user_id, 'lot ' || l.id as subject, l.amount_granted, l.amount_remaining,
          coalesce(c.total, 0) as total, coalesce(c.broken, 0) as broken
        from credit_lots l left join chains c on c.lot_id = l.id
        where l.user_id = any(${userIds}::integer[])
    )
    select user_id, 'lot_balance' as kind, subject, total as expected, amount_remaining as found
      from lots where total <> amount_remaining
    union all
    select user_id, 'lot_range', subject, amount_granted, amount_remaining
      from lots where amount_remaining not between 0 and amount_granted
    union all
    select user_id, 'lot_chain', subject, 0, broken from lots where broken > 0`,
  )

/** I3: a transaction is the sum of its allocations, all of its sign and owner. */
export const checkTransactions = (tx: Tx, userIds: readonly number[]): Promise<DriftFinding[]> =>
  rowsOf(
    tx,
    sql`with parts as (
      select t.id, t.user_id, t.amount, coalesce(sum(a.amount), 0) as total, count(*) filter (where
          sign(a.amount) <> case when t.type in ('credit', 'refund') then 1 else -1 end
          or l.user_id <> t.user_id) as wrong
        from credit_transactions t
          left join credit_transaction_allocations a on a.transaction_id = t.id
          left join credit_lots l on l.id = a.lot_id
        where t.user_id = any(${userIds}::integer[]) group by t.id
    )
    select user_id, 'transaction_amount' as kind, 'transaction ' || id as subject, total as expected,
        amount as found from parts where total <> amount
    union all
    select user_id, 'transaction_parts', 'transaction ' || id, 0, wrong from parts where wrong > 0`,
  )

/** I5: one applied debit a narration; refunded means exactly one refund row, lot by lot what was taken. */
export const checkRefunds = (tx: Tx, userIds: readonly number[]): Promise<DriftFinding[]> =>
  rowsOf(
    tx,
    sql`with undone as (
      select t.id, t.user_id, t.amount, t.status, r.id as refund_id, r.amount as refund_amount
        from credit_transactions t left join credit_transactions r on r.refund_of_transaction_id = t.id
        where t.user_id = any(${userIds}::integer[]) and (t.status = 'refunded' or r.id is not null)
    )
    select user_id, 'open_debits' as kind, 'narration ' || narration_id as subject, 1 as expected,
        count(*) as found
      from credit_transactions
      where user_id = any(${userIds}::integer[]) and type = 'debit' and status = 'applied'
        and narration_id is not null
      group by user_id, narration_id having count(*) > 1
    union all
    select user_id, 'refund_rows', 'transaction ' || id, case status when 'refunded' then 1 else 0 end,
        count(refund_id)
      from undone group by user_id, id, status
      having count(refund_id) <> case status when 'refunded' then 1 else 0 end
    union all
    select user_id, 'refund_amount', 'transaction ' || refund_id, -amount, refund_amount
      from undone where refund_amount <> -amount
    union all
    select u.user_id, 'refund_lots', 'transaction ' || u.refund_id, 0, count(*)
      from undone u
        join lateral (select coalesce(taken.amount, 0) + coalesce(given.amount, 0) as rest
          from (select * from credit_transaction_allocations where transaction_id = u.id) taken
            full join (select * from credit_transaction_allocations where transaction_id = u.refund_id) given
              on given.lot_id = taken.lot_id) lots on lots.rest <> 0
      where u.refund_id is not null
      group by u.user_id, u.refund_id`,
  )

/** Debits and the attempts that they pay for (30 §13 c). */
export const checkAttempts = (tx: Tx, userIds: readonly number[]): Promise<DriftFinding[]> =>
  rowsOf(
    tx,
    sql`with paid as (
      select n.user_id, 'attempt ' || a.id as subject, a.stage, t.status as debit_status, n.id as narration_id
        from narrations n
          join narration_attempts a on a.narration_id = n.id and a.kind = 'paid'
          left join credit_transactions t on t.id = a.debit_id
        where n.user_id = any(${userIds}::integer[])
    ), unfinished as (
      select p.user_id, p.subject, case when p.debit_status = 'applied' then (
          select count(*) from credit_transactions t where t.narration_id = p.narration_id
            and t.type = 'debit' and t.status = 'applied') else 0 end as debits
        from paid p where p.stage in ('waiting', 'speaking', 'assembling')
    )
    select user_id, 'unfinished_attempt_debits' as kind, subject, 1 as expected, debits as found
      from unfinished where debits <> 1
    union all
    select user_id, 'finished_attempt_refunded', subject, 0, 1
      from paid where stage = 'done' and debit_status = 'refunded'
    union all
    select user_id, 'failed_attempt_charged', subject, 0, 1
      from paid where stage in ('failed', 'cancelled') and debit_status = 'applied'`,
  )

/** The counters behind the totals of the history. */
export const checkCounts = (tx: Tx, userIds: readonly number[]): Promise<DriftFinding[]> =>
  rowsOf(
    tx,
    sql`with counted as (
      select user_id, type, count(*) as found from credit_transactions
        where user_id = any(${userIds}::integer[]) group by user_id, type
    ), kept as (
      select user_id, type, transactions from credit_history_counts where user_id = any(${userIds}::integer[])
    )
    select user_id, 'history_count' as kind, 'type ' || type as subject, coalesce(counted.found, 0) as expected,
        coalesce(kept.transactions, 0) as found
      from counted full join kept using (user_id, type)
      where coalesce(counted.found, 0) <> coalesce(kept.transactions, 0)`,
  )

/** Points left, or come back, on a purchase whose money the store has returned. */
export const checkRefundedPurchases = (tx: Tx, userIds: readonly number[]): Promise<DriftFinding[]> =>
  rowsOf(
    tx,
    sql`select l.user_id, 'refunded_purchase_points' as kind, 'purchase ' || p.id as subject, 0 as expected,
        sum(l.amount_remaining) as found
      from credit_lots l
        join credit_transaction_allocations a on a.lot_id = l.id and a.position = 1
        join credit_transactions t on t.id = a.transaction_id
        join store_purchases p on p.id = t.purchase_id and p.is_refunded
      where l.user_id = any(${userIds}::integer[]) and l.amount_remaining > 0
      group by l.user_id, p.id`,
  )
