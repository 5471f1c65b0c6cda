import { sql } from 'kysely'
import type { Db, Tx } from '../../platform/db/database.ts'
import { fromFields, type EventFields } from './event-fields.ts'
import type { LineEvent } from './line-state.ts'

export type Outcome = 'processed' | 'ignored' | 'sandbox_refused'

/** As the index `ix_webhook_events_transaction` has it. */
const namedTransaction = sql<string | null>`(fields ->> 'transaction_id')`

/** The line in which any event named this transaction; packs have none. */
export const findLineOfTransaction = async (db: Db, transactionId: string): Promise<number | null> => {
  const row = await db
    .selectFrom('webhook_events')
    .select('subscription_id')
    .where(namedTransaction, '=', transactionId)
    .where('subscription_id', 'is not', null)
    .orderBy('id')
    .executeTakeFirst()
  return row?.subscription_id ?? null
}

export const isKnownEvent = async (db: Db, eventId: string): Promise<boolean> =>
  (await db.selectFrom('webhook_events').select('id').where('event_id', '=', eventId).executeTakeFirst()) !==
  undefined

/** False when the event id is known, also when a concurrent transaction has just committed it. */
export const insertEvent = async (
  tx: Tx,
  event: {
    eventId: string
    type: string
    at: Date
    userId: number | null
    subscriptionId?: number | null
    purchaseId?: number | null
    outcome: Outcome
    /** Null stores no purchase data. */
    fields: EventFields | null
    now: Date
  },
): Promise<boolean> => {
  const result = await tx
    .insertInto('webhook_events')
    .values({
      event_id: event.eventId,
      event_type: event.type,
      event_at: event.at,
      processed_at: event.now,
      user_id: event.userId,
      subscription_id: event.subscriptionId ?? null,
      purchase_id: event.purchaseId ?? null,
      outcome: event.outcome,
      fields: JSON.stringify(event.fields ?? {}),
    })
    .onConflict((conflict) => conflict.column('event_id').doNothing())
    .executeTakeFirst()
  return (result.numInsertedOrUpdatedRows ?? 0n) > 0n
}

const columns = ['id', 'event_id', 'event_type', 'event_at', 'user_id', 'purchase_id', 'fields'] as const
const select = (db: Db) => db.selectFrom('webhook_events').select(columns).where('outcome', '=', 'processed')
type Row = NonNullable<Awaited<ReturnType<ReturnType<typeof select>['executeTakeFirst']>>>

const toLineEvent = (row: Row): LineEvent =>
  fromFields({
    receiptOrder: row.id,
    eventId: row.event_id,
    type: row.event_type,
    at: row.event_at,
    userId: row.user_id,
    purchaseId: row.purchase_id,
    fields: row.fields,
  })

/** TRANSFERs away from any of these users, or from any of these customers whom we do not know. */
const listTransfers = async (
  db: Db,
  userIds: readonly number[],
  customers: readonly string[],
): Promise<LineEvent[]> => {
  const rows = await select(db)
    .where('event_type', '=', 'TRANSFER')
    .where(
      sql<boolean>`(fields -> 'transferred_from' ?| ${[...customers]}::text[] or exists (
        select 1 from jsonb_array_elements_text(fields -> 'from_user_ids') as of(id)
        where of.id = any (${userIds.map(String)}::text[])))`,
    )
    .orderBy('id')
    .execute()
  return rows.map(toLineEvent)
}

/** All TRANSFERs that can concern a line of these users: those away from them, from those they went to, and so on. */
const followTransfers = async (db: Db, userIds: readonly number[]): Promise<LineEvent[]> => {
  const found = new Map<string, LineEvent>()
  let users = [...userIds]
  let customers: string[] = []
  while (users.length > 0 || customers.length > 0) {
    const next = await listTransfers(db, users, customers)
    const fresh = next.filter(({ eventId }) => !found.has(eventId))
    for (const event of fresh) found.set(event.eventId, event)
    users = fresh.map(({ toUserId }) => toUserId).filter((id) => id !== null)
    customers = fresh.flatMap(({ toUserId, transferredTo }) => (toUserId === null ? transferredTo : []))
  }
  return [...found.values()]
}

/** Users whose subscriptions went, by TRANSFERs directly or over others, to these customers. */
export const listSenders = async (db: Db, customers: readonly string[]): Promise<number[]> => {
  const users = new Set<number>()
  const seen = new Set(customers)
  let next = [...customers]
  while (next.length > 0) {
    const rows = await select(db)
      .where('event_type', '=', 'TRANSFER')
      .where(sql<boolean>`fields -> 'transferred_to' ?| ${next}::text[]`)
      .execute()
    const transfers = rows.map(toLineEvent)
    for (const id of transfers.flatMap(({ fromUserIds }) => fromUserIds)) users.add(id)
    next = transfers.flatMap(({ transferredFrom }) => transferredFrom).filter((id) => !seen.has(id))
    for (const id of next) seen.add(id)
  }
  return [...users]
}

