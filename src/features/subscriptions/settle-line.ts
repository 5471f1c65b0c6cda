import type { Clock } from '../../platform/clock.ts'
import type { Tx } from '../../platform/db/database.ts'
import type { Logger } from '../../platform/observability/logger.ts'
import type { Credits } from '../credits/credits.ts'
import { isGone, type AccountLocks } from './account-locks.ts'
import { writeProjection } from './customer-queries.ts'
import { linkEvents, readLineEvents } from './event-queries.ts'
import { foldLine } from './fold.ts'
import { importedAt } from './import-v1-queries.ts'
import * as lines from './line-queries.ts'
import type { LinePurchase, LineState } from './line-state.ts'
import { projectUser } from './project-user.ts'
import {
  findAliases,
  insertPurchase,
  listPurchases,
  updatePurchase,
  type Purchase,
} from './purchase-queries.ts'
import { mergeRefund, settlePeriod, type SubscriptionPoints } from './settle.ts'

export interface SettlementDeps {
  clock: Clock
  logger: Logger
  credits: Pick<Credits, 'grant' | 'clawBack' | 'undoClawBack' | 'purchasePoints' | 'payees'>
  points: SubscriptionPoints
}

const platformOf = { app_store: 'ios', play_store: 'android' } as const

/** A purchase whose points are to be settled, as its events tell of it. */
interface Touched {
  /** The transaction as the events of that line name it. */
  transactionId: string
  lineId: number
  isInitial: boolean
}

/**
 * One settling: folds the lines, stores their state, pays or takes back what their purchases owe or are owed, and shows
 * the outcome on the users. All in the caller's transaction, under the locks of everyone concerned; repeating it
 * changes nothing.
 */
