import { dueMonths, monthsStopAt, nextMonthAt, type AnnualPurchase } from './annual-months.ts'
import type { LineState, RefundFlag } from './line-state.ts'
import { isKnownSubscription, packPoints, planKind } from './products.ts'

/** What one purchase still owes or is owed. The ledger carries it out in this order, each at most once. */
export type SettlementAction =
  | {
      kind: 'grant'
      userId: number
      /** Annual month, 0 for all others. */
      month: number
      amount: number
      source: 'monthly' | 'add_on'
      reason: string
      grantKey: string
    }
  | { kind: 'claw_back' }
  | { kind: 'undo_claw_back' }

/** What the ledger holds of one purchase, whoever was paid. */
export interface PurchaseLedger {
  /** Months whose grant key is known (0 for a pack). */
  grantedMonths: readonly number[]
  /** Σ `amount_remaining` of the purchase's lots. */
  pointsLeft: number
  /** `store_refund` rows of the purchase that are still applied. */
  openClawBacks: number
}

export interface PeriodPurchase {
  /** `store_purchases.id`. */
  id: number
  transactionId: string
  productId: string | null
  /** INITIAL_PURCHASE rather than RENEWAL: only the reason of month 0 depends on it. */
  isInitial: boolean
  /** Month 0 is paid to this user. */
  userId: number
  purchasedAt: Date
  endsAt: Date
  /** As stored; null before the first refund or reversal. The line's flag is merged in. */
  refund: RefundFlag | null
  /** Months that begin before this count as paid (time of the import); null pays all. */
  monthsPaidBefore: Date | null
  /** Set for what pays nothing at all, such as a purchase before the import found in the store's reply. */
  notGrantedReason: string | null
}

export interface SubscriptionPoints {
  /** `MONTHLY_SUBSCRIPTION_CREDITS` and `YEARLY_SUBSCRIPTION_MONTHLY_CREDITS`. */
  monthly: number
  yearlyMonth: number
  yearlyProductIds: readonly string[]
}

export interface Settlement {
  actions: SettlementAction[]
  /** To be stored: the flag survives the pruning of its event. */
  refund: RefundFlag | null
  /** To be stored: where its months stop (`monthsStopAt`), for the time when its events are pruned. */
  endsAt: Date
  /** Annual: when the next month falls due, or since when one waits for its owner; null if none is to come. */
  nextGrantAt: Date | null
  /** Paid as monthly because we do not know the product: log an error, count it. */
  isUnknownProduct: boolean
}

/** The later writer; of the same instant, the fold's, which has seen all stored events. */
export const mergeRefund = (stored: RefundFlag | null, folded: RefundFlag | null): RefundFlag | null =>
  stored && folded ? (folded.changedAt >= stored.changedAt ? folded : stored) : (folded ?? stored)

const giveAndTake = (isRefunded: boolean, ledger: PurchaseLedger): SettlementAction[] => {
  if (isRefunded) return ledger.pointsLeft > 0 ? [{ kind: 'claw_back' }] : []
  return ledger.openClawBacks > 0 ? [{ kind: 'undo_claw_back' }] : []
}

/**
 * What a bought subscription period is to be paid, or to give back, given its line and the ledger. Carrying the actions
 * out and settling again gives none. Months after the first go to the line's owner, who must not be deactivated
 * (`mayOwnerReceive`): until then they stay due, and `nextGrantAt` is their start.
 */
export const settlePeriod = (facts: {
  purchase: PeriodPurchase
  line: LineState
  ledger: PurchaseLedger
  mayOwnerReceive: boolean
  points: SubscriptionPoints
  now: Date
}): Settlement => {
  const { purchase, line, ledger, mayOwnerReceive, points, now } = facts
  const refund = mergeRefund(purchase.refund, line.refunds.get(purchase.transactionId) ?? null)
  const isRefunded = refund?.isRefunded ?? false
  const isYearly = planKind(purchase.productId, points.yearlyProductIds) === 'yearly'
  const annual: AnnualPurchase = { ...purchase, isRefunded }
  const months = isYearly
    ? dueMonths(annual, line, now)
    : isRefunded
      ? []
      : [{ k: 0, startsAt: purchase.purchasedAt }]
  const owed = months.filter(
    ({ k, startsAt }) =>
      purchase.notGrantedReason === null &&
      !ledger.grantedMonths.includes(k) &&
      (purchase.monthsPaidBefore === null || startsAt >= purchase.monthsPaidBefore),
  )
  const waiting: Date[] = []
  const grants = owed.flatMap(({ k, startsAt }): SettlementAction[] => {
    const userId = k === 0 ? purchase.userId : mayOwnerReceive ? line.ownerUserId : null
    if (userId === null) {
      waiting.push(startsAt)
      return []
    }
    const firstReason = purchase.isInitial ? 'subscription_initial_purchase' : 'subscription_renewal'
    return [
      {
        kind: 'grant',
        userId,
        month: k,
        amount: isYearly ? points.yearlyMonth : points.monthly,
        source: 'monthly',
        reason: k === 0 ? firstReason : 'yearly_subscription_monthly_grant',
        grantKey: `sub:${purchase.id}:${k}`,
      },
    ]
  })
  const mayPay = isYearly && purchase.notGrantedReason === null
  return {
    actions: [...giveAndTake(isRefunded, ledger), ...grants],
    refund,
    endsAt: monthsStopAt(annual, line),
    nextGrantAt: mayPay ? (waiting[0] ?? nextMonthAt(annual, line, now)) : null,
    isUnknownProduct: !isKnownSubscription(purchase.productId, points.yearlyProductIds),
  }
}

/**
 * The same for a pack. `isEntitled` is whether the user may have it (subscribed when bought, or now); a pack that is paid
 * but not entitled stays without points and is tried again at each reconcile. Once granted it needs no entitlement.
 * A refund or reversal without a known purchase makes the purchase, so that a late purchase finds it.
 */
export const settlePack = (facts: {
  purchase: { id: number; userId: number; productId: string; isRefunded: boolean }
  ledger: PurchaseLedger
  isEntitled: boolean
}): {
  actions: SettlementAction[]
  notGrantedReason: 'not_entitled' | 'refunded' | 'unknown_product' | null
} => {
  const { purchase, ledger, isEntitled } = facts
  const actions = giveAndTake(purchase.isRefunded, ledger)
  if (ledger.grantedMonths.length > 0) return { actions, notGrantedReason: null }
  const amount = packPoints(purchase.productId)
  if (purchase.isRefunded) return { actions, notGrantedReason: 'refunded' }
  if (amount === null) return { actions, notGrantedReason: 'unknown_product' }
  if (!isEntitled) return { actions, notGrantedReason: 'not_entitled' }
  const { id, userId, productId } = purchase
  const grant: SettlementAction = {
    kind: 'grant',
    userId,
    month: 0,
    amount,
    source: 'add_on',
    reason: `addon:${productId}`,
    grantKey: `pack:${id}`,
  }
  return { actions: [...actions, grant], notGrantedReason: null }
}