/**
 * Gives events that the deletion of an account has robbed of their transaction id a name again: that of another event
 * of the same purchase, else one made of the purchase's id, the same for all.
 */
const nameTransactions = (events: readonly LineEvent[]): LineEvent[] => {
  const names = new Map(
    events.flatMap(({ purchaseId, transactionId }): [number, string][] =>
      purchaseId !== null && transactionId !== null ? [[purchaseId, transactionId]] : [],
    ),
  )
  return events.map((event) =>
    event.transactionId !== null || event.purchaseId === null
      ? event
      : { ...event, transactionId: names.get(event.purchaseId) ?? `purchase:${event.purchaseId}` },
  )
}

/** Everything the fold of a line takes: its events and the TRANSFERs that may concern it. */
export const readLineEvents = async (db: Db, lineId: number): Promise<LineEvent[]> => {
  const rows = await select(db).where('subscription_id', '=', lineId).orderBy('id').execute()
  const events = nameTransactions(rows.map(toLineEvent))
  const users = new Set(events.map(({ userId }) => userId).filter((id) => id !== null))
  return [...events, ...(await followTransfers(db, [...users]))]
}

/** Ties a purchase to the events of its line that name its transaction, and to the event that stands for it. */
export const linkEvents = async (
  tx: Tx,
  purchase: { id: number; lineId: number; transactionId: string; eventId: string | null },
): Promise<void> => {
  await tx
    .updateTable('webhook_events')
    .set({ purchase_id: purchase.id })
    .where('subscription_id', '=', purchase.lineId)
    .where('purchase_id', 'is', null)
    .where((eb) =>
      eb.or([
        eb(namedTransaction, '=', purchase.transactionId),
        ...(purchase.eventId === null ? [] : [eb('event_id', '=', purchase.eventId)]),
      ]),
    )
    .execute()
}

export const setPurchase = async (tx: Tx, eventId: string, purchaseId: number): Promise<void> => {
  await tx
    .updateTable('webhook_events')
    .set({ purchase_id: purchaseId })
    .where('event_id', '=', eventId)
    .execute()
}

/** What was read from the store's reply about a transaction, in other lines than this one. */
export const listReplyEvents = async (
  db: Db,
  transactionId: string,
  lineId: number,
): Promise<{ eventId: string; lineId: number }[]> => {
  const rows = await db
    .selectFrom('webhook_events')
    .select(['event_id', 'subscription_id'])
    .where('event_id', 'in', [`rest:${transactionId}`, `rest:${transactionId}:refund`])
    .where('subscription_id', '<>', lineId)
    .execute()
  return rows.flatMap((row) =>
    row.subscription_id === null ? [] : [{ eventId: row.event_id, lineId: row.subscription_id }],
  )
}

export const moveEvents = async (tx: Tx, eventIds: readonly string[], lineId: number): Promise<void> => {
  await tx
    .updateTable('webhook_events')
    .set({ subscription_id: lineId })
    .where('event_id', 'in', [...eventIds])
    .execute()
}

/** The last refund or reversal of a transaction told to this user before anybody knew that it was a pack's. */
export const findEarlyRefund = async (
  db: Db,
  userId: number,
  transactionId: string,
): Promise<{ isRefunded: boolean; changedAt: Date } | null> => {
  const row = await db
    .selectFrom('webhook_events')
    .select(['event_type', 'event_at'])
    .where('user_id', '=', userId)
    .where('outcome', '=', 'processed')
    .where('event_type', 'in', ['CANCELLATION', 'REFUND_REVERSED'])
    .where(namedTransaction, '=', transactionId)
    .orderBy('event_at', 'desc')
    .orderBy('id', 'desc')
    .executeTakeFirst()
  return row ? { isRefunded: row.event_type === 'CANCELLATION', changedAt: row.event_at } : null
}

export interface StoredEvent {
  outcome: string
  subscriptionId: number | null
  purchaseId: number | null
  /** Users the event names, both sides of a TRANSFER. */
  userIds: number[]
  /** Null for all events but a TRANSFER. */
  transfer: LineEvent | null
}

/** What a stored event is about, for a replay. */
export const findEvent = async (db: Db, id: number): Promise<StoredEvent | null> => {
  const row = await db
    .selectFrom('webhook_events')
    .select([...columns, 'outcome', 'subscription_id'])
    .where('id', '=', id)
    .executeTakeFirst()
  if (!row) return null
  const { outcome, subscription_id: subscriptionId, purchase_id: purchaseId } = row
  const isTransfer = outcome === 'processed' && row.event_type === 'TRANSFER'
  const transfer = isTransfer ? toLineEvent(row) : null
  const named = [row.user_id, ...(transfer?.fromUserIds ?? []), transfer?.toUserId ?? null]
  return {
    outcome,
    subscriptionId,
    purchaseId,
    userIds: named.filter((userId) => userId !== null),
    transfer,
  }
}
