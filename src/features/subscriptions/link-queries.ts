import { violatedConstraint, type Db, type Tx } from '../../platform/db/database.ts'

export interface StoreLink {
  /** The customer id of the store under which the user is found; null before the first link. */
  customerId: string | null
  pendingPlan: string | null
  billingIssueAt: Date | null
}

/** What the user's row holds of the store beside the subscription itself. */
export const findStoreLink = async (db: Db, userId: number): Promise<StoreLink | null> => {
  const row = await db
    .selectFrom('users')
    .select(['revenuecat_app_user_id', 'subscription_pending_plan', 'billing_issue_at'])
    .where('id', '=', userId)
    .executeTakeFirst()
  return row
    ? {
        customerId: row.revenuecat_app_user_id,
        pendingPlan: row.subscription_pending_plan,
        billingIssueAt: row.billing_issue_at,
      }
    : null
}

export const setCustomerId = async (tx: Tx, userId: number, customerId: string, now: Date): Promise<void> => {
  await tx
    .updateTable('users')
    .set({ revenuecat_app_user_id: customerId, updated_at: now })
    .where('id', '=', userId)
    .execute()
}

/** True when the customer id is another user's. */
export const isCustomerIdTaken = (error: unknown): boolean =>
  violatedConstraint(error) === 'users_revenuecat_app_user_id_key'
