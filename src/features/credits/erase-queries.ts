import { sql } from 'kysely'
import type { Tx } from '../../platform/db/database.ts'

// What this server itself writes as a reason (30 §1); everything else may be the words of a person.
const ownReasons = [
  'initial_grant',
  'subscription_initial_purchase',
  'subscription_renewal',
  'yearly_subscription_monthly_grant',
  'monthly_grant',
  'addon:[A-Za-z0-9_.-]+',
  'admin_grant',
  'opening_balance',
  'audio_synthesis:[0-9]+',
  'auto_expire',
  'admin_expire',
  'admin_refund',
  'store_refund',
  'store_refund_reversed',
  'voice_slot_manager_error',
  'voice_allocation_timeout',
  'synthesis_failed',
  'storage_failed',
  'task_exception',
  'voice_deleted',
  'account_deleted',
]
const ownReason = `^(${ownReasons.join('|')})$`

/** Free texts become `admin_grant`, metadata is emptied. The table's trigger allows it only while the account is `deleting`. */
export const scrubLedger = async (tx: Tx, userId: number, now: Date): Promise<void> => {
  await tx
    .updateTable('credit_transactions')
    .set({
      reason: sql<string>`case when reason ~ ${ownReason} then reason else 'admin_grant' end`,
      metadata: '{}',
      updated_at: now,
    })
    .where('user_id', '=', userId)
    .where(sql<boolean>`(metadata <> '{}' or reason !~ ${ownReason})`)
    .execute()
}

/** Raw ids of the store go. The alias hashes stay, so that a receipt which was used cannot be used again. */
export const scrubStore = async (tx: Tx, userId: number, now: Date): Promise<void> => {
  await tx
    .updateTable('store_purchases')
    .set({ transaction_id: null, original_transaction_id: null, updated_at: now })
    .where('user_id', '=', userId)
    .where((eb) =>
      eb.or([eb('transaction_id', 'is not', null), eb('original_transaction_id', 'is not', null)]),
    )
    .execute()
  await tx
    .updateTable('store_subscriptions')
    .set({ original_transaction_id: null, current_transaction_id: null, updated_at: now })
    .where('owner_user_id', '=', userId)
    .where((eb) =>
      eb.or([eb('original_transaction_id', 'is not', null), eb('current_transaction_id', 'is not', null)]),
    )
    .execute()
  await tx
    .updateTable('webhook_events')
    .set({
      // The keys stay: the state of a subscription that went to somebody else is still computed from these events.
      fields: sql`jsonb_set(jsonb_set(fields, '{transaction_id}', 'null', false),
        '{original_transaction_id}', 'null', false)`,
      // An event read from the store's reply is named after its transaction.
      event_id: sql<string>`case when event_id ~ '^rest:'
        then 'rest:' || encode(sha256(convert_to(event_id, 'UTF8')), 'hex') else event_id end`,
    })
    .where('user_id', '=', userId)
    .where(
      sql<boolean>`(fields ->> 'transaction_id' is not null or fields ->> 'original_transaction_id' is not null)`,
    )
    .execute()
}
