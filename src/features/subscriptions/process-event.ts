import type { Clock } from '../../platform/clock.ts'
import type { Database, Tx } from '../../platform/db/database.ts'
import type { Logger } from '../../platform/observability/logger.ts'
import { sha256 } from '../../platform/crypto.ts'
import type { Credits } from '../credits/credits.ts'
import { isGone, withAccountLocks, type AccountLocks } from './account-locks.ts'
import { resolveCustomers } from './customer-queries.ts'
import { toFields } from './event-fields.ts'
import * as events from './event-queries.ts'
import { findLine } from './find-line.ts'
import { listTransferable } from './line-queries.ts'
import { packTransaction, type PackEvents } from './pack-events.ts'
import { findPurchaseByAlias, updatePurchase } from './purchase-queries.ts'
import type { SettleLines } from './settle-line.ts'
import { targetOf, type EventTarget, type StoreEvent } from './store-event.ts'

export type EventResult = 'processed' | 'already_processed' | 'ignored' | 'user_not_found'

export interface ProcessDeps {
  database: Database
  clock: Clock
  logger: Logger
  credits: Pick<Credits, 'lock'>
  packs: PackEvents
  settleLines: SettleLines
  allowsSandbox: boolean
  /** Queues `subscriptions.reconcile` for a user. */
  queueReconcile: (tx: Tx, userId: number) => Promise<void>
}

/** Whom an event is about; of a TRANSFER, our users among its two lists. */
interface Parties {
  /** Null in a TRANSFER. */
  userId: number | null
  fromUserIds: number[]
  toUserId: number | null
}

/** Only compared with each other, so that the ids themselves need not be kept. */
const hiddenCustomer = (customerId: string): string => sha256(customerId).toString('base64url')

