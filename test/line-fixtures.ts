import type { LineEvent } from '../src/features/subscriptions/line-state.ts'
import { readWebhookBody } from '../src/features/subscriptions/read-event.ts'
import type { SentEvent } from './store-lives.ts'

const noUser = /^\D/

const userOf = (customerId: string | undefined): number | null =>
  customerId === undefined || noUser.test(customerId) ? null : Number(customerId)

/** A sent event as the server would have stored it, received as the `receiptOrder`-th; decimal customer ids are users. */
export const received = (sent: SentEvent['body'], receiptOrder: number): LineEvent => {
  const reading = readWebhookBody(JSON.stringify(sent), new Date(Date.UTC(2026, 5, 1) + receiptOrder))
  if (reading.kind !== 'event') throw new Error(reading.error)
  const { event, customerIds } = reading
  const users = (ids: readonly string[]): number[] => ids.map(userOf).filter((id) => id !== null)
  return {
    ...event,
    receiptOrder,
    userId: event.type === 'TRANSFER' ? null : (users(customerIds)[0] ?? null),
    purchaseId: null,
    fromUserIds: users(event.transferredFrom),
    toUserId: users(event.transferredTo)[0] ?? null,
  }
}

/** The events of one line, TRANSFERs included, received in the order given. */
export const receivedOfLine = (sent: readonly SentEvent[], line: number): LineEvent[] =>
  sent.flatMap((event, place) =>
    event.line === line || event.line === null ? [received(event.body, place)] : [],
  )

/** A line event with nothing set but what is given; `at` is its place in time and, by default, in receipt. */
export const lineEvent = (
  type: string,
  at: string,
  fields: Partial<Omit<LineEvent, 'type' | 'at'>> = {},
): LineEvent => ({
  eventId: `${type} ${at} ${fields.transactionId ?? ''}`,
  type,
  at: new Date(at),
  receiptOrder: new Date(at).getTime(),
  origin: 'webhook',
  productId: null,
  newProductId: null,
  transactionId: null,
  originalTransactionId: null,
  purchasedAt: null,
  expiresAt: null,
  graceEndsAt: null,
  resumesAt: null,
  periodType: null,
  cancelReason: null,
  expirationReason: null,
  store: null,
  environment: 'PRODUCTION',
  price: null,
  currency: null,
  transferredFrom: [],
  transferredTo: [],
  userId: type === 'TRANSFER' ? null : 11,
  purchaseId: null,
  fromUserIds: [],
  toUserId: null,
  ...fields,
})
