import type { Clock } from '../../platform/clock.ts'
import type { Database, Tx } from '../../platform/db/database.ts'
import type { Logger } from '../../platform/observability/logger.ts'
import type { Credits } from '../credits/credits.ts'
import { withAccountLocks } from './account-locks.ts'
import { findEvent, listSenders } from './event-queries.ts'
import { findOwner, listTransferable } from './line-queries.ts'
import { createPackEvents } from './pack-events.ts'
import { createProcessEvent, type EventResult } from './process-event.ts'
import { findPurchase } from './purchase-queries.ts'
import { createSettleLines } from './settle-line.ts'
import type { StoreEvent } from './store-event.ts'

export { exportPurchases } from './export-purchases.ts'
export { createGrantAnnualMonths, grantAnnualMonthsJob } from './grant-annual-months.job.ts'
export { createPruneEvents, pruneEventsJob } from './prune-events.job.ts'
export { createReconcileDue, reconcileDueJob } from './reconcile-due.job.ts'
export { createQueueReconcile, createReconcile, reconcileJob } from './reconcile.job.ts'
export { createImportV1, type ImportReport } from './import-v1.ts'
export { eraseArchive } from './import-v1-queries.ts'
export { createPacks } from './packs.ts'
export { packsRoutes } from './packs-routes.ts'
export { createStoreLinks } from './link.ts'
export { linkRoutes as storeLinkRoutes } from './link-routes.ts'
export { statusRoutes } from './status-routes.ts'
export { webhookRoutes } from './webhook-routes.ts'

export interface SubscriptionsConfig {
  monthlyPlanCredits: number
  yearlyPlanMonthlyCredits: number
  yearlyProductIds: readonly string[]
  allowsSandboxPurchases: boolean
}

export interface Subscriptions {
  /** A store's event: stored, folded, settled and shown in one transaction, or nothing of it. */
  receive(event: StoreEvent, customerIds: readonly string[]): Promise<EventResult>
  /** The same for an event of a known user that no webhook brought: of the store's reply, or of an import. */
  apply(event: StoreEvent, userId: number): Promise<EventResult>
  /** Settles a purchase again: due months, points that came back after a refund. Nothing if all is well. */
  settlePurchase(purchaseId: number): Promise<void>
  /**
   * Folds and settles again what a stored event (`webhook_events.id`) is about; no effect if all is well. False for an
   * unknown event.
   */
  replayEvent(eventRowId: number): Promise<boolean>
}

export const createSubscriptions = (deps: {
  database: Database
  clock: Clock
  logger: Logger
  credits: Credits
  queueReconcile: (tx: Tx, userId: number) => Promise<void>
  config: SubscriptionsConfig
}): Subscriptions => {
  const { database, config } = deps
  const points = {
    monthly: config.monthlyPlanCredits,
    yearlyMonth: config.yearlyPlanMonthlyCredits,
    yearlyProductIds: config.yearlyProductIds,
  }
  const settleLines = createSettleLines({ ...deps, points })
  const allowsSandbox = config.allowsSandboxPurchases
  const packs = createPackEvents({ ...deps, allowsSandbox })
  const { receive, apply } = createProcessEvent({ ...deps, packs, settleLines, allowsSandbox })

  const settlePurchase: Subscriptions['settlePurchase'] = async (purchaseId) => {
    const seen = await findPurchase(database.read, purchaseId)
    if (!seen) return
    const owner = seen.subscriptionId === null ? null : await findOwner(database.read, seen.subscriptionId)
    await withAccountLocks(deps, owner === null ? [seen.userId] : [seen.userId, owner], async (tx, locks) => {
      const purchase = await findPurchase(tx, purchaseId)
      if (purchase?.kind === 'pack') await packs.settle(tx, locks, purchase)
      else if (purchase?.subscriptionId != null)
        await settleLines(tx, locks, { lineIds: [purchase.subscriptionId], purchaseIds: [purchaseId] })
    })
  }

  const replayEvent: Subscriptions['replayEvent'] = async (eventRowId) => {
    const event = await findEvent(database.read, eventRowId)
    if (!event) return false
    const { subscriptionId, purchaseId, transfer, userIds } = event
    if (event.outcome !== 'processed') return true
    if (subscriptionId === null && transfer === null) {
      if (purchaseId !== null) await settlePurchase(purchaseId)
      return true
    }
    await withAccountLocks(deps, userIds, async (tx, locks) => {
      const lineIds = transfer
        ? await listTransferable(tx, transfer.fromUserIds, await listSenders(tx, transfer.transferredFrom))
        : [subscriptionId].filter((id) => id !== null)
      await settleLines(tx, locks, { lineIds, userIds })
    })
    return true
  }

  return { receive, apply, settlePurchase, replayEvent }
}