/** One event, one transaction: event row, state of the lines, points and the users' columns, or nothing (30 §8.3). */
export const createProcessEvent = (deps: ProcessDeps) => {
  const { database, clock, logger, packs, settleLines } = deps

  const findParties = async (event: StoreEvent, customerIds: readonly string[]): Promise<Parties | null> => {
    if (event.type !== 'TRANSFER') {
      const [first] = await resolveCustomers(database.read, customerIds)
      return first ? { userId: first.userId, fromUserIds: [], toUserId: null } : null
    }
    const from = await resolveCustomers(database.read, event.transferredFrom)
    const to = await resolveCustomers(database.read, event.transferredTo)
    if (from.length + to.length === 0) return null
    const receiver = to.find(({ status }) => !isGone(status)) ?? null
    return {
      userId: null,
      fromUserIds: from.map(({ userId }) => userId),
      toUserId: receiver?.userId ?? null,
    }
  }

  /** By type and product; or by the transaction, when it is known as a pack's. */
  const targetIn = async (tx: Tx, event: StoreEvent): Promise<EventTarget> => {
    const target = targetOf(event)
    const mayBePack =
      target === 'subscription' &&
      event.transactionId !== null &&
      (event.type === 'CANCELLATION' || event.type === 'REFUND_REVERSED')
    if (mayBePack && event.transactionId !== null) {
      const known = await findPurchaseByAlias(tx, [event.transactionId])
      return known?.kind === 'pack' ? 'pack' : target
    }
    return target === 'pack' && packTransaction(event) === null ? 'ignored' : target
  }

  const fieldsOf = (event: StoreEvent, { fromUserIds, toUserId }: Parties) =>
    toFields({
      ...event,
      transferredFrom: event.transferredFrom.map(hiddenCustomer),
      transferredTo: event.transferredTo.map(hiddenCustomer),
      fromUserIds,
      toUserId,
    })

  /** What the store's reply told of this transaction belongs where an event with the original transaction puts it. */
  const gatherReplyEvents = async (tx: Tx, event: StoreEvent, lineId: number): Promise<number[]> => {
    const { transactionId, originalTransactionId, origin } = event
    if (transactionId === null || originalTransactionId === null || origin === 'store_reply') return []
    const strays = await events.listReplyEvents(tx, transactionId, lineId)
    if (strays.length === 0) return []
    await events.moveEvents(
      tx,
      strays.map(({ eventId }) => eventId),
      lineId,
    )
    const purchase = await findPurchaseByAlias(tx, [transactionId])
    if (purchase) await updatePurchase(tx, purchase.id, { subscriptionId: lineId }, clock.now())
    return strays.map((stray) => stray.lineId)
  }

  const ignore = async (
    tx: Tx,
    event: StoreEvent,
    parties: Parties,
    outcome: 'ignored' | 'sandbox_refused',
  ): Promise<EventResult> => {
    const fields = outcome === 'ignored' ? null : fieldsOf(event, parties)
    const isNew = await events.insertEvent(tx, {
      ...event,
      userId: parties.userId,
      outcome,
      fields,
      now: clock.now(),
    })
    return isNew ? 'ignored' : 'already_processed'
  }

  const processLocked = async (
    tx: Tx,
    locks: AccountLocks,
    event: StoreEvent,
    parties: Parties,
  ): Promise<EventResult> => {
    const now = clock.now()
    const { userId, fromUserIds, toUserId } = parties
    if (await events.isKnownEvent(tx, event.eventId)) return 'already_processed'
    if (event.environment === 'SANDBOX' && !deps.allowsSandbox)
      return ignore(tx, event, parties, 'sandbox_refused')
    const concerned = [userId, ...fromUserIds, toUserId].filter((id) => id !== null)
    if (concerned.every((id) => isGone(locks.statusOf(id)))) return ignore(tx, event, parties, 'ignored')
    const target = await targetIn(tx, event)
    if (target === 'ignored' || target === 'test' || (userId === null && target !== 'transfer')) {
      logger.warn({ event_type: event.type, product_id: event.productId }, 'store event ignored')
      return ignore(tx, event, parties, 'ignored')
    }
    const row = { ...event, userId, outcome: 'processed' as const, fields: fieldsOf(event, parties), now }

    if (target === 'transfer') {
      if (!(await events.insertEvent(tx, row))) return 'already_processed'
      const senders = await events.listSenders(tx, row.fields.transferred_from)
      const lineIds = await listTransferable(tx, fromUserIds, senders)
      await settleLines(tx, locks, { lineIds, userIds: concerned })
      if (toUserId !== null) await deps.queueReconcile(tx, toUserId)
      return 'processed'
    }
    if (userId === null) throw new Error('events: no user')
    if (target === 'pack') {
      const transactionId = packTransaction(event)
      if (transactionId === null) throw new Error('events: a pack without transaction')
      if (!(await events.insertEvent(tx, row))) return 'already_processed'
      const purchaseId = await packs.apply(tx, locks, { event, userId, transactionId })
      await events.setPurchase(tx, event.eventId, purchaseId)
      if (event.type === 'NON_RENEWING_PURCHASE') await deps.queueReconcile(tx, userId)
      return 'processed'
    }
    const lineId = await findLine(tx, event, userId, now)
    if (!(await events.insertEvent(tx, { ...row, subscriptionId: lineId }))) return 'already_processed'
    const emptied = await gatherReplyEvents(tx, event, lineId)
    await settleLines(tx, locks, { lineIds: [lineId, ...emptied], userIds: [userId] })
    return 'processed'
  }

  const processFor = (event: StoreEvent, parties: Parties): Promise<EventResult> => {
    const { userId, fromUserIds, toUserId } = parties
    const concerned = [userId, ...fromUserIds, toUserId].filter((id) => id !== null)
    return withAccountLocks(deps, concerned, (tx, locks) => processLocked(tx, locks, event, parties))
  }

  return {
    /** An event of the webhook; the first of the customer ids that names a user decides. */
    receive: async (event: StoreEvent, customerIds: readonly string[]): Promise<EventResult> => {
      const parties = await findParties(event, customerIds)
      return parties ? processFor(event, parties) : 'user_not_found'
    },
    /** An event of a known user, read from the store's reply or from an import. */
    apply: (event: StoreEvent, userId: number): Promise<EventResult> =>
      processFor(event, { userId, fromUserIds: [], toUserId: null }),
  }
}

export type ProcessEvent = ReturnType<typeof createProcessEvent>
