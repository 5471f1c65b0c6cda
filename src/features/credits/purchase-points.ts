import type { Clock } from '../../platform/clock.ts'
import type { Db, Tx } from '../../platform/db/database.ts'
import { expireRest } from './expire-points.ts'
import { giveBack } from './give-points.ts'
import * as ledger from './ledger-queries.ts'
import * as queries from './purchase-queries.ts'
import { lockAccounts } from './take-points.ts'

/** What the ledger holds of one store purchase, whoever was paid. */
export interface PurchasePoints {
  /** Months whose grant key is known, ascending; 0 for a pack. */
  grantedMonths: number[]
  /** Points left in the purchase's lots. */
  pointsLeft: number
  /** Claw-backs that stand and could be undone. */
  openClawBacks: number
}

/**
 * Somebody was paid between our look and our locks: locking that account now could break the order. The code is the one
 * of a serialization failure, so that the transaction is repeated from its start.
 */
const startOver = (): Error =>
  Object.assign(new Error('ledger: a purchase got another payee meanwhile'), { code: '40001' })

export const createPurchasePoints = ({ clock }: { clock: Clock }) => {
  /** All accounts a purchase was paid to, locked in ascending id. */
  const lockPayees = async (tx: Tx, purchaseId: number): Promise<ReadonlySet<number>> => {
    const payees = await queries.listPayees(tx, purchaseId)
    if (payees.length > 0) await lockAccounts(tx, payees)
    return new Set(payees)
  }

  const settle = async (tx: Tx, userIds: ReadonlySet<number>, now: Date): Promise<void> => {
    for (const userId of userIds) await ledger.storeBalance(tx, userId, now)
  }

  const clawBack = async (tx: Tx, purchaseId: number): Promise<number> => {
    const now = clock.now()
    const payees = await lockPayees(tx, purchaseId)
    const lots = await queries.lockPurchaseLots(tx, purchaseId)
    if (lots.some((lot) => !payees.has(lot.userId))) throw startOver()
    let points = 0
    const changed = new Set<number>()
    for (const lot of lots) {
      const taken = await expireRest(tx, lot, { reason: 'store_refund', now, purchaseId })
      if (taken > 0) changed.add(lot.userId)
      points += taken
    }
    await settle(tx, changed, now)
    return points
  }

  const undoClawBack = async (tx: Tx, purchaseId: number): Promise<number> => {
    const now = clock.now()
    const payees = await lockPayees(tx, purchaseId)
    const open = await queries.listOpenClawBacks(tx, purchaseId)
    if (open.some((row) => !payees.has(row.userId))) throw startOver()
    let points = 0
    const changed = new Set<number>()
    for (const row of open)
      if (await giveBack(tx, row, 'store_refund_reversed', now)) {
        changed.add(row.userId)
        points -= row.amount
      }
    await settle(tx, changed, now)
    return points
  }

  const purchasePoints = async (db: Db, purchaseId: number): Promise<PurchasePoints> => {
    const keys = await queries.listGrantKeys(db, purchaseId)
    const grantedMonths = keys.flatMap((key) => {
      const month = /^(?:sub:\d+:(\d+)|pack:\d+)$/.exec(key)
      return month ? [Number(month[1] ?? 0)] : []
    })
    return {
      grantedMonths: grantedMonths.sort((a, b) => a - b),
      pointsLeft: await queries.sumPurchaseLots(db, purchaseId),
      openClawBacks: (await queries.listOpenClawBacks(db, purchaseId)).length,
    }
  }

  return { clawBack, undoClawBack, purchasePoints, payees: queries.listPayees }
}
