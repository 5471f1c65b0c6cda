import {
  currentPeriod,
  emptyLine,
  sourceOf,
  type LineEvent,
  type LineState,
  type Period,
} from './line-state.ts'
import { isPurchase, isRefund, purchaseTransaction, targetOf } from './store-event.ts'

/*
 * One line's state machine. The line is folded anew from its stored events in event order, (time of the event, order of
 * receipt), so a late event takes its place in the past.
 *
 * no period ──INITIAL_PURCHASE, RENEWAL, TEMPORARY_ENTITLEMENT_GRANT──▶ active
 * active ────EXPIRATION that counts──▶ inactive ────INITIAL_PURCHASE, RENEWAL, REFUND_REVERSED──▶ active
 *
 * INITIAL_PURCHASE, RENEWAL     begin a new current period in any state; the named user owns the line from here on
 * EXPIRATION                    counts if it names the current transaction, or gives no end, or one at or after the
 *                               period's; the only way to inactive
 * REFUND_REVERSED               of the current transaction, with an end: active until then
 * TEMPORARY_ENTITLEMENT_GRANT   only where no period is: 24 h at most
 * CANCELLATION, UNCANCELLATION, SUBSCRIPTION_PAUSED, BILLING_ISSUE, SUBSCRIPTION_EXTENDED, PRODUCT_CHANGE, TRANSFER
 *                               change a flag, an end or the owner, never active to inactive or back
 *
 * The owner is the first user an event names; then TRANSFERs and purchases move it. A purchase moves it because the
 * store sends a TRANSFER once only, and because a renewal may arrive before the TRANSFER that preceded it.
 */

const dayMs = 86_400_000
/** Longest monthly period plus a margin, for a purchase that does not say when it ends. */
const defaultPeriodMs = 35 * dayMs

const later = (a: Date, b: Date): Date => (a >= b ? a : b)
const earlier = (a: Date, b: Date): Date => (a <= b ? a : b)
const after = (instant: Date, ms: number): Date => new Date(instant.getTime() + ms)

type Step = (line: LineState, event: LineEvent) => LineState

const replaceCurrent = (line: LineState, period: Period): readonly Period[] => [
  ...line.periods.slice(0, -1),
  period,
]

const begin = (line: LineState, event: LineEvent, period: Period): LineState => ({
  ...line,
  // An event that repeats a known transaction is that same period, not its successor.
  periods: [...line.periods.filter((known) => known.transactionId !== period.transactionId), period],
  accessEndsAt: period.endsAt,
  isActive: true,
  ownerUserId: event.userId ?? line.ownerUserId,
  unknownOwnerIds: event.userId === null ? line.unknownOwnerIds : null,
})

const purchase: Step = (line, event) => {
  const isInitial = event.type === 'INITIAL_PURCHASE'
  const transactionId = purchaseTransaction(event)
  const { productId, store, price, currency, origin, environment, eventId, purchaseId } = event
  const startsAt = event.purchasedAt ?? event.at
  const endsAt = event.expiresAt ?? after(startsAt, defaultPeriodMs)
  const period: Period = { transactionId, productId, startsAt, endsAt, expiredAt: null, isTemporary: false }
  const begun = begin(line, event, period)
  const bought = {
    transactionId,
    originalTransactionId: event.originalTransactionId,
    productId,
    isInitial,
    purchasedAt: startsAt,
    endsAt,
    userId: begun.ownerUserId,
    purchaseId,
    eventId,
    origin,
    environment,
    store: sourceOf(store),
    price,
    currency,
  }
  return {
    ...begun,
    willRenew: true,
    billingIssueAt: null,
    pendingPlan: null,
    plan: isInitial ? productId : (productId ?? line.plan),
    store: isInitial ? store : (store ?? line.store),
    purchases: line.purchases.has(transactionId)
      ? line.purchases
      : new Map([...line.purchases, [transactionId, bought]]),
  }
}

const grantTemporarily: Step = (line, event) => {
  if (currentPeriod(line)) return line
  const { productId, store } = event
  const limit = after(event.at, dayMs)
  const endsAt = event.expiresAt ? earlier(event.expiresAt, limit) : limit
  const transactionId = purchaseTransaction(event)
  const startsAt = event.purchasedAt ?? event.at
  const period: Period = { transactionId, productId, startsAt, endsAt, expiredAt: null, isTemporary: true }
  return { ...begin(line, event, period), willRenew: false, plan: productId, store }
}

/** Without a transaction id the current one is meant. */
const flagRefund = (line: LineState, event: LineEvent, isRefunded: boolean): LineState => {
  const transactionId = event.transactionId ?? currentPeriod(line)?.transactionId
  if (transactionId === undefined) return line
  const flag = { isRefunded, changedAt: event.at }
  return { ...line, refunds: new Map([...line.refunds, [transactionId, flag]]) }
}

const cancel: Step = (line, event) => {
  const flagged = isRefund(event) ? flagRefund(line, event, true) : line
  // A refund by support says nothing about renewal: the store may go on renewing.
  return event.cancelReason === 'CUSTOMER_SUPPORT' ? flagged : { ...flagged, willRenew: false }
}

