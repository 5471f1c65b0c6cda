import type { StoreEvent } from './store-event.ts'
import { baseProductId, planKind } from './products.ts'
import type { V1User } from './v1-rows.ts'

const monthsBefore = (instant: Date, months: number): Date => {
  const first = new Date(instant)
  first.setUTCDate(1)
  first.setUTCMonth(first.getUTCMonth() - months)
  const lastDay = new Date(Date.UTC(first.getUTCFullYear(), first.getUTCMonth() + 1, 0)).getUTCDate()
  first.setUTCDate(Math.min(instant.getUTCDate(), lastDay))
  return first
}

/**
 * The events that v1's stored subscription stands for (30 §20): a purchase that ends when it ends, begun a year before if
 * annual and else a month; where it would not renew a cancellation, where it was over an expiration. None without an end.
 */
export const eventsOfV1 = (
  { id, subscription }: Pick<V1User, 'id' | 'subscription'>,
  config: { yearlyProductIds: readonly string[]; importedAt: Date },
): StoreEvent[] => {
  const { expiresAt, isActive, willRenew, source } = subscription
  if (expiresAt === null) return []
  const productId = baseProductId(subscription.plan)
  const months = planKind(productId, config.yearlyProductIds) === 'yearly' ? 12 : 1
  const begun = monthsBefore(expiresAt, months)
  // An extended period has begun, too: what lies before the import is paid.
  const purchasedAt = begun < config.importedAt ? begun : new Date(config.importedAt.getTime() - 1)
  const purchase: StoreEvent = {
    eventId: `import:${id}`,
    type: 'INITIAL_PURCHASE',
    at: purchasedAt,
    origin: 'import',
    productId,
    newProductId: null,
    transactionId: null,
    originalTransactionId: null,
    purchasedAt,
    expiresAt,
    graceEndsAt: null,
    resumesAt: null,
    periodType: null,
    cancelReason: null,
    expirationReason: null,
    store: source,
    environment: 'PRODUCTION',
    price: null,
    currency: null,
    transferredFrom: [],
    transferredTo: [],
  }
  const later = (type: string, suffix: string): StoreEvent => ({
    ...purchase,
    eventId: `import:${id}:${suffix}`,
    type,
    at: config.importedAt,
    purchasedAt: null,
    expiresAt: null,
  })
  if (!isActive) return [purchase, later('EXPIRATION', 'expiration')]
  return willRenew ? [purchase] : [purchase, later('CANCELLATION', 'cancellation')]
}
