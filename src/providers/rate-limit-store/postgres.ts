import { executeRaw, type Database, type Tx } from '../../platform/db/database.ts'
import { withDeadline } from './deadline.ts'
import type { Counter, RateLimitStore } from './rate-limit-store.ts'

const deadlineMs = 1000

interface CounterRow {
  key: string
  count: number
  window_ends: Date
}

const hitStatement = `
  insert into rate_counters as own (key, count, window_ends)
  select key, count(*), $3::timestamptz + make_interval(secs => max(seconds))
  from unnest($1::text[], $2::float8[]) as asked (key, seconds)
  group by key
  order by key collate "C"
  on conflict (key) do update set
    count = case when own.window_ends <= $3 then 0 else own.count end + excluded.count,
    window_ends = case when own.window_ends <= $3 then excluded.window_ends else own.window_ends end
  returning key, count, window_ends`

/**
 * Counts in the table `rate_counters`, one statement a call. Rows are locked in the order of their keys, so calls with
 * crossing keys wait for one another and never deadlock. A counter stands apart from any transaction of the caller:
 * it must remain when the request is refused. Rejects when there is no answer within a second.
 */
export const createPostgresCounters = (deps: { pool: Database['pool'] }): RateLimitStore => {
  const query = async (text: string, values: unknown[]): Promise<CounterRow[]> => {
    // `query_timeout` ends a running statement's connection, the deadline covers the wait for a free one.
    const statement = { text, values, query_timeout: deadlineMs }
    const { rows } = await withDeadline('rate counters', deadlineMs, deps.pool.query<CounterRow>(statement))
    return rows
  }
  const inOrder = (keys: readonly string[], rows: readonly CounterRow[]): Counter[] => {
    const found = new Map(
      rows.map((row) => [row.key, { count: row.count, resetsAt: row.window_ends }] as const),
    )
    return keys.map((key) => found.get(key) ?? { count: 0, resetsAt: new Date(0) })
  }
  const hit: RateLimitStore['hit'] = async (asked, now) => {
    const keys = asked.map(({ key }) => key)
    const windows = asked.map(({ windowSeconds }) => windowSeconds)
    return inOrder(keys, await query(hitStatement, [keys, windows, now]))
  }
  return {
    name: 'postgres',
    hit,
    read: async (keys, now) => {
      const text =
        'select key, count, window_ends from rate_counters where key = any($1) and window_ends > $2'
      return inOrder(keys, await query(text, [keys, now]))
    },
    clear: async (keys) => {
      const text = `delete from rate_counters where key in (
        select key from rate_counters where key = any($1) order by key collate "C" for update)`
      await query(text, [keys])
    },
    claim: async (key, ttlSeconds, now) =>
      (await hit([{ key, windowSeconds: ttlSeconds }], now))[0]?.count === 1,
    close: async () => undefined,
  }
}

const deleteStatement = `
  with gone as (
    delete from rate_counters where key in (
      select key from rate_counters where window_ends <= $1 order by window_ends limit $2 for update skip locked)
    returning 1)
  select count(*)::integer as count from gone`

/** Removes up to `limit` counters whose windows are over and says how many; ones in use just now are left. */
export const deleteExpiredCounters = async (tx: Tx, now: Date, limit = 10_000): Promise<number> => {
  const { rows } = await executeRaw(tx, deleteStatement, [now, limit])
  return Number(rows[0]?.['count'] ?? 0)
}
