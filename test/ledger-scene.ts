import type { LedgerBench, Narration } from './ledger-fixtures.ts'
import { accountsEach, narrationsEach, purchasesEach } from './ledger-steps.ts'

/** Accounts of one history, with narrations of their own and purchases they share. */
export interface Scene {
  users: { id: number; narrations: Narration[] }[]
  purchases: number[]
}

const ids = async (bench: LedgerBench, text: string, values: unknown[]): Promise<number[]> =>
  (await bench.database.pool.query<{ id: number }>(text, values)).rows.map((row) => row.id)

/** As many scenes as asked, in four statements. */
export const createScenes = async (bench: LedgerBench, count: number): Promise<Scene[]> => {
  const users = await ids(
    bench,
    `insert into users (email) select gen_random_uuid() || '@example.test' from generate_series(1, $1) returning id`,
    [count * accountsEach],
  )
  const { rows } = await bench.database.pool.query<{ id: number; user_id: number; story_id: number }>(
    `with voice as (
       insert into voices (user_id, name, provider, created_at, updated_at)
       select owner, 'Mama', 'local', now(), now() from unnest($1::integer[]) owner, generate_series(1, $2)
       returning id, user_id
     )
     insert into narrations (story_id, voice_id, user_id, created_at, updated_at)
     select (select min(id) from stories), id, user_id, now(), now() from voice
     returning id, user_id, story_id`,
    [users, narrationsEach],
  )
  const purchases = await ids(
    bench,
    `insert into store_purchases (kind, user_id, product_id, purchased_at, created_at, updated_at)
     select 'period', $1, 'dawnotemu_monthly', now(), now(), now() from generate_series(1, $2) returning id`,
    [users[0], count * purchasesEach],
  )
  return Array.from({ length: count }, (_, index) => ({
    users: users.slice(index * accountsEach, (index + 1) * accountsEach).map((id) => ({
      id,
      narrations: rows
        .filter((row) => row.user_id === id)
        .map((row) => ({ narrationId: row.id, storyId: row.story_id })),
    })),
    purchases: purchases.slice(index * purchasesEach, (index + 1) * purchasesEach),
  }))
}

export interface AccountState {
  cached: number
  /** Number and sum of all transactions. */
  rows: number
  moved: number
  /** By id; `expires` in milliseconds, null for never. */
  lots: { id: number; remaining: number; expires: number | null }[]
}

/** What the ledger holds of the accounts of a scene, in one statement and in their order. */
export const readState = async (bench: LedgerBench, scene: Scene): Promise<AccountState[]> => {
  const { rows } = await bench.database.pool.query<AccountState>(
    `select u.credits_balance as cached,
       (select count(*)::integer from credit_transactions t where t.user_id = u.id) as rows,
       (select coalesce(sum(t.amount), 0)::integer from credit_transactions t where t.user_id = u.id) as moved,
       (select coalesce(json_agg(json_build_object('id', l.id, 'remaining', l.amount_remaining,
            'expires', round(extract(epoch from l.expires_at) * 1000)) order by l.id), '[]')
          from credit_lots l where l.user_id = u.id) as lots
     from users u where u.id = any($1::integer[]) order by array_position($1::integer[], u.id)`,
    [scene.users.map(({ id }) => id)],
  )
  return rows
}
