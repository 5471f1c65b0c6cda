import { sql } from 'kysely'
import type { Db, Tx } from '../../platform/db/database.ts'
import { parseId } from '../../platform/parse-id.ts'
import type { UserProjection } from './project-user.ts'

export interface Customer {
  userId: number
  status: string
}

const linkLimit = 100

/**
 * The users behind the store's customer ids, in the order of the ids, each once: who is linked to the id, or, for a
 * decimal id, the user of that number who is linked to none. Deleted ones too.
 */
export const resolveCustomers = async (db: Db, customerIds: readonly string[]): Promise<Customer[]> => {
  const links = [...new Set(customerIds)].filter((id) => id.length <= linkLimit)
  const numbers = links.map(parseId).filter((id) => id !== null)
  if (links.length === 0) return []
  // One array each: a body may hold more aliases than a statement takes parameters.
  const rows = await db
    .selectFrom('users')
    .select(['id', 'status', 'revenuecat_app_user_id'])
    .where(
      sql<boolean>`(revenuecat_app_user_id = any (${links}::text[])
        or (revenuecat_app_user_id is null and id = any (${numbers}::integer[])))`,
    )
    .execute()
  const byId = new Map(rows.map((row) => [row.revenuecat_app_user_id ?? String(row.id), row]))
  const found = new Set(links.map((id) => byId.get(id)).filter((row) => row !== undefined))
  return [...found].map((row) => ({ userId: row.id, status: row.status }))
}

/** What the store says of a user; the only writer of these columns but registration and deletion. */
export const writeProjection = async (tx: Tx, userId: number, shown: UserProjection): Promise<void> => {
  await tx
    .updateTable('users')
    .set({
      subscription_active: shown.isActive,
      subscription_plan: shown.plan,
      subscription_pending_plan: shown.pendingPlan,
      subscription_expires_at: shown.expiresAt,
      subscription_will_renew: shown.willRenew,
      subscription_source: shown.source,
      billing_issue_at: shown.billingIssueAt,
    })
    .where('id', '=', userId)
    .execute()
}

/** The store that a user's subscription came from decides whose key a job asks with. */
export const findSource = async (
  db: Db,
  userId: number,
): Promise<{ status: string; source: string | null } | null> => {
  const row = await db
    .selectFrom('users')
    .select(['status', 'subscription_source'])
    .where('id', '=', userId)
    .executeTakeFirst()
  return row ? { status: row.status, source: row.subscription_source } : null
}

/** Users who should have been renewed: access ended between the two instants. At most `limit`, ids above `after`. */
export const listLapsed = async (
  db: Db,
  ended: { since: Date; until: Date },
  after: number,
  limit: number,
): Promise<number[]> => {
  const rows = await db
    .selectFrom('users')
    .select('id')
    .where('subscription_will_renew', '=', true)
    .where('subscription_expires_at', '>', ended.since)
    .where('subscription_expires_at', '<=', ended.until)
    .where('status', 'not in', ['deleting', 'deleted'])
    .where('id', '>', after)
    .orderBy('id')
    .limit(limit)
    .execute()
  return rows.map((row) => row.id)
}
