import { baseProductId } from './products.ts'
import type { StoreEvent } from './store-event.ts'

/** Texts of the 400 answers of the webhook. */
export type EventRefusal =
  | 'Invalid JSON payload'
  | 'Invalid payload'
  | 'Missing event object'
  | 'Missing event id'
  | 'Invalid event id'
  | 'Invalid event type'

export type EventReading =
  | {
      kind: 'event'
      event: StoreEvent
      /** Ids to look the user up by, best first. For the look-up only: they are not to be stored. */
      customerIds: readonly string[]
    }
  | { kind: 'refused'; error: EventRefusal }

/** 2020-01-01 and 2100-01-01, both inclusive: what is outside is no date of ours but a unit mix-up or a sentinel. */
const earliestMs = 1_577_836_800_000
const latestMs = 4_102_444_800_000
const eventIdLimit = 255
const eventTypeLimit = 50

const refused = (error: EventRefusal): EventReading => ({ kind: 'refused', error })

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** PostgreSQL's text holds neither NUL nor half of a surrogate pair. */
const isStorable = (text: string): boolean => text.isWellFormed() && !text.includes('\0')

const text = (value: unknown): string | null =>
  typeof value === 'string' && value !== '' && isStorable(value) ? value : null

/** Some senders write numeric ids as numbers. */
const identifier = (value: unknown): string | null =>
  typeof value === 'number' && Number.isSafeInteger(value) ? String(value) : text(value)

const identifiers = (value: unknown): string[] =>
  Array.isArray(value) ? [...new Set(value.map(identifier).filter((id) => id !== null))] : []

/** A millisecond field: a finite number, its fraction dropped, or a plain integer string, in range; else missing. */
const instant = (value: unknown): Date | null => {
  const isPlainInteger = typeof value === 'string' && /^[1-9][0-9]{0,15}$/.test(value)
  const ms = typeof value === 'number' || isPlainInteger ? Math.trunc(Number(value)) : Number.NaN
  return ms >= earliestMs && ms <= latestMs ? new Date(ms) : null
}

const storeOf = (value: unknown): StoreEvent['store'] => {
  const name = text(value)
  if (name === 'APP_STORE' || name === 'MAC_APP_STORE') return 'app_store'
  if (name === 'PLAY_STORE') return 'play_store'
  return name === null ? null : 'other'
}

const isWithin = (value: string, limit: number): boolean =>
  isStorable(value) && value !== '' && (value.length <= limit || [...value].length <= limit)

/**
 * Reads a decoded webhook body. Unknown types and fields are tolerated; a field of the wrong form counts as missing;
 * attributes, aliases and everything else not in `StoreEvent` are dropped. Never throws on what JSON can hold.
 * `receivedAt` stands in for a missing event time.
 */
export const readEvent = (body: unknown, receivedAt: Date): EventReading => {
  if (!isObject(body) || Object.keys(body).length === 0) return refused('Invalid payload')
  const source = body['event']
  if (!isObject(source)) return refused('Missing event object')
  const { id, type } = source
  if (id === undefined || id === null || id === '') return refused('Missing event id')
  if (typeof id !== 'string' || !isWithin(id, eventIdLimit)) return refused('Invalid event id')
  if (typeof type !== 'string' || !isWithin(type, eventTypeLimit)) return refused('Invalid event type')
  const price = source['price']
  const isTransfer = type === 'TRANSFER'
  const event: StoreEvent = {
    eventId: id,
    type,
    at: instant(source['event_timestamp_ms']) ?? receivedAt,
    origin: 'webhook',
    productId: baseProductId(text(source['product_id'])),
    newProductId: baseProductId(text(source['new_product_id'])),
    transactionId: identifier(source['transaction_id']),
    originalTransactionId: identifier(source['original_transaction_id']),
    purchasedAt: instant(source['purchased_at_ms']),
    expiresAt: instant(source['expiration_at_ms']),
    graceEndsAt: instant(source['grace_period_expiration_at_ms']),
    resumesAt: instant(source['auto_resume_at_ms']),
    periodType: text(source['period_type']),
    cancelReason: text(source['cancel_reason']),
    expirationReason: text(source['expiration_reason']),
    store: storeOf(source['store']),
    environment: source['environment'] === 'SANDBOX' ? 'SANDBOX' : 'PRODUCTION',
    price: typeof price === 'number' && Number.isFinite(price) ? price : null,
    currency: text(source['currency']),
    transferredFrom: isTransfer ? identifiers(source['transferred_from']) : [],
    transferredTo: isTransfer ? identifiers(source['transferred_to']) : [],
  }
  const aliases = Array.isArray(source['aliases']) ? source['aliases'] : []
  const customerIds = identifiers([source['app_user_id'], source['original_app_user_id'], ...aliases])
  return { kind: 'event', event, customerIds }
}

/** Reads a raw webhook body: UTF-8 JSON, whatever the content type said. Never throws. */
export const readWebhookBody = (raw: Uint8Array | string, receivedAt: Date): EventReading => {
  let body: unknown
  try {
    body = JSON.parse(typeof raw === 'string' ? raw : new TextDecoder('utf-8', { fatal: true }).decode(raw))
  } catch {
    return refused('Invalid JSON payload')
  }
  return readEvent(body, receivedAt)
}
