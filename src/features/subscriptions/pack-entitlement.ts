import type { OneOffPurchase, Subscriber } from '../../providers/store-billing/store-billing.ts'
import { baseProductId, packPoints } from './products.ts'

/** A pack as the store's books list it. */
export interface PackEntry {
  /** Base id of the product under which the store lists it: it decides the amount, never the client's word. */
  productId: string
  /** The service's own id and the store's, without repetition; at least one. */
  identifiers: readonly string[]
  /** Shown to support; the store's id if there is one. */
  transactionId: string | null
  purchasedAt: Date | null
  isSandbox: boolean
}

const entryOf = (purchase: OneOffPurchase): PackEntry | null => {
  const productId = baseProductId(purchase.productId)
  const { id, storeTransactionId, purchasedAt, isSandbox } = purchase
  const identifiers = [...new Set([id, storeTransactionId].filter((value) => value !== null))]
  return productId !== null && packPoints(productId) !== null && identifiers.length > 0
    ? { productId, identifiers, transactionId: storeTransactionId ?? id, purchasedAt, isSandbox }
    : null
}

/** The packs of a customer that count: known products, and no sandbox purchases where those are refused. */
export const packsOf = (subscriber: Subscriber, allowsSandbox: boolean): PackEntry[] =>
  subscriber.oneOffPurchases
    .map(entryOf)
    .filter((entry) => entry !== null)
    .filter((entry) => allowsSandbox || !entry.isSandbox)

/**
 * Whether the store's books show a subscription at the time of the pack: not refunded, begun at or before it, and not
 * over, grace counted (30 §10.2). Sandbox subscriptions count where sandbox purchases do.
 */
export const wasSubscribedAt = (subscriber: Subscriber, instant: Date, allowsSandbox: boolean): boolean =>
  subscriber.subscriptions.some(
    ({ refundedAt, isSandbox, originalPurchasedAt, expiresAt, graceEndsAt }) =>
      refundedAt === null &&
      (allowsSandbox || !isSandbox) &&
      originalPurchasedAt !== null &&
      originalPurchasedAt <= instant &&
      [expiresAt, graceEndsAt].some((end) => end !== null && instant < end),
  )