const reverseRefund: Step = (line, event) => {
  const flagged = flagRefund(line, event, false)
  const period = currentPeriod(line)
  const isCurrent = period && (event.transactionId ?? period.transactionId) === period.transactionId
  if (!isCurrent || !event.expiresAt) return flagged
  const restored = { ...period, endsAt: event.expiresAt, expiredAt: null }
  return {
    ...flagged,
    periods: replaceCurrent(line, restored),
    accessEndsAt: event.expiresAt,
    isActive: true,
  }
}

const expire: Step = (line, event) => {
  const period = currentPeriod(line)
  if (!period) return line
  const isCounted =
    event.transactionId === period.transactionId ||
    event.expiresAt === null ||
    event.expiresAt >= period.endsAt
  if (!isCounted) return line
  const stopsAt = event.expiresAt ? earlier(event.expiresAt, event.at) : event.at
  const expiredAt = period.expiredAt ? earlier(period.expiredAt, stopsAt) : stopsAt
  const withoutGrace = earlier(line.accessEndsAt ?? period.endsAt, period.endsAt)
  return {
    ...line,
    periods: replaceCurrent(line, { ...period, expiredAt }),
    accessEndsAt: event.expiresAt ? earlier(event.expiresAt, withoutGrace) : withoutGrace,
    isActive: false,
    willRenew: false,
    billingIssueAt: null,
  }
}

const extend: Step = (line, { expiresAt }) => {
  const period = currentPeriod(line)
  if (!period || !expiresAt) return line
  return {
    ...line,
    periods: replaceCurrent(line, { ...period, endsAt: later(period.endsAt, expiresAt) }),
    accessEndsAt: line.accessEndsAt ? later(line.accessEndsAt, expiresAt) : expiresAt,
  }
}

const noteBillingIssue: Step = (line, { at, graceEndsAt }) => {
  const period = currentPeriod(line)
  const accessEndsAt = period && graceEndsAt ? later(period.endsAt, graceEndsAt) : line.accessEndsAt
  return { ...line, billingIssueAt: at, accessEndsAt }
}

const transfer: Step = (line, event) => {
  const isOfItsStore = event.store === null || line.store === null || event.store === line.store
  const isOwned =
    line.ownerUserId === null
      ? (line.unknownOwnerIds ?? []).some((id) => event.transferredFrom.includes(id))
      : event.fromUserIds.includes(line.ownerUserId)
  if (!isOfItsStore || !isOwned) return line
  const { toUserId } = event
  return {
    ...line,
    ownerUserId: toUserId,
    unknownOwnerIds: toUserId === null ? event.transferredTo : null,
  }
}

const steps: ReadonlyMap<string, Step> = new Map<string, Step>([
  ['INITIAL_PURCHASE', purchase],
  ['RENEWAL', purchase],
  ['TEMPORARY_ENTITLEMENT_GRANT', grantTemporarily],
  ['CANCELLATION', cancel],
  ['UNCANCELLATION', (line) => ({ ...line, willRenew: true, billingIssueAt: null })],
  ['REFUND_REVERSED', reverseRefund],
  ['BILLING_ISSUE', noteBillingIssue],
  ['EXPIRATION', expire],
  ['SUBSCRIPTION_EXTENDED', extend],
  ['SUBSCRIPTION_PAUSED', (line) => ({ ...line, willRenew: false })],
  [
    'PRODUCT_CHANGE',
    (line, { newProductId }) => (newProductId === null ? line : { ...line, pendingPlan: newProductId }),
  ],
])

/**
 * The events that count, in event order: (time of the event, order of receipt), each event id once (the first received).
 * A purchase read from the store's reply is left out once a webhook or import event tells of that purchase itself.
 */
export const inEventOrder = (events: readonly LineEvent[]): LineEvent[] => {
  const received = events.toSorted((a, b) => a.receiptOrder - b.receiptOrder)
  const byId = new Map(received.toReversed().map((event) => [event.eventId, event]))
  const told = new Set<string>()
  for (const event of byId.values())
    if (isPurchase(event) && event.origin !== 'store_reply') told.add(purchaseTransaction(event))
  return [...byId.values()]
    .filter(
      (event) =>
        !(isPurchase(event) && event.origin === 'store_reply' && told.has(purchaseTransaction(event))),
    )
    .sort((a, b) => a.at.getTime() - b.at.getTime() || a.receiptOrder - b.receiptOrder)
}

const claim = (line: LineState, userId: number | null): LineState =>
  line.ownerUserId === null && line.unknownOwnerIds === null ? { ...line, ownerUserId: userId } : line

const apply: Step = (line, event) => {
  const target = targetOf(event)
  if (target === 'transfer') return transfer(line, event)
  if (target !== 'subscription') return line
  const claimed = claim(line, event.userId)
  return steps.get(event.type)?.(claimed, event) ?? claimed
}

/**
 * The state of one line. Takes the stored events of the line and every TRANSFER, in any order; events that are not
 * about a subscription (packs, unknown types) change nothing. A TRANSFER before the line's first event has no effect:
 * nobody owned the line then.
 */
export const foldLine = (events: readonly LineEvent[]): LineState => {
  let line = emptyLine
  for (const event of inEventOrder(events)) line = apply(line, event)
  return line
}
