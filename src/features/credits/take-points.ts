import type { Clock } from '../../platform/clock.ts'
import type { Tx } from '../../platform/db/database.ts'
import { AppError } from '../../platform/errors.ts'
import type { CreditsConfig } from './credits.ts'
import * as ledger from './ledger-queries.ts'

export interface Debit {
  userId: number
  amount: number
  reason: string
  narrationId?: number
  storyId?: number
}

/** Locks accounts in ascending id; throws for an unknown one. */
export const lockAccounts = async (tx: Tx, userIds: readonly number[]): Promise<Map<number, string>> => {
  const found = await ledger.lockUsers(tx, userIds)
  if (userIds.some((id) => !found.has(id))) throw new Error('ledger: unknown user')
  return found
}

export const createDebit = (deps: { clock: Clock; config: CreditsConfig }) => {
  const { clock, config } = deps
  return async (tx: Tx, request: Debit): Promise<{ transactionId: number; isNew: boolean }> => {
    const now = clock.now()
    const { userId, amount, reason, narrationId, storyId } = request
    if (!Number.isInteger(amount) || amount < 1)
      throw new Error('ledger: a debit is an integer of at least 1')
    const { transactionId, available } = await ledger.takePoints(
      tx,
      { userId, amount, reason, now, narrationId: narrationId ?? null, storyId: storyId ?? null },
      config.sourcesPriority,
    )
    if (available === null) throw new Error('ledger: unknown user')
    if (transactionId !== null) return { transactionId, isNew: true }
    const open = narrationId === undefined ? null : await ledger.findOpenDebit(tx, userId, narrationId)
    if (open !== null) return { transactionId: open, isNew: false }
    throw new AppError('insufficient_credits', {
      text: `Insufficient Story Points: need ${amount}, available ${available}`,
      body: { required: amount },
    })
  }
}
