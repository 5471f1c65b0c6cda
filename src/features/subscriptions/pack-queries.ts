import type { Db, Tx } from '../../platform/db/database.ts'

/** The customer id under which the store's books list a user: the linked one, else the user's own id. */
export const customerIdOf = async (db: Db, userId: number): Promise<string> => {
  const row = await db
    .selectFrom('users')
    .select('revenuecat_app_user_id')
    .where('id', '=', userId)
    .executeTakeFirst()
  return row?.revenuecat_app_user_id ?? String(userId)
}

/** A pack that nobody was paid for goes to the user under whom the store lists it now. Under the locks of both. */
export const moveUnpaidPack = async (tx: Tx, id: number, userId: number, now: Date): Promise<void> => {
  await tx
    .updateTable('store_purchases')
    .set({ user_id: userId, updated_at: now })
    .where('id', '=', id)
    .where('kind', '=', 'pack')
    .where('points', 'is', null)
    .execute()
}
