/** Points by pack: our own table, never the client's word. */
const pointsOfPack: ReadonlyMap<string, number> = new Map([
  ['credits_10', 10],
  ['credits_20', 20],
  ['credits_30', 30],
])

const monthlyProductId = 'dawnotemu_monthly'

export type PlanKind = 'yearly' | 'monthly'

/**
 * The product id that is compared and stored: everything before the first `:` (Google appends `:baseplan`).
 * Null for a missing id and for one with nothing before the colon.
 */
export const baseProductId = (productId: string | null): string | null => productId?.split(':', 1)[0] || null

/** Points of a pack, or null when the base product id names no pack. */
export const packPoints = (productId: string | null): number | null =>
  productId === null ? null : (pointsOfPack.get(productId) ?? null)

/** How a base product id pays: yearly if configured so (`YEARLY_PRODUCT_IDS`); all others, unknown and null, monthly. */
export const planKind = (productId: string | null, yearlyProductIds: readonly string[]): PlanKind =>
  productId !== null && yearlyProductIds.includes(productId) ? 'yearly' : 'monthly'

/** False for a subscription product that pays as monthly only because we do not know it: log an error, count it. */
export const isKnownSubscription = (productId: string | null, yearlyProductIds: readonly string[]): boolean =>
  productId === monthlyProductId || planKind(productId, yearlyProductIds) === 'yearly'
