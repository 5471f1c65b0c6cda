import type { Subscriber } from '../../providers/store-billing/store-billing.ts'
import { baseProductId } from './products.ts'
import type { StoreEvent } from './store-event.ts'

/** Longer ones are no store's; they would not fit the column of event ids. */
const transactionIdLimit = 200

/**
 * The events a store's reply stands for: of each subscription with a transaction id and a purchase date a RENEWAL
 * `rest:<transaction>` at that date, and, if it was refunded, a refund `rest:<transaction>:refund` at the refund's. The
 * fold leaves the RENEWAL out once a webhook event tells of the purchase. Sandbox entries are for the caller to refuse.
 */
export const eventsOfReply = (subscriber: Subscriber): StoreEvent[] =>
  subscriber.subscriptions.flatMap((entry): StoreEvent[] => {
    const { storeTransactionId, purchasedAt, refundedAt } = entry
    if (storeTransactionId === null || storeTransactionId.length > transactionIdLimit || !purchasedAt)
      return []
    const renewal: StoreEvent = {
      eventId: `rest:${storeTransactionId}`,
      type: 'RENEWAL',
      at: purchasedAt,
      origin: 'store_reply',
      productId: baseProductId(entry.productId),
      newProductId: null,
      transactionId: storeTransactionId,
      originalTransactionId: null,
      purchasedAt,
      expiresAt: entry.expiresAt,
      graceEndsAt: null,
      resumesAt: null,
      periodType: null,
      cancelReason: null,
      expirationReason: null,
      store: entry.store,
      environment: entry.isSandbox ? 'SANDBOX' : 'PRODUCTION',
      price: null,
      currency: null,
      transferredFrom: [],
      transferredTo: [],
    }
    if (!refundedAt) return [renewal]
    const refund: StoreEvent = {
      ...renewal,
      eventId: `rest:${storeTransactionId}:refund`,
      type: 'CANCELLATION',
      at: refundedAt,
      purchasedAt: null,
      expiresAt: null,
      cancelReason: 'CUSTOMER_SUPPORT',
    }
    return [renewal, refund]
  })
