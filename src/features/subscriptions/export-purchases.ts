import type { Db } from '../../platform/db/database.ts'
import { isoTime, isoTimeOrNull } from '../../platform/http/request-values.ts'
import { listLines } from './line-queries.ts'
import { currentPeriod } from './line-state.ts'
import { listPurchases } from './purchase-queries.ts'

/** What the stores told of an account, for its owner: purchases and subscriptions, without anybody's hashes. */
export const exportPurchases = async (db: Db, userId: number) => {
  const [purchases, lines] = await Promise.all([listPurchases(db, { userId }), listLines(db, userId)])
  return {
    sections: {
      'purchases.json': {
        purchases: purchases.map((purchase) => ({
          id: purchase.id,
          kind: purchase.kind,
          product_id: purchase.productId,
          platform: purchase.platform,
          transaction_id: purchase.transactionId,
          purchased_at: isoTime(purchase.purchasedAt),
          ends_at: isoTimeOrNull(purchase.endsAt),
          is_refunded: purchase.isRefunded,
          points: purchase.points,
          price: purchase.price,
          currency: purchase.currency,
          environment: purchase.environment,
        })),
        subscriptions: lines.map((line) => ({
          store: line.store,
          product_id: line.plan,
          pending_product_id: line.pendingPlan,
          period_started_at: isoTimeOrNull(currentPeriod(line)?.startsAt ?? null),
          period_ends_at: isoTimeOrNull(currentPeriod(line)?.endsAt ?? null),
          access_ends_at: isoTimeOrNull(line.accessEndsAt),
          is_active: line.isActive,
          will_renew: line.willRenew,
          billing_issue_at: isoTimeOrNull(line.billingIssueAt),
        })),
      },
    },
    files: [],
  }
}
