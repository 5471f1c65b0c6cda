import type { Clock } from '../../platform/clock.ts'
import type { Tx } from '../../platform/db/database.ts'
import { scrubLedger, scrubStore } from './erase-queries.ts'
import * as ledger from './ledger-queries.ts'
import type { Lot } from './queries.ts'
import { lockAccounts } from './take-points.ts'

/** Writes off what a locked lot of a locked account still holds, and answers how many points; an empty lot gets no row. */
export const expireRest = async (
  tx: Tx,
  lot: Lot,
  { reason, now, purchaseId }: { reason: string; now: Date; purchaseId?: number },
): Promise<number> => {
  const points = lot.amountRemaining
  if (points === 0) return 0
  const row = { userId: lot.userId, type: 'expire' as const, amount: -points, reason, now }
  const metadata = {
    lot_id: lot.id,
    lot_source: lot.source,
    lot_amount_granted: lot.amountGranted,
    expired_at: lot.expiresAt?.toISOString() ?? null,
    source_task: 'credits.expire-lots',
  }
  await ledger.post(
    tx,
    { ...row, purchaseId: purchaseId ?? null, ...(reason === 'auto_expire' ? { metadata } : {}) },
    [{ lotId: lot.id, amount: -points, balanceAfter: 0 }],
  )
  return points
}

const expireAll = async (tx: Tx, lots: readonly Lot[], reason: string, now: Date): Promise<number> => {
  let points = 0
  for (const lot of lots) points += await expireRest(tx, lot, { reason, now })
  return points
}

export const createExpiry = ({ clock }: { clock: Clock }) => {
  const expireLot = async (tx: Tx, lotId: number, reason: string): Promise<number> => {
    const now = clock.now()
    const userId = await ledger.ownerOfLot(tx, lotId)
    if (userId === null) throw new Error('ledger: unknown lot')
    await lockAccounts(tx, [userId])
    const lot = await ledger.lockLot(tx, lotId)
    const points = lot ? await expireRest(tx, lot, { reason, now }) : 0
    if (points > 0) await ledger.storeBalance(tx, userId, now)
    return points
  }

  const expireDue = async (tx: Tx, userId: number): Promise<number> => {
    const now = clock.now()
    await lockAccounts(tx, [userId])
    const points = await expireAll(tx, await ledger.lockOpenLots(tx, userId, now), 'auto_expire', now)
    if (points > 0) await ledger.storeBalance(tx, userId, now)
    return points
  }

  const closeAccount = async (tx: Tx, userId: number): Promise<number> => {
    const now = clock.now()
    await lockAccounts(tx, [userId])
    const points = await expireAll(tx, await ledger.lockOpenLots(tx, userId), 'account_deleted', now)
    await scrubLedger(tx, userId, now)
    await scrubStore(tx, userId, now)
    await ledger.storeBalance(tx, userId, now)
    return points
  }

  return { expireLot, expireDue, closeAccount }
}
