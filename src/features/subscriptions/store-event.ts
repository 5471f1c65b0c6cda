import { packPoints } from './products.ts'

export type StoreName = 'app_store' | 'play_store'

/**
 * One event of the store, as much of it as is ever kept. Any field but the first four may be missing (null); texts are
 * never empty. Product ids are base ids, cut at the first `:`.
 */
export interface StoreEvent {
  /** Unique; `rest:<store transaction id>` for a purchase read from the store's reply. */
  eventId: string
  /** RevenueCat's event type; unknown ones are possible. */
  type: string
  /** When it happened by the store's clock, else when it was received. */
  at: Date
  origin: 'webhook' | 'store_reply' | 'import'
  productId: string | null
  newProductId: string | null
  transactionId: string | null
  originalTransactionId: string | null
  purchasedAt: Date | null
  expiresAt: Date | null
  graceEndsAt: Date | null
  resumesAt: Date | null
  periodType: string | null
  cancelReason: string | null
  expirationReason: string | null
  /** `other` is a named store that is neither of the two; null when none is named. */
  store: StoreName | 'other' | null
  environment: 'PRODUCTION' | 'SANDBOX'
  price: number | null
  currency: string | null
  /** Customer ids of a TRANSFER as the store sent them, empty in all other events. */
  transferredFrom: readonly string[]
  transferredTo: readonly string[]
}

export type EventTarget = 'test' | 'transfer' | 'subscription' | 'pack' | 'ignored'

const subscriptionTypes: ReadonlySet<string> = new Set([
  'INITIAL_PURCHASE',
  'RENEWAL',
  'CANCELLATION',
  'UNCANCELLATION',
  'BILLING_ISSUE',
  'EXPIRATION',
  'SUBSCRIPTION_EXTENDED',
  'PRODUCT_CHANGE',
  'SUBSCRIPTION_PAUSED',
  'REFUND_REVERSED',
  'TEMPORARY_ENTITLEMENT_GRANT',
])

/**
 * What an event is about. `subscription` enters a line; `pack` is a pack's purchase, refund or reversal and never does;
 * `ignored` is a type we do not handle, a one-off product that is no pack, or a pack id in a subscription event.
 * By type and product alone: a CANCELLATION without product whose transaction is a known pack is for the caller to see.
 */
export const targetOf = (event: Pick<StoreEvent, 'type' | 'productId'>): EventTarget => {
  const { type } = event
  const isPack = packPoints(event.productId) !== null
  if (type === 'TEST') return 'test'
  if (type === 'TRANSFER') return 'transfer'
  if (type === 'NON_RENEWING_PURCHASE') return isPack ? 'pack' : 'ignored'
  if (!subscriptionTypes.has(type)) return 'ignored'
  if (!isPack) return 'subscription'
  return type === 'CANCELLATION' || type === 'REFUND_REVERSED' ? 'pack' : 'ignored'
}

export const isPurchase = (event: Pick<StoreEvent, 'type'>): boolean =>
  event.type === 'INITIAL_PURCHASE' || event.type === 'RENEWAL'

/** CANCELLATION doubles as the refund: support gave the money back, or the price is negative. */
export const isRefund = (event: Pick<StoreEvent, 'type' | 'cancelReason' | 'price'>): boolean =>
  event.type === 'CANCELLATION' &&
  (event.cancelReason === 'CUSTOMER_SUPPORT' || (event.price !== null && event.price < 0))

/** The transaction a purchase event stands for; without one the event is its own. */
export const purchaseTransaction = (event: Pick<StoreEvent, 'eventId' | 'transactionId'>): string =>
  event.transactionId ?? `event:${event.eventId}`
