import type { Lot } from './queries.ts'

/** Earliest expiry first (never last), then oldest, then id. */
export const byExpiry = (a: Lot, b: Lot): number =>
  // Two dates of "never" differ by NaN, which counts as equal here.
  (a.expiresAt?.getTime() ?? Infinity) - (b.expiresAt?.getTime() ?? Infinity) ||
  a.createdAt.getTime() - b.createdAt.getTime() ||
  a.id - b.id

/** A lot is spent until the moment it expires, and not at that moment. */
export const isLive = (lot: { expiresAt: Date | null }, now: Date): boolean =>
  lot.expiresAt === null || lot.expiresAt > now
