import { Type, type Static } from 'typebox'
import type { Db, Tx } from '../../platform/db/database.ts'
import { isoTime, isoTimeOrNull } from '../../platform/http/request-values.ts'

export type UserStatus = 'pending' | 'active' | 'deactivated' | 'deleting' | 'deleted'

export interface User {
  id: number
  email: string | null
  emailConfirmed: boolean
  /** As stored; `livePendingEmail` says whether it still counts. */
  pendingEmail: string | null
  pendingEmailAt: Date | null
  passwordHash: string | null
  credentialVersion: number
  status: UserStatus
  isAdmin: boolean
  termsVersion: string
  lastLogin: Date | null
  createdAt: Date
  creditsBalance: number
  trialExpiresAt: Date | null
  subscriptionActive: boolean
  subscriptionPlan: string | null
  subscriptionExpiresAt: Date | null
  subscriptionWillRenew: boolean
  subscriptionSource: string | null
}

const columns = [
  'id',
  'email',
  'email_confirmed',
  'pending_email',
  'pending_email_at',
  'password_hash',
  'credential_version',
  'status',
  'is_admin',
  'terms_version',
  'last_login',
  'created_at',
  'credits_balance',
  'trial_expires_at',
  'subscription_active',
  'subscription_plan',
  'subscription_expires_at',
  'subscription_will_renew',
  'subscription_source',
] as const

const statuses: readonly string[] = ['pending', 'active', 'deactivated', 'deleting', 'deleted']
const isStatus = (text: string): text is UserStatus => statuses.includes(text)

const select = (db: Db) => db.selectFrom('users').select(columns)
type Row = NonNullable<Awaited<ReturnType<ReturnType<typeof select>['executeTakeFirst']>>>

const toUser = (row: Row): User => {
  if (!isStatus(row.status)) throw new Error('users: unknown status')
  return {
    id: row.id,
    email: row.email,
    emailConfirmed: row.email_confirmed,
    pendingEmail: row.pending_email,
    pendingEmailAt: row.pending_email_at,
    passwordHash: row.password_hash,
    credentialVersion: row.credential_version,
    status: row.status,
    isAdmin: row.is_admin,
    termsVersion: row.terms_version,
    lastLogin: row.last_login,
    createdAt: row.created_at,
    creditsBalance: row.credits_balance,
    trialExpiresAt: row.trial_expires_at,
    subscriptionActive: row.subscription_active,
    subscriptionPlan: row.subscription_plan,
    subscriptionExpiresAt: row.subscription_expires_at,
    subscriptionWillRenew: row.subscription_will_renew,
    subscriptionSource: row.subscription_source,
  }
}

export const findUser = async (db: Db, id: number): Promise<User | null> => {
  const row = await select(db).where('id', '=', id).executeTakeFirst()
  return row ? toUser(row) : null
}

/** By normal form (see `normaliseEmail`). */
export const findUserByEmail = async (db: Db, email: string): Promise<User | null> => {
  const row = await select(db).where('email', '=', email).executeTakeFirst()
  return row ? toUser(row) : null
}

/** Locks the row for changes of the account; other rows may still reference it meanwhile. */
export const lockUser = async (tx: Tx, id: number): Promise<User | null> => {
  const row = await select(tx).where('id', '=', id).forNoKeyUpdate().executeTakeFirst()
  return row ? toUser(row) : null
}

/** True for the only active administrator. No other one can leave until the transaction ends. */
export const isLastAdmin = async (tx: Tx, id: number): Promise<boolean> => {
  const row = await tx.selectFrom('users').select('is_admin').where('id', '=', id).executeTakeFirst()
  if (row?.is_admin !== true) return false
  const active = await tx
    .selectFrom('users')
    .select('id')
    .where('is_admin', '=', true)
    .where('status', '=', 'active')
    .orderBy('id')
    .forNoKeyUpdate()
    .execute()
  return active.length === 1 && active[0]?.id === id
}

/**
 * False once the account's deletion has begun: a job that works for it then leaves, without a call to a provider and
 * without a record that the deletion would not see.
 */
export const isAccountLive = async (db: Db, id: number): Promise<boolean> => {
  const row = await db.selectFrom('users').select('status').where('id', '=', id).executeTakeFirst()
  return row !== undefined && row.status !== 'deleting' && row.status !== 'deleted'
}

