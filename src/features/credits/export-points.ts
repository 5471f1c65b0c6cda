import type { Db } from '../../platform/db/database.ts'
import { isoTime, isoTimeOrNull } from '../../platform/http/request-values.ts'
import { listAllLots, listAllTransactions } from './export-queries.ts'

/** Every lot and movement of an account as JSON for its owner, oldest first; nobody else's ids are in it. */
export const exportPoints = async (db: Db, userId: number) => {
  const [lots, transactions] = await Promise.all([listAllLots(db, userId), listAllTransactions(db, userId)])
  return {
    lots: lots.map((lot) => ({
      id: lot.id,
      source: lot.source,
      amount_granted: lot.amountGranted,
      amount_remaining: lot.amountRemaining,
      expires_at: isoTimeOrNull(lot.expiresAt),
      created_at: isoTime(lot.createdAt),
    })),
    transactions: transactions.map((transaction) => ({
      id: transaction.id,
      type: transaction.type,
      amount: transaction.amount,
      status: transaction.status,
      reason: transaction.reason,
      narration_id: transaction.narrationId,
      story_id: transaction.storyId,
      refund_of_transaction_id: transaction.refundOf,
      created_at: isoTime(transaction.createdAt),
      allocations: transaction.allocations.map(({ lotId, amount }) => ({ lot_id: lotId, amount })),
    })),
  }
}
