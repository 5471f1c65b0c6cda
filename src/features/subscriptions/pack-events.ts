import type { Clock } from '../../platform/clock.ts'
import type { Tx } from '../../platform/db/database.ts'
import type { Credits } from '../credits/credits.ts'
import { isGone, type AccountLocks } from './account-locks.ts'
import { createPackPayer } from './claim-pack.ts'
import { findEarlyRefund } from './event-queries.ts'
import type { RefundFlag } from './line-state.ts'
import {
  findPurchase,
  findPurchaseByAlias,
  insertPurchase,
  updatePurchase,
  type Purchase,
} from './purchase-queries.ts'
import { mergeRefund, settlePack } from './settle.ts'
import { purchaseTransaction, type StoreEvent } from './store-event.ts'

export interface PackEventDeps {
  clock: Clock
  credits: Pick<Credits, 'lock' | 'grant' | 'clawBack' | 'undoClawBack' | 'purchasePoints' | 'payees'>
  allowsSandbox: boolean
}

/** Any CANCELLATION of a pack gives the money back: there is no renewal to cancel. */
const flagOf = (event: StoreEvent): RefundFlag | null => {
  if (event.type === 'CANCELLATION') return { isRefunded: true, changedAt: event.at }
  return event.type === 'REFUND_REVERSED' ? { isRefunded: false, changedAt: event.at } : null
}

/** The transaction a pack's event is about; null for a refund or reversal that names none. */
export const packTransaction = (event: StoreEvent): string | null =>
  event.type === 'NON_RENEWING_PURCHASE' ? purchaseTransaction(event) : event.transactionId

/**
 * A pack's purchase, refund and reversal (30 §8.7), in any order, in the caller's transaction. A refund or reversal of a
 * purchase not heard of makes the purchase, so that a late one finds it; it is paid to whom it was made for.
 */
export const createPackEvents = (deps: PackEventDeps) => {
  const { clock, credits } = deps
  const pay = createPackPayer(deps)

  const reload = async (tx: Tx, id: number): Promise<Purchase> => {
    const purchase = await findPurchase(tx, id)
    if (!purchase) throw new Error('packs: the purchase is gone')
    return purchase
  }

  const make = async (
    tx: Tx,
    event: StoreEvent,
    userId: number,
    transactionId: string,
  ): Promise<Purchase> => {
    const platforms = { app_store: 'ios', play_store: 'android', other: null } as const
    const fresh = {
      kind: 'pack' as const,
      userId,
      productId: event.productId,
      platform: event.store === null ? null : platforms[event.store],
      purchasedAt: event.purchasedAt ?? event.at,
      // Before the purchase named its product, its refund looked like a subscription's.
      refund: flagOf(event) ?? (await findEarlyRefund(tx, userId, transactionId)),
      environment: event.environment,
      price: event.price,
      currency: event.currency,
      transactionId: event.transactionId,
      originalTransactionId: event.originalTransactionId,
    }
    return reload(tx, await insertPurchase(tx, fresh, [transactionId], clock.now()))
  }

  const note = async (tx: Tx, purchase: Purchase, event: StoreEvent): Promise<Purchase> => {
    const flag = flagOf(event)
    const stored = purchase.refundChangedAt
      ? { isRefunded: purchase.isRefunded, changedAt: purchase.refundChangedAt }
      : null
    const refund = mergeRefund(stored, flag)
    const isNewsOfPurchase = flag === null && purchase.points === null
    const change = {
      ...(refund && refund !== stored ? { refund } : {}),
      ...(purchase.productId === null && event.productId !== null ? { productId: event.productId } : {}),
      ...(isNewsOfPurchase && event.purchasedAt ? { purchasedAt: event.purchasedAt } : {}),
    }
    if (Object.keys(change).length === 0) return purchase
    await updatePurchase(tx, purchase.id, change, clock.now())
    return reload(tx, purchase.id)
  }

  /** Gives and takes what the purchase owes or is owed; a repeated call changes nothing. */
  const settle = async (tx: Tx, locks: AccountLocks, purchase: Purchase): Promise<void> => {
    locks.need([purchase.userId, ...(await credits.payees(tx, purchase.id))])
    const { id, userId, productId, isRefunded } = purchase
    const { actions } = settlePack({
      purchase: { id, userId, productId: productId ?? '', isRefunded },
      ledger: await credits.purchasePoints(tx, id),
      isEntitled: false,
    })
    for (const { kind } of actions)
      if (kind === 'claw_back') await credits.clawBack(tx, id)
      else if (kind === 'undo_claw_back') await credits.undoClawBack(tx, id)
    if (!isGone(locks.statusOf(userId))) await pay(tx, purchase, null)
  }

  /** Answers the purchase. `transactionId` is `packTransaction(event)`. */
  const apply = async (
    tx: Tx,
    locks: AccountLocks,
    { event, userId, transactionId }: { event: StoreEvent; userId: number; transactionId: string },
  ): Promise<number> => {
    const known = await findPurchaseByAlias(tx, [transactionId])
    const purchase = known ? await note(tx, known, event) : await make(tx, event, userId, transactionId)
    await settle(tx, locks, purchase)
    return purchase.id
  }

  return { apply, settle }
}

export type PackEvents = ReturnType<typeof createPackEvents>