/** The stored, compared and mailed form of an address: NFC, trimmed, lower case. */
export const normaliseEmail = (text: string): string => text.normalize('NFC').trim().toLowerCase()

const emailForm = /^[^\s@]+@[^\s@]+\.[^\s@]+$/

/** For a normal form: shape, no control characters, at most 254 characters. */
export const isEmail = (text: string): boolean =>
  [...text].length <= 254 && emailForm.test(text) && !/\p{Cc}/u.test(text) && text.isWellFormed()

export const insertUser = async (
  tx: Tx,
  user: {
    email: string
    passwordHash: string
    status: 'active' | 'pending'
    isConfirmed?: boolean
    isAdmin?: boolean
    termsVersion: string
    trialExpiresAt: Date
    now: Date
  },
): Promise<number> => {
  const { id } = await tx
    .insertInto('users')
    .values({
      email: user.email,
      email_confirmed: user.isConfirmed ?? false,
      is_admin: user.isAdmin ?? false,
      password_hash: user.passwordHash,
      password_changed_at: user.now,
      status: user.status,
      terms_version: user.termsVersion,
      terms_accepted_at: user.now,
      trial_expires_at: user.trialExpiresAt,
      created_at: user.now,
      updated_at: user.now,
    })
    .returning('id')
    .executeTakeFirstOrThrow()
  await tx
    .updateTable('users')
    .set({ revenuecat_app_user_id: String(id) })
    .where('id', '=', id)
    .execute()
  return id
}

/** Trial, subscription and the right to generate at `now`. Points and the gate flag do not matter here. */
export const accessOf = (
  user: User,
  now: Date,
): { trial: boolean; subscription: boolean; canGenerate: boolean } => {
  const trial = user.trialExpiresAt !== null && now < user.trialExpiresAt
  const subscription =
    user.subscriptionActive && user.subscriptionExpiresAt !== null && now < user.subscriptionExpiresAt
  return { trial, subscription, canGenerate: trial || subscription }
}

const pendingEmailMs = 24 * 3_600_000

/** The address that waits for its confirmation, or null; it lapses together with its 24 h link. */
export const livePendingEmail = (user: User, now: Date): string | null =>
  user.pendingEmailAt !== null && now.getTime() - user.pendingEmailAt.getTime() < pendingEmailMs
    ? user.pendingEmail
    : null

const nullableText = Type.Union([Type.String(), Type.Null()])

export const userSchema = Type.Object(
  {
    id: Type.Integer(),
    email: Type.String(),
    email_confirmed: Type.Boolean(),
    is_active: Type.Boolean(),
    is_admin: Type.Boolean(),
    credits_balance: Type.Integer(),
    created_at: Type.String(),
    last_login: nullableText,
    trial_is_active: Type.Boolean(),
    trial_expires_at: nullableText,
    subscription_is_active: Type.Boolean(),
    subscription_plan: nullableText,
    subscription_expires_at: nullableText,
    subscription_will_renew: Type.Boolean(),
    subscription_source: nullableText,
    can_generate: Type.Boolean(),
    pending_email: nullableText,
  },
  { title: 'User' },
)

/** The user as the wire shows it; `balance` is the spendable one at this moment. */
export const toUserJson = (user: User, balance: number, now: Date): Static<typeof userSchema> => {
  const access = accessOf(user, now)
  return {
    id: user.id,
    email: user.email ?? '',
    email_confirmed: user.emailConfirmed,
    is_active: user.status === 'active',
    is_admin: user.isAdmin,
    credits_balance: balance,
    created_at: isoTime(user.createdAt),
    last_login: isoTimeOrNull(user.lastLogin),
    trial_is_active: access.trial,
    trial_expires_at: isoTimeOrNull(user.trialExpiresAt),
    subscription_is_active: access.subscription,
    subscription_plan: user.subscriptionPlan,
    subscription_expires_at: isoTimeOrNull(user.subscriptionExpiresAt),
    subscription_will_renew: user.subscriptionWillRenew,
    subscription_source: user.subscriptionSource,
    can_generate: access.canGenerate,
    pending_email: livePendingEmail(user, now),
  }
}
