import { Type, type Static } from 'typebox'
import { Value } from 'typebox/value'
import type { LineEvent } from './line-state.ts'

const textOrNull = Type.Union([Type.String(), Type.Null()])
const msOrNull = Type.Union([Type.Integer(), Type.Null()])

/** The column `webhook_events.fields`: what the fold reads, instants as Unix milliseconds. */
const fieldsSchema = Type.Object({
  origin: Type.Union([Type.Literal('webhook'), Type.Literal('store_reply'), Type.Literal('import')]),
  product_id: textOrNull,
  new_product_id: textOrNull,
  transaction_id: textOrNull,
  original_transaction_id: textOrNull,
  purchased_at: msOrNull,
  expires_at: msOrNull,
  grace_ends_at: msOrNull,
  resumes_at: msOrNull,
  period_type: textOrNull,
  cancel_reason: textOrNull,
  expiration_reason: textOrNull,
  store: Type.Union([
    Type.Literal('app_store'),
    Type.Literal('play_store'),
    Type.Literal('other'),
    Type.Null(),
  ]),
  environment: Type.Union([Type.Literal('PRODUCTION'), Type.Literal('SANDBOX')]),
  price: Type.Union([Type.Number(), Type.Null()]),
  currency: textOrNull,
  transferred_from: Type.Array(Type.String()),
  transferred_to: Type.Array(Type.String()),
  from_user_ids: Type.Array(Type.Integer()),
  to_user_id: Type.Union([Type.Integer(), Type.Null()]),
})

export type EventFields = Static<typeof fieldsSchema>

const ms = (date: Date | null): number | null => date?.getTime() ?? null
const date = (value: number | null): Date | null => (value === null ? null : new Date(value))

/** What is stored of an event beside its own columns. */
export const toFields = (
  event: Omit<LineEvent, 'eventId' | 'type' | 'at' | 'receiptOrder' | 'userId' | 'purchaseId'>,
): EventFields => ({
  origin: event.origin,
  product_id: event.productId,
  new_product_id: event.newProductId,
  transaction_id: event.transactionId,
  original_transaction_id: event.originalTransactionId,
  purchased_at: ms(event.purchasedAt),
  expires_at: ms(event.expiresAt),
  grace_ends_at: ms(event.graceEndsAt),
  resumes_at: ms(event.resumesAt),
  period_type: event.periodType,
  cancel_reason: event.cancelReason,
  expiration_reason: event.expirationReason,
  store: event.store,
  environment: event.environment,
  price: event.price,
  currency: event.currency,
  transferred_from: [...event.transferredFrom],
  transferred_to: [...event.transferredTo],
  from_user_ids: [...event.fromUserIds],
  to_user_id: event.toUserId,
})

/**
 * A stored event as the fold takes it; `fields` is the jsonb column as the driver parsed it. Throws when the column is
 * not what `toFields` wrote: our own rows are not guessed at. A scrub (account deletion) sets texts to null and empties
 * the two lists of customer ids; it removes no key.
 */
export const fromFields = (row: {
  receiptOrder: number
  eventId: string
  type: string
  at: Date
  userId: number | null
  purchaseId: number | null
  fields: unknown
}): LineEvent => {
  const { fields, ...columns } = row
  if (!Value.Check(fieldsSchema, fields))
    throw new Error(`event ${row.receiptOrder}: stored fields are unreadable`)
  return {
    ...columns,
    origin: fields.origin,
    productId: fields.product_id,
    newProductId: fields.new_product_id,
    transactionId: fields.transaction_id,
    originalTransactionId: fields.original_transaction_id,
    purchasedAt: date(fields.purchased_at),
    expiresAt: date(fields.expires_at),
    graceEndsAt: date(fields.grace_ends_at),
    resumesAt: date(fields.resumes_at),
    periodType: fields.period_type,
    cancelReason: fields.cancel_reason,
    expirationReason: fields.expiration_reason,
    store: fields.store,
    environment: fields.environment,
    price: fields.price,
    currency: fields.currency,
    transferredFrom: fields.transferred_from,
    transferredTo: fields.transferred_to,
    fromUserIds: fields.from_user_ids,
    toUserId: fields.to_user_id,
  }
}
