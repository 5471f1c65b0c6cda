import type { StoreEvent, StoreName } from './store-event.ts'

/** A stored event as the fold takes it: the event, its place in the order of receipt, and the users behind its ids. */
export interface LineEvent extends StoreEvent {
  /** Rises with each event received (the row's id); decides between events of the same instant. */
  receiptOrder: number
  /** The user the event names; null in a TRANSFER. */
  userId: number | null
  /** The purchase already known for this event (its row's column), passed through to `LinePurchase`. */
  purchaseId: number | null
  /** TRANSFER: our users among `transferredFrom`, and the first one of `transferredTo` that is ours. */
  fromUserIds: readonly number[]
  toUserId: number | null
}

/** One store transaction's time in a line. */
export interface Period {
  transactionId: string
  productId: string | null
  startsAt: Date
  /** Extension and reversal counted, grace not. */
  endsAt: Date
  /** When an EXPIRATION that counted ended it early or in time; null while none did. */
  expiredAt: Date | null
  /** A stand-in while the store cannot confirm the purchase; pays nothing. */
  isTemporary: boolean
}

/** A store transaction that was bought in this line; what it pays is `settle.ts`'s decision. */
export interface LinePurchase {
  transactionId: string
  originalTransactionId: string | null
  /** The product the event named, not the plan carried on; null pays as monthly. */
  productId: string | null
  isInitial: boolean
  /** The anchor of annual months. */
  purchasedAt: Date
  /** As bought: later extensions stand in the line's period. */
  endsAt: Date
  /** Who owned the line at that place: month 0 is paid to them. */
  userId: number | null
  purchaseId: number | null
  /** The first event that told of it. */
  eventId: string
  origin: StoreEvent['origin']
  environment: StoreEvent['environment']
  store: StoreName | null
  price: number | null
  currency: string | null
}

/** Last writer wins by `changedAt`. */
export interface RefundFlag {
  isRefunded: boolean
  changedAt: Date
}

export interface LineState {
  /** Null: nobody yet, or a customer we do not know. */
  ownerUserId: number | null
  /** The store's ids of an owner we do not know; null otherwise. A later TRANSFER may name them. */
  unknownOwnerIds: readonly string[] | null
  /** All periods in the order of their events; the last one is the current one. */
  periods: readonly Period[]
  /** End of access: the current period's end, grace included, or earlier by an EXPIRATION; null without a period. */
  accessEndsAt: Date | null
  isActive: boolean
  willRenew: boolean
  plan: string | null
  pendingPlan: string | null
  store: StoreName | 'other' | null
  billingIssueAt: Date | null
  /** By transaction, in the order they were bought. */
  purchases: ReadonlyMap<string, LinePurchase>
  /** By transaction, also of those whose purchase event is missing or pruned. */
  refunds: ReadonlyMap<string, RefundFlag>
}

export const emptyLine: LineState = {
  ownerUserId: null,
  unknownOwnerIds: null,
  periods: [],
  accessEndsAt: null,
  isActive: false,
  willRenew: false,
  plan: null,
  pendingPlan: null,
  store: null,
  billingIssueAt: null,
  purchases: new Map(),
  refunds: new Map(),
}

export const currentPeriod = (line: LineState): Period | null => line.periods.at(-1) ?? null

/** The store as columns and users see it. */
export const sourceOf = (store: StoreEvent['store']): StoreName | null => (store === 'other' ? null : store)