export const createSettleLines = (deps: SettlementDeps) => {
  const { clock, logger, credits, points } = deps

  const storePurchase = async (
    tx: Tx,
    lineId: number,
    bought: LinePurchase & { userId: number },
    now: Date,
  ): Promise<number> =>
    insertPurchase(
      tx,
      {
        kind: 'period',
        userId: bought.userId,
        subscriptionId: lineId,
        productId: bought.productId,
        platform: bought.store === null ? null : platformOf[bought.store],
        purchasedAt: bought.purchasedAt,
        endsAt: bought.endsAt,
        // What began before the import v1 has paid, unless a webhook tells of it: those that v1 answered are known.
        monthsPaidBefore: bought.origin === 'webhook' ? null : await importedAt(tx, bought.userId),
        environment: bought.environment,
        price: bought.price,
        currency: bought.currency,
        transactionId: bought.transactionId.startsWith('event:') ? null : bought.transactionId,
        originalTransactionId: bought.originalTransactionId,
      },
      [bought.transactionId],
      now,
    )

  /** Finds or makes the purchases of a folded line, and finds those that it only tells the refund of. */
  const touchedBy = async (
    tx: Tx,
    lineId: number,
    line: LineState,
    now: Date,
  ): Promise<Map<number, Touched>> => {
    const names = new Set([...line.purchases.keys(), ...line.refunds.keys()])
    const known = await findAliases(tx, [...names])
    const touched = new Map<number, Touched>()
    for (const transactionId of names) {
      const bought = line.purchases.get(transactionId)
      const found = bought?.purchaseId ?? known.get(transactionId)
      if (found === undefined && (!bought || bought.userId === null)) continue
      const id =
        found ??
        (bought && bought.userId !== null
          ? await storePurchase(tx, lineId, { ...bought, userId: bought.userId }, now)
          : null)
      if (id === null) continue
      const eventId = bought?.eventId ?? null
      if (bought?.purchaseId !== id) await linkEvents(tx, { id, lineId, transactionId, eventId })
      touched.set(id, { transactionId, lineId, isInitial: bought?.isInitial ?? false })
    }
    return touched
  }

  const mayReceive = (locks: AccountLocks, userId: number | null): boolean => {
    const status = userId === null ? null : locks.statusOf(userId)
    return status === 'active' || status === 'pending'
  }

  const settlePurchase = async (
    tx: Tx,
    locks: AccountLocks,
    purchase: Purchase,
    place: Touched & { line: LineState; told: LineState },
  ): Promise<void> => {
    const now = clock.now()
    const { line, told, transactionId } = place
    const stored = purchase.refundChangedAt
      ? { isRefunded: purchase.isRefunded, changedAt: purchase.refundChangedAt }
      : null
    const { actions, refund, endsAt, nextGrantAt, isUnknownProduct } = settlePeriod({
      purchase: {
        ...purchase,
        transactionId,
        isInitial: place.isInitial,
        endsAt: purchase.endsAt ?? purchase.purchasedAt,
        // Its refund may have been told in another line than its own.
        refund: mergeRefund(stored, told.refunds.get(transactionId) ?? null),
      },
      line,
      ledger: await credits.purchasePoints(tx, purchase.id),
      mayOwnerReceive: mayReceive(locks, line.ownerUserId),
      points,
      now,
    })
    let paid: number | null = null
    for (const action of actions) {
      if (action.kind === 'claw_back') await credits.clawBack(tx, purchase.id)
      else if (action.kind === 'undo_claw_back') await credits.undoClawBack(tx, purchase.id)
      else if (!isGone(locks.statusOf(action.userId))) {
        const { userId, amount, source, reason, grantKey } = action
        await credits.grant(tx, { userId, amount, source, reason, grantKey, purchaseId: purchase.id })
        if (action.month === 0) paid = amount
        if (action.month === 0 && isUnknownProduct)
          logger.error(
            { purchase_id: purchase.id, product_id: purchase.productId },
            'unknown subscription product, paid as monthly',
          )
      }
    }
    const change = {
      ...(refund && refund.changedAt.getTime() !== purchase.refundChangedAt?.getTime() ? { refund } : {}),
      ...(refund && refund.isRefunded !== purchase.isRefunded ? { refund } : {}),
      ...(endsAt.getTime() === purchase.endsAt?.getTime() ? {} : { endsAt }),
      ...(nextGrantAt?.getTime() === purchase.nextGrantAt?.getTime() ? {} : { nextGrantAt }),
      ...(paid === null ? {} : { points: paid }),
    }
    if (Object.keys(change).length > 0) await updatePurchase(tx, purchase.id, change, now)
  }

  const project = async (tx: Tx, locks: AccountLocks, userIds: Iterable<number>): Promise<void> => {
    for (const userId of [...new Set(userIds)].sort((a, b) => a - b)) {
      // A tombstone shows nothing.
      if (isGone(locks.statusOf(userId))) continue
      await writeProjection(tx, userId, projectUser(await lines.listLines(tx, userId), clock.now()))
    }
  }

  /**
   * Settles the lines, and besides what they tell of, the purchases given. `userIds` are shown their state too, whether or
   * not a line is theirs.
   */
  return async (
    tx: Tx,
    locks: AccountLocks,
    work: { lineIds: readonly number[]; purchaseIds?: readonly number[]; userIds?: readonly number[] },
  ): Promise<void> => {
    const now = clock.now()
    const folded = new Map<number, LineState>()
    const concerned = new Set(work.userIds)

    const fold = async (lineId: number): Promise<LineState> => {
      const known = folded.get(lineId)
      if (known) return known
      const { ownerUserId } = await lines.lockLine(tx, lineId)
      const line = foldLine(await readLineEvents(tx, lineId))
      locks.need([ownerUserId, line.ownerUserId])
      for (const owner of [ownerUserId, line.ownerUserId]) if (owner !== null) concerned.add(owner)
      await lines.writeLine(tx, lineId, line, now)
      folded.set(lineId, line)
      return line
    }

    const touched = new Map<number, Touched>()
    for (const lineId of [...new Set(work.lineIds)].sort((a, b) => a - b))
      for (const [id, place] of await touchedBy(tx, lineId, await fold(lineId), now)) touched.set(id, place)
    const ids = [...touched.keys(), ...(work.purchaseIds ?? [])]
    const purchases = (await listPurchases(tx, { ids })).filter(({ kind }) => kind === 'period')
    const needed = new Set<number>()
    for (const { id, userId, subscriptionId } of purchases) {
      if (subscriptionId !== null) await fold(subscriptionId)
      for (const account of [userId, ...(await credits.payees(tx, id))]) needed.add(account)
    }
    locks.need([...needed])
    for (const purchase of purchases) {
      if (purchase.subscriptionId === null) continue
      const place = touched.get(purchase.id) ?? {
        transactionId: purchase.transactionId ?? `purchase:${purchase.id}`,
        lineId: purchase.subscriptionId,
        isInitial: false,
      }
      const told = await fold(place.lineId)
      const line = await fold(purchase.subscriptionId)
      await settlePurchase(tx, locks, purchase, { ...place, line, told })
    }
    await project(tx, locks, concerned)
  }
}

export type SettleLines = ReturnType<typeof createSettleLines>
