export type StorePlatform = 'ios' | 'android'

/** A one-off purchase as the store's books list it. Google's two ids may be equal. */
export interface OneOffPurchase {
  /** The product under which the store lists it; may carry `:baseplan`. */
  productId: string
  /** The billing service's own id, the one that the app's SDK calls `transactionIdentifier`. */
  id: string | null
  storeTransactionId: string | null
  purchasedAt: Date | null
  isSandbox: boolean
}

/** The latest period of a subscription; the service lists one a product. */
export interface SubscriptionEntry {
  productId: string
  storeTransactionId: string | null
  purchasedAt: Date | null
  /** Start of the first period. */
  originalPurchasedAt: Date | null
  expiresAt: Date | null
  graceEndsAt: Date | null
  refundedAt: Date | null
  isSandbox: boolean
  store: 'app_store' | 'play_store' | null
}

export interface Subscriber {
  oneOffPurchases: OneOffPurchase[]
  subscriptions: SubscriptionEntry[]
}

/**
 * `unavailable`: no answer worth trusting, ask again later. `invalid`: the service refused the question; `alert` when it
 * refused our key, which an operator must mend. `status` is the HTTP status, null when there was none.
 */
export type SubscriberReply =
  | { kind: 'ok'; subscriber: Subscriber }
  | { kind: 'unavailable'; status: number | null }
  | { kind: 'invalid'; alert: boolean; status: number | null }

/** The service that keeps the books of the app stores. */
export interface StoreBilling {
  readonly name: string
  /** Whether a call for this platform can be made at all; without a key it answers `invalid` at once. */
  hasKey(platform: StorePlatform): boolean
  /**
   * One customer's purchases. One HTTP request with a deadline of its own, never retried; never inside a transaction.
   * Creates the customer at the service if it is new. Rejects only with the reason of the caller's aborted signal.
   */
  fetchSubscriber(
    request: { customerId: string; platform: StorePlatform },
    signal: AbortSignal,
  ): Promise<SubscriberReply>
}
