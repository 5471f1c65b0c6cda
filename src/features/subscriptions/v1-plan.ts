import { isEmail, normaliseEmail } from '../users/users.ts'
import { packPoints, baseProductId } from './products.ts'
import type { V1Data, V1Lot, V1User } from './v1-rows.ts'

export type LotSource = 'event' | 'monthly' | 'referral' | 'add_on' | 'free'

/** Where v1 and what comes of it differ, or would surprise somebody. */
export interface Difference {
  kind:
    | 'address_normalised'
    | 'password_hash_unknown'
    | 'trial_missing'
    | 'link_missing'
    | 'unknown_lot_source'
    | 'expired_lot_with_points'
    | 'negative_lot'
    | 'lot_too_large'
    | 'cache_above_lots'
    | 'cache_below_lots'
    | 'subscription_without_end'
    | 'is_admin'
    | 'link_taken'
  /** Points, where points are concerned. */
  points?: number
}

export interface PlannedUser {
  user: V1User
  email: string
  trialExpiresAt: Date | null
  /** Null when an account of this server has the one of v1. */
  customerId: string | null
  status: 'active' | 'pending' | 'deactivated'
  lots: { id: number; source: LotSource; amount: number; expiresAt: Date | null }[]
  /** Points of v1's cached balance that no live lot holds. */
  extraPoints: number
  differences: Difference[]
}

export interface SkippedUser {
  userId: number
  /** `id_taken`, `address_taken`: an account that was made here has it. */
  reason: 'address_collision' | 'address_invalid' | 'id_taken' | 'address_taken'
  /** v1's users whose addresses have the same normal form. */
  collidesWith: number[]
}

export interface V1Plan {
  users: PlannedUser[]
  skipped: SkippedUser[]
}

const dayMs = 86_400_000
const trialMs = 14 * dayMs
const sources: readonly LotSource[] = ['event', 'monthly', 'referral', 'add_on', 'free']
// Larger than any lot of ours may be.
const lotLimit = 1_000_000

const knownHash = /^(scrypt:\d+:\d+:\d+\$[A-Za-z0-9]{8,64}\$[0-9a-f]+|\$argon2id\$.+)$/

/** Lots that hold points that can still be spent. */
const planLots = (lots: readonly V1Lot[], now: Date) => {
  const differences: Difference[] = []
  const live = lots.filter((lot) => {
    const isOver = lot.expiresAt !== null && lot.expiresAt <= now
    if (lot.remaining < 0) differences.push({ kind: 'negative_lot', points: lot.remaining })
    if (isOver && lot.remaining > 0)
      differences.push({ kind: 'expired_lot_with_points', points: lot.remaining })
    return !isOver && lot.remaining > 0
  })
  const planned = live.map(({ id, source, remaining, expiresAt }) => {
    const known = sources.find((name) => name === source.trim().toLowerCase())
    if (!known) differences.push({ kind: 'unknown_lot_source', points: remaining })
    if (remaining > lotLimit) differences.push({ kind: 'lot_too_large', points: remaining - lotLimit })
    return { id, source: known ?? ('free' as const), amount: Math.min(remaining, lotLimit), expiresAt }
  })
  return { planned, differences }
}

const statusOf = ({ isActive, lastLogin }: V1User): PlannedUser['status'] => {
  if (isActive) return 'active'
  // v1 made accounts inactive until an administrator approved them: those were never signed in.
  return lastLogin === null ? 'pending' : 'deactivated'
}

const planUser = (user: V1User, email: string, lots: readonly V1Lot[], now: Date): PlannedUser => {
  const { planned, differences } = planLots(lots, now)
  const held = planned.reduce((points, lot) => points + lot.amount, 0)
  const extraPoints = Math.min(lotLimit, Math.max(0, user.cachedBalance - held))
  const { subscription } = user
  const notes: [isTrue: boolean, difference: Difference][] = [
    [email !== user.email, { kind: 'address_normalised' }],
    [!knownHash.test(user.passwordHash ?? ''), { kind: 'password_hash_unknown' }],
    [user.trialExpiresAt === null, { kind: 'trial_missing' }],
    [user.customerId === null, { kind: 'link_missing' }],
    [user.isAdmin, { kind: 'is_admin' }],
    [extraPoints > 0, { kind: 'cache_above_lots', points: extraPoints }],
    [user.cachedBalance < held, { kind: 'cache_below_lots', points: held - user.cachedBalance }],
    [subscription.isActive && subscription.expiresAt === null, { kind: 'subscription_without_end' }],
  ]
  const begun = user.createdAt ?? now
  return {
    user,
    email,
    trialExpiresAt: user.trialExpiresAt ?? new Date(begun.getTime() + trialMs),
    customerId: user.customerId ?? String(user.id),
    status: statusOf(user),
    lots: planned,
    extraPoints,
    differences: [...differences, ...notes.filter(([isTrue]) => isTrue).map(([, note]) => note)],
  }
}

/** What the import makes of v1's users and their points: pure, so that a dry run tells exactly what `--apply` does. */
export const planImport = (data: Pick<V1Data, 'users' | 'lots'>, now: Date): V1Plan => {
  const byAddress = Map.groupBy(data.users, ({ email }) => normaliseEmail(email))
  const lotsOf = Map.groupBy(data.lots, ({ userId }) => userId)
  const plan: V1Plan = { users: [], skipped: [] }
  for (const user of data.users.toSorted((a, b) => a.id - b.id)) {
    const email = normaliseEmail(user.email)
    const same = byAddress.get(email) ?? []
    const collidesWith = same.map(({ id }) => id).filter((id) => id !== user.id)
    if (!isEmail(email) || email.length < 3)
      plan.skipped.push({ userId: user.id, reason: 'address_invalid', collidesWith: [] })
    else if (collidesWith.length > 0)
      plan.skipped.push({ userId: user.id, reason: 'address_collision', collidesWith })
    else plan.users.push(planUser(user, email, lotsOf.get(user.id) ?? [], now))
  }
  return plan
}

/** What a used receipt was worth: as v1 wrote it, else by our table, else the least there is, so that it stays used. */
export const receiptPoints = (receipt: { points: number | null; productId: string | null }): number =>
  receipt.points ?? packPoints(baseProductId(receipt.productId)) ?? 1
