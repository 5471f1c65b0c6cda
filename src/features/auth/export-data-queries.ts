import type { Db } from '../../platform/db/database.ts'

/** What the account's own row says to its owner; no hash, version or billing id. */
export const readAccount = (db: Db, userId: number) =>
  db
    .selectFrom('users')
    .select([
      'id',
      'email',
      'email_confirmed',
      'pending_email',
      'pending_email_at',
      'status',
      'is_admin',
      'terms_version',
      'terms_accepted_at',
      'password_changed_at',
      'last_login',
      'created_at',
      'credits_balance',
      'trial_expires_at',
      'subscription_active',
      'subscription_plan',
      'subscription_expires_at',
      'subscription_will_renew',
      'subscription_source',
    ])
    .where('id', '=', userId)
    .executeTakeFirst()

/** All that are kept, oldest first. */
export const listAllSessions = (db: Db, userId: number) =>
  db
    .selectFrom('sessions')
    .select([
      'id',
      'transport',
      'client_name',
      'user_agent',
      'ip_prefix',
      'created_at',
      'last_used_at',
      'idle_expires_at',
      'expires_at',
      'ended_at',
      'end_reason',
    ])
    .where('user_id', '=', userId)
    .orderBy('id')
    .execute()

/** All that are kept, oldest first. */
export const listSecurityEvents = (db: Db, userId: number) =>
  db
    .selectFrom('auth_events')
    .select(['id', 'kind', 'session_id', 'ip_prefix', 'user_agent', 'created_at'])
    .where('user_id', '=', userId)
    .orderBy('id')
    .execute()
