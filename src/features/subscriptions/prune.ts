import { inEventOrder } from './fold.ts'
import type { LineEvent } from './line-state.ts'
import { isPurchase } from './store-event.ts'

/**
 * Which of a line's stored events its state no longer needs, as event ids; age is the caller's condition. Kept: every
 * TRANSFER, the newest purchase event and all after it, and, where that renewal names no product or store, the last
 * purchase event that does. A line without a purchase event of a known user keeps everything.
 */
export const dispensableEvents = (events: readonly LineEvent[]): string[] => {
  const ordered = inEventOrder(events)
  const newest = ordered.findLastIndex(isPurchase)
  // Without a purchase that names its user, who owns the line is known from older events only.
  if ((ordered[newest]?.userId ?? null) === null) return []
  const needed = new Set(ordered.slice(newest).map(({ eventId }) => eventId))
  for (const field of ['productId', 'store'] as const) {
    const giver = ordered
      .slice(0, newest + 1)
      .findLast((event) => isPurchase(event) && (event.type === 'INITIAL_PURCHASE' || event[field] !== null))
    if (!giver) return []
    needed.add(giver.eventId)
  }
  return events
    .filter(({ eventId, type }) => type !== 'TRANSFER' && !needed.has(eventId))
    .map(({ eventId }) => eventId)
}
