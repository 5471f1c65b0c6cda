import type { Db, Tx } from '../../platform/db/database.ts'

const ownTables = ['sessions', 'mail_tokens', 'auth_events', 'account_exports'] as const

/** Deletes what this feature keeps about an account; refresh tokens go with their sessions. */
export const deleteAccountRows = async (
  tx: Tx,
  userId: number,
  addresses: readonly string[],
): Promise<Record<string, number>> => {
  const counts: Record<string, number> = {}
  for (const table of ownTables) {
    const result = await tx.deleteFrom(table).where('user_id', '=', userId).executeTakeFirst()
    counts[table] = Number(result.numDeletedRows)
  }
  if (addresses.length > 0)
    await tx
      .deleteFrom('mail_requests')
      .where('email', 'in', [...addresses])
      .execute()
  return counts
}

export const countAccountRows = async (db: Db, userId: number): Promise<number> => {
  let count = 0
  for (const table of ownTables) {
    const row = await db
      .selectFrom(table)
      .select((eb) => eb.fn.countAll<number>().as('count'))
      .where('user_id', '=', userId)
      .executeTakeFirstOrThrow()
    count += row.count
  }
  return count
}

/** deleting → deleted: a tombstone with its id, its times and its ledger columns; false when it was one already. */
export const scrubUser = async (tx: Tx, userId: number, now: Date): Promise<boolean> => {
  const result = await tx
    .updateTable('users')
    .set({
      status: 'deleted',
      deleted_at: now,
      updated_at: now,
      email: null,
      email_confirmed: false,
      pending_email: null,
      pending_email_at: null,
      password_hash: null,
      password_changed_at: null,
      credential_version: 1,
      is_admin: false,
      terms_version: 'unknown',
      terms_accepted_at: null,
      last_login: null,
      trial_expires_at: null,
      revenuecat_app_user_id: null,
      subscription_active: false,
      subscription_plan: null,
      subscription_pending_plan: null,
      subscription_expires_at: null,
      subscription_will_renew: false,
      subscription_source: null,
      billing_issue_at: null,
    })
    .where('id', '=', userId)
    .where('status', '=', 'deleting')
    .executeTakeFirst()
  return result.numUpdatedRows > 0n
}

/** pending, active, deactivated → deleting, by compare-and-set on the states that the caller may end. */
export const markDeleting = async (
  tx: Tx,
  userId: number,
  from: readonly ('pending' | 'active' | 'deactivated')[],
  now: Date,
): Promise<boolean> => {
  const result = await tx
    .updateTable('users')
    .set({ status: 'deleting', pending_email: null, pending_email_at: null, updated_at: now })
    .where('id', '=', userId)
    .where('status', 'in', [...from])
    .executeTakeFirst()
  return result.numUpdatedRows > 0n
}

/** Archives are offered no more; those under way will not be recorded. */
export const voidExports = async (tx: Tx, userId: number): Promise<void> => {
  await tx
    .updateTable('account_exports')
    .set({ status: 'error' })
    .where('user_id', '=', userId)
    .where('status', 'in', ['pending', 'processing'])
    .execute()
  await tx
    .updateTable('account_exports')
    .set({ status: 'expired' })
    .where('user_id', '=', userId)
    .where('status', '=', 'ready')
    .execute()
}

export const listExports = async (
  tx: Tx,
  userId: number,
): Promise<{ id: number; objectKey: string | null }[]> => {
  const rows = await tx
    .selectFrom('account_exports')
    .select(['id', 'object_key'])
    .where('user_id', '=', userId)
    .orderBy('id')
    .execute()
  return rows.map((row) => ({ id: row.id, objectKey: row.object_key }))
}
