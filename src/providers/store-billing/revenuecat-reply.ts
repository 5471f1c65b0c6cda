import { Type } from 'typebox'
import { Value } from 'typebox/value'
import type { OneOffPurchase, Subscriber, SubscriptionEntry } from './store-billing.ts'

const level = Type.Record(Type.String(), Type.Unknown())
const list = Type.Array(Type.Unknown())
const isoWithZone = Type.String({
  pattern: '^\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d(\\.\\d+)?(Z|[+-]\\d\\d:?\\d\\d)$',
})
const stores = { app_store: 'app_store', mac_app_store: 'app_store', play_store: 'play_store' } as const
const storeName = Type.Union([
  Type.Literal('app_store'),
  Type.Literal('mac_app_store'),
  Type.Literal('play_store'),
])

type Level = Record<string, unknown>

const isLevel = (value: unknown): value is Level => Value.Check(level, value) && !Array.isArray(value)
const levelOf = (value: unknown): Level => (isLevel(value) ? value : {})

/** PostgreSQL's text holds neither NUL nor half of a surrogate pair. */
const isStorable = (value: string): boolean => value.isWellFormed() && !value.includes('\0')

const textOf = (value: unknown): string | null => {
  if (typeof value === 'number' && Number.isSafeInteger(value)) return String(value)
  return typeof value === 'string' && value !== '' && isStorable(value) ? value : null
}

const dateOf = (value: unknown): Date | null => {
  if (!Value.Check(isoWithZone, value)) return null
  const date = new Date(value)
  return Number.isNaN(date.getTime()) ? null : date
}

const readOneOff = (productId: string, entry: Level): OneOffPurchase => ({
  productId,
  id: textOf(entry['id']),
  storeTransactionId: textOf(entry['store_transaction_id']),
  purchasedAt: dateOf(entry['purchase_date']),
  isSandbox: entry['is_sandbox'] === true,
})

const readSubscription = (productId: string, entry: Level): SubscriptionEntry => ({
  productId,
  storeTransactionId: textOf(entry['store_transaction_id']),
  purchasedAt: dateOf(entry['purchase_date']),
  originalPurchasedAt: dateOf(entry['original_purchase_date']),
  expiresAt: dateOf(entry['expires_date']),
  graceEndsAt: dateOf(entry['grace_period_expires_date']),
  refundedAt: dateOf(entry['refunded_at']),
  isSandbox: entry['is_sandbox'] === true,
  store: Value.Check(storeName, entry['store']) ? stores[entry['store']] : null,
})

/**
 * Reads the reply of `GET /v1/subscribers/{id}`. A level or field that is missing or of another form is empty; nothing
 * that is not in `Subscriber` is looked at. Null when the reply is not a JSON object at all.
 */
export const readSubscriber = (reply: unknown): Subscriber | null => {
  if (!isLevel(reply)) return null
  const subscriber = levelOf(reply['subscriber'])
  return {
    oneOffPurchases: Object.entries(levelOf(subscriber['non_subscriptions'])).flatMap(
      ([productId, entries]) =>
        Value.Check(list, entries)
          ? entries.filter(isLevel).map((entry) => readOneOff(productId, entry))
          : [],
    ),
    subscriptions: Object.entries(levelOf(subscriber['subscriptions'])).flatMap(([productId, entry]) =>
      isLevel(entry) ? [readSubscription(productId, entry)] : [],
    ),
  }
}
