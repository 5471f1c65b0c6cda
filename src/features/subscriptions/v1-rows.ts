import { Type } from 'typebox'
import { Value } from 'typebox/value'

/** What the import reads of v1, one list a table; times are instants, v1's own columns being UTC without a zone. */
export interface V1Data {
  users: V1User[]
  lots: V1Lot[]
  receipts: V1Receipt[]
  events: { eventId: string; type: string; at: Date | null; userId: number | null }[]
  /** Ledger rows as they are, for the archive. */
  ledger: { table: string; rowId: string; userId: number | null; content: Record<string, unknown> }[]
  /** What could not be read, by table; nothing is left out without a line here. */
  unreadable: { table: string; rowId: string; reason: string }[]
}

export interface V1User {
  id: number
  email: string
  passwordHash: string | null
  isConfirmed: boolean
  isActive: boolean
  isAdmin: boolean
  lastLogin: Date | null
  createdAt: Date | null
  cachedBalance: number
  trialExpiresAt: Date | null
  customerId: string | null
  subscription: {
    isActive: boolean
    plan: string | null
    expiresAt: Date | null
    willRenew: boolean
    source: 'app_store' | 'play_store' | null
  }
}

export interface V1Lot {
  id: number
  userId: number
  source: string
  remaining: number
  expiresAt: Date | null
}

export interface V1Receipt {
  token: string
  userId: number | null
  productId: string | null
  platform: 'ios' | 'android' | null
  points: number | null
  at: Date | null
}

export type V1Row = Record<string, unknown>

const id32 = Type.Integer({ minimum: 1, maximum: 2_147_483_647 })
const int32 = Type.Integer({ minimum: -2_147_483_648, maximum: 2_147_483_647 })
const instantForm = Type.String({ pattern: '^\\d{4}-\\d\\d-\\d\\d[T ]\\d\\d:\\d\\d:\\d\\d' })

export const idOf = (value: unknown): number | null => (Value.Check(id32, value) ? value : null)
const integerOf = (value: unknown): number => (Value.Check(int32, value) ? value : 0)
export const textOf = (value: unknown): string | null =>
  typeof value === 'string' && value !== '' && value.isWellFormed() ? value : null

/** v1 wrote UTC into columns without a zone. */
export const instantOf = (value: unknown): Date | null => {
  if (!Value.Check(instantForm, value)) return null
  const isZoned = /(Z|[+-]\d\d(:?\d\d)?)$/.test(value)
  const instant = new Date(isZoned ? value : `${value.replace(' ', 'T')}Z`)
  return Number.isNaN(instant.getTime()) ? null : instant
}

const storeOf = (value: unknown): 'app_store' | 'play_store' | null =>
  value === 'app_store' || value === 'play_store' ? value : null

/** Null for a row without id or address: it names nobody. */
export const readUser = (row: V1Row): V1User | null => {
  const [id, email] = [idOf(row['id']), textOf(row['email'])]
  if (id === null || email === null) return null
  return {
    id,
    email,
    passwordHash: textOf(row['password_hash']),
    isConfirmed: row['email_confirmed'] === true,
    isActive: row['is_active'] !== false,
    isAdmin: row['is_admin'] === true,
    lastLogin: instantOf(row['last_login']),
    createdAt: instantOf(row['created_at']),
    cachedBalance: integerOf(row['credits_balance']),
    trialExpiresAt: instantOf(row['trial_expires_at']),
    customerId: textOf(row['revenuecat_app_user_id']),
    subscription: {
      isActive: row['subscription_active'] === true,
      plan: textOf(row['subscription_plan']),
      expiresAt: instantOf(row['subscription_expires_at']),
      willRenew: row['subscription_will_renew'] === true,
      source: storeOf(row['subscription_source']),
    },
  }
}

/** Null when it cannot be told whose points these are, or how many. */
export const readLot = (row: V1Row): V1Lot | null => {
  const [id, userId, remaining] = [idOf(row['id']), idOf(row['user_id']), row['amount_remaining']]
  const hasUnreadableEnd = row['expires_at'] != null && instantOf(row['expires_at']) === null
  if (id === null || userId === null || !Value.Check(int32, remaining) || hasUnreadableEnd) return null
  return {
    id,
    userId,
    source: textOf(row['source']) ?? '',
    remaining,
    expiresAt: instantOf(row['expires_at']),
  }
}

export const readReceipt = (row: V1Row): V1Receipt | null => {
  const token = textOf(row['receipt_token'])
  if (token === null) return null
  const { platform } = row
  const points = integerOf(row['credits_granted'])
  return {
    token,
    userId: idOf(row['user_id']),
    productId: textOf(row['product_id']),
    platform: platform === 'ios' || platform === 'android' ? platform : null,
    points: points > 0 ? points : null,
    at: instantOf(row['created_at']),
  }
}
