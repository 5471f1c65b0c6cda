import type { LineState } from './line-state.ts'

/** At most this many grants per store transaction, whatever its period is extended to. */
const monthsPerPurchase = 12

/** What the months of an annual purchase depend on, besides the line. */
export interface AnnualPurchase {
  transactionId: string
  /** The anchor. */
  purchasedAt: Date
  /** Where the months end when the line no longer holds this purchase's period (its events were pruned). */
  endsAt: Date
  isRefunded: boolean
}

export interface DueMonth {
  /** 0..11; part of the grant's key. */
  k: number
  startsAt: Date
}

/** `months` calendar months after `anchor` at the same time of day (UTC), the day clamped to the month's last. */
export const addMonths = (anchor: Date, months: number): Date => {
  const year = anchor.getUTCFullYear()
  const month = anchor.getUTCMonth() + months
  const lastDay = new Date(Date.UTC(year, month + 1, 0)).getUTCDate()
  const shifted = new Date(anchor)
  shifted.setUTCFullYear(year, month, Math.min(anchor.getUTCDate(), lastDay))
  return shifted
}

/**
 * The first instant at which no further month may start: the period's end (extended, without grace), an EXPIRATION that
 * counted, or the start of the line's next period. Store it as the purchase's end: then pruning loses nothing.
 */
export const monthsStopAt = (purchase: Omit<AnnualPurchase, 'isRefunded'>, line: LineState): Date => {
  const place = line.periods.findIndex(({ transactionId }) => transactionId === purchase.transactionId)
  const own = line.periods[place]
  // Of two that begin together (an imported one, and the store's own word of it) the later one goes on.
  const next = line.periods.slice(place + 1).find(({ startsAt }) => startsAt >= purchase.purchasedAt)
  const stops = [own?.endsAt ?? purchase.endsAt, own?.expiredAt ?? null, next?.startsAt ?? null]
  return new Date(Math.min(...stops.filter((stop) => stop !== null).map((stop) => stop.getTime())))
}

const allMonths = (purchase: AnnualPurchase, line: LineState): DueMonth[] => {
  if (purchase.isRefunded) return []
  const stopsAt = monthsStopAt(purchase, line)
  return Array.from({ length: monthsPerPurchase }, (_, k) => ({
    k,
    startsAt: addMonths(purchase.purchasedAt, k),
  })).filter(({ k, startsAt }) => k === 0 || startsAt < stopsAt)
}

/**
 * The months of an annual purchase that are to be paid by `now`, granted or not: month 0 at once (stores renew up to a
 * day early), month k from `purchasedAt` + k calendar months. Empty while the purchase is refunded.
 */
export const dueMonths = (purchase: AnnualPurchase, line: LineState, now: Date): DueMonth[] =>
  allMonths(purchase, line).filter(({ k, startsAt }) => k === 0 || startsAt <= now)

/** When the next month falls due as things stand, or null if none will: `store_purchases.next_grant_at`. */
export const nextMonthAt = (purchase: AnnualPurchase, line: LineState, now: Date): Date | null =>
  allMonths(purchase, line).find(({ k, startsAt }) => k > 0 && startsAt > now)?.startsAt ?? null
