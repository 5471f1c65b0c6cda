import type { Clock } from '../../platform/clock.ts'
import type { Database, Tx } from '../../platform/db/database.ts'
import type { Subscriber } from '../../providers/store-billing/store-billing.ts'
import type { Credits } from '../credits/credits.ts'
import { accessOf, findUser } from '../users/users.ts'
import { isGone, withAccountLocks, type AccountLocks } from './account-locks.ts'
import { wasSubscribedAt, type PackEntry } from './pack-entitlement.ts'
import { moveUnpaidPack } from './pack-queries.ts'
import {
  addAliases,
  findAliases,
  findPurchase,
  insertPurchase,
  listPurchases,
  updatePurchase,
  type Purchase,
} from './purchase-queries.ts'
import { settlePack } from './settle.ts'

/*
 * unknown ──claim, entitled──▶ granted (points)      final; repeating the claim answers the same
 * unknown ──claim, not entitled──▶ kept without points ──reconcile, entitled──▶ granted
 * A refund keeps it from being granted; the points of a granted one are the webhook's to claw back.
 */

export type PackOutcome =
  /** `points` is the pack's amount, `isNew` false when it was granted before. */
  | { kind: 'granted'; points: number; isNew: boolean }
  /** Paid to another account, or once known by one that is deleted. */
  | { kind: 'foreign' }
  /** Refunded, or no pack at all. */
  | { kind: 'refused' }
  /** Kept, and tried again at each reconcile. */
  | { kind: 'not_entitled' }

export interface PackClaim {
  userId: number
  entry: PackEntry
  /** The store's answer; null when it was not asked (`ALLOW_UNVERIFIED_PURCHASES`). */
  subscriber: Subscriber | null
  platform: 'ios' | 'android' | null
}

export interface PackLedgerDeps {
  clock: Clock
  credits: Pick<Credits, 'lock' | 'grant' | 'purchasePoints'>
  allowsSandbox: boolean
}

/**
 * Grants a known pack purchase of a locked user if they are entitled and nothing was granted yet (30 §10.2); else notes
 * why not. A repeated call changes nothing.
 */
export const createPackPayer =
  ({ clock, credits, allowsSandbox }: PackLedgerDeps) =>
  async (tx: Tx, purchase: Purchase, subscriber: Subscriber | null): Promise<PackOutcome> => {
    const now = clock.now()
    const { id, userId, isRefunded, points } = purchase
    if (points !== null) return { kind: 'granted', points, isNew: false }
    if (isRefunded || purchase.productId === null) return { kind: 'refused' }
    const user = await findUser(tx, userId)
    const isEntitled =
      (user !== null && accessOf(user, now).subscription) ||
      (subscriber !== null && wasSubscribedAt(subscriber, purchase.purchasedAt, allowsSandbox))
    const { actions, notGrantedReason } = settlePack({
      purchase: { id, userId, productId: purchase.productId, isRefunded },
      ledger: await credits.purchasePoints(tx, id),
      isEntitled,
    })
    if (notGrantedReason !== purchase.notGrantedReason)
      await updatePurchase(tx, id, { notGrantedReason }, now)
    if (notGrantedReason === 'not_entitled') return { kind: 'not_entitled' }
    const grant = actions.find((action) => action.kind === 'grant')
    if (!grant) return { kind: 'refused' }
    const { amount, source, reason, grantKey } = grant
    const { isNew } = await credits.grant(tx, { userId, amount, source, reason, grantKey, purchaseId: id })
    await updatePurchase(tx, id, { points: amount }, now)
    return { kind: 'granted', points: amount, isNew }
  }

/** The purchase an entry names; if its two identifiers came in as two, the one that was granted. */
const findNamed = async (tx: Tx, entry: PackEntry): Promise<Purchase | null> => {
  const known = await findAliases(tx, entry.identifiers)
  const named = await listPurchases(tx, { ids: [...new Set(known.values())] })
  return named.find(({ points }) => points !== null) ?? named[0] ?? null
}

/**
 * Claims one pack in a transaction of its own: purchase, all its identifiers, lot and ledger row, or nothing. Whatever
 * identifier names it, and whoever else claims it at the same time, it is granted once.
 */
export const createPackClaim = (deps: PackLedgerDeps & { database: Database }) => {
  const { clock } = deps
  const pay = createPackPayer(deps)

  const insert = async (tx: Tx, { userId, entry, platform }: PackClaim): Promise<Purchase> => {
    const now = clock.now()
    const { productId, identifiers, transactionId } = entry
    const purchasedAt = entry.purchasedAt ?? now
    const environment = entry.isSandbox ? 'SANDBOX' : 'PRODUCTION'
    const id = await insertPurchase(
      tx,
      { kind: 'pack', userId, productId, platform, purchasedAt, environment, transactionId },
      identifiers,
      now,
    )
    const made = await findPurchase(tx, id)
    if (!made) throw new Error('packs: the new purchase is gone')
    return made
  }

  const claimLocked = async (tx: Tx, locks: AccountLocks, claim: PackClaim): Promise<PackOutcome> => {
    const { userId, entry, subscriber } = claim
    const now = clock.now()
    if (isGone(locks.statusOf(userId))) return { kind: 'refused' }
    const purchase = await findNamed(tx, entry)
    if (!purchase) return pay(tx, await insert(tx, claim), subscriber)
    const isForeign = purchase.userId !== userId
    if (isForeign && (purchase.points !== null || !subscriber)) return { kind: 'foreign' }
    if (isForeign) locks.need([purchase.userId])
    if (isForeign && isGone(locks.statusOf(purchase.userId))) return { kind: 'foreign' }
    if (purchase.kind !== 'pack') return { kind: 'refused' }
    const known = await findAliases(tx, entry.identifiers)
    await addAliases(
      tx,
      purchase.id,
      entry.identifiers.filter((identifier) => !known.has(identifier)),
    )
    if (purchase.points !== null || purchase.isRefunded) return pay(tx, purchase, subscriber)
    // The store lists it under this user and this product now.
    if (isForeign) await moveUnpaidPack(tx, purchase.id, userId, now)
    const { productId } = entry
    if (productId !== purchase.productId) await updatePurchase(tx, purchase.id, { productId }, now)
    return pay(tx, { ...purchase, userId, productId }, subscriber)
  }

  return (claim: PackClaim): Promise<PackOutcome> =>
    withAccountLocks(deps, [claim.userId], (tx, locks) => claimLocked(tx, locks, claim))
}
