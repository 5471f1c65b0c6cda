import type { Clock } from '../../platform/clock.ts'
import type { Tx } from '../../platform/db/database.ts'
import type { LotSource } from './credits.ts'
import { expireRest } from './expire-points.ts'
import * as ledger from './ledger-queries.ts'
import { findTransaction, type Transaction } from './queries.ts'
import { isLive } from './lot-order.ts'
import { lockAccounts } from './take-points.ts'

export interface Grant {
  userId: number
  amount: number
  source: LotSource
  reason: string
  expiresAt?: Date
  grantKey?: string
  /** `store_purchases.id` that paid for it. */
  purchaseId?: number
  /** The administrator who gave it. */
  actor?: number
  metadata?: Record<string, string | number | boolean | null>
}

/** A refund into a lot that has expired meanwhile keeps it alive this long. */
const revivedLotMs = 7 * 86_400_000

export const createGrant =
  ({ clock }: { clock: Clock }) =>
  async (tx: Tx, request: Grant): Promise<{ transactionId: number; isNew: boolean }> => {
    const now = clock.now()
    const { expiresAt, source, ...row } = request
    const { userId, amount, grantKey } = row
    if (!Number.isInteger(amount) || amount < 1)
      throw new Error('ledger: a grant is an integer of at least 1')
    if (expiresAt && expiresAt <= now) throw new Error('ledger: a grant must expire in the future')
    const accounts = await lockAccounts(tx, [userId])
    // To a deleted account nothing new: nobody could spend it, and its books are closed at zero.
    const transactionId =
      accounts.get(userId) === 'deleted'
        ? null
        : await ledger.postGrant(
            tx,
            { ...row, type: 'credit', now },
            { source, expiresAt: expiresAt ?? null },
          )
    if (transactionId !== null) return { transactionId, isNew: true }
    const known = grantKey === undefined ? null : await ledger.findByGrantKey(tx, grantKey)
    if (known === null) throw new Error('ledger: unknown user')
    return { transactionId: known, isNew: false }
  }

/**
 * Undoes a debit or a claw-back whose owner is locked: each lot gets back what was taken; false when it was undone before.
 * What is left in a lot that has expired meanwhile expires first, so that nothing revives but what is given back.
 */
export const giveBack = async (
  tx: Tx,
  original: Transaction,
  reason: string,
  now: Date,
): Promise<boolean> => {
  if (!(await ledger.markRefunded(tx, original.id, now))) return false
  const taken = await ledger.lockAllocatedLots(tx, original.id)
  const movements: ledger.Movement[] = []
  for (const { lot, amount } of taken) {
    const isExpired = !isLive(lot, now)
    if (isExpired) await expireRest(tx, lot, { reason: 'auto_expire', now })
    movements.push({
      lotId: lot.id,
      amount: -amount,
      balanceAfter: (isExpired ? 0 : lot.amountRemaining) - amount,
      ...(isExpired ? { expiresAt: new Date(now.getTime() + revivedLotMs) } : {}),
    })
  }
  const { userId, narrationId, storyId, purchaseId } = original
  const row = { userId, narrationId, storyId, purchaseId, reason, now }
  await ledger.post(
    tx,
    { ...row, type: 'refund', amount: -original.amount, refundOf: original.id },
    movements,
  )
  return true
}

export const createRefund =
  ({ clock }: { clock: Clock }) =>
  async (tx: Tx, debitId: number, reason: string): Promise<boolean> => {
    const now = clock.now()
    const original = await findTransaction(tx, debitId)
    if (original?.type !== 'debit') throw new Error('ledger: only a debit can be refunded')
    await lockAccounts(tx, [original.userId])
    if (!(await giveBack(tx, original, reason, now))) return false
    await ledger.storeBalance(tx, original.userId, now)
    return true
  }
