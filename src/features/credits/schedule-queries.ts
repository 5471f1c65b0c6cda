import { sql } from 'kysely'
import type { Db } from '../../platform/db/database.ts'

/** Accounts above `after` that have lots to expire at `now`, ascending. */
export const listUsersWithDueLots = async (
  db: Db,
  now: Date,
  after: number,
  limit: number,
): Promise<number[]> =>
  (
    await db
      .selectFrom('credit_lots')
      .select('user_id')
      .distinct()
      .where('expires_at', '<=', now)
      .where('amount_remaining', '>', 0)
      .where('user_id', '>', after)
      .orderBy('user_id')
      .limit(limit)
      .execute()
  ).map((row) => row.user_id)

/** Active accounts above `after` without this month's default grant, ascending. */
export const listUsersWithoutDefault = async (
  db: Db,
  month: string,
  after: number,
  limit: number,
): Promise<number[]> =>
  (
    await db
      .selectFrom('users as u')
      .select('u.id')
      .where('u.status', '=', 'active')
      .where('u.id', '>', after)
      .where((eb) =>
        eb.not(
          eb.exists(
            eb
              .selectFrom('credit_transactions as t')
              .select('t.id')
              .where('t.grant_key', '=', sql<string>`'default:' || u.id || ':' || ${month}`),
          ),
        ),
      )
      .orderBy('u.id')
      .limit(limit)
      .execute()
  ).map((row) => row.id)

/** All accounts above `after`, tombstones too, ascending. */
export const listUsers = async (db: Db, after: number, limit: number): Promise<number[]> =>
  (
    await db.selectFrom('users').select('id').where('id', '>', after).orderBy('id').limit(limit).execute()
  ).map((row) => row.id)
