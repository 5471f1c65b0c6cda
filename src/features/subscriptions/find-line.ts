import type { Tx } from '../../platform/db/database.ts'
import { findLineOfTransaction } from './event-queries.ts'
import * as lines from './line-queries.ts'
import { shownLine } from './project-user.ts'
import { findPurchaseByAlias } from './purchase-queries.ts'
import { purchaseTransaction, type StoreEvent } from './store-event.ts'

/** The line a transaction is known in: by its purchase, as a line's key, or by any event that named it. */
const lineOfTransaction = async (tx: Tx, transactionId: string): Promise<number | null> =>
  (await findPurchaseByAlias(tx, [transactionId]))?.subscriptionId ??
  (await lines.findLineByKey(tx, transactionId)) ??
  findLineOfTransaction(tx, transactionId)

const isSynthetic = (event: StoreEvent): boolean => event.origin === 'store_reply'

/**
 * The line of a subscription event (30 §8.2): (1) that of its original transaction, made if new; else (2) that of its
 * transaction; else (3) the user's shown line, for a purchase read from the store's reply one of the same store; else
 * (4) a new one. The user must be locked.
 */
export const findLine = async (tx: Tx, event: StoreEvent, userId: number, now: Date): Promise<number> => {
  const { transactionId, originalTransactionId, store } = event
  if (originalTransactionId !== null)
    return lines.ensureLine(tx, { key: originalTransactionId, originalTransactionId, now })
  const named = transactionId === null ? null : await lineOfTransaction(tx, transactionId)
  if (named !== null) return named
  const owned = await lines.listLines(tx, userId)
  const shown = shownLine(isSynthetic(event) ? owned.filter((line) => line.store === store) : owned, now)
  if (shown) return shown.id
  const key = isSynthetic(event) ? purchaseTransaction(event) : (transactionId ?? `user:${userId}`)
  return lines.ensureLine(tx, { key, originalTransactionId: null, now })
}
