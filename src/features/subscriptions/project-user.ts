import { currentPeriod, sourceOf, type LineState } from './line-state.ts'
import type { StoreName } from './store-event.ts'

/** What `users` shows of the store: the columns `subscription_*` and `billing_issue_at`. */
export interface UserProjection {
  isActive: boolean
  plan: string | null
  pendingPlan: string | null
  /** End of access, grace included. */
  expiresAt: Date | null
  willRenew: boolean
  source: StoreName | null
  billingIssueAt: Date | null
}

const emptyProjection: UserProjection = {
  isActive: false,
  plan: null,
  pendingPlan: null,
  expiresAt: null,
  willRenew: false,
  source: null,
  billingIssueAt: null,
}

const isRunning = (line: LineState, now: Date): boolean =>
  line.isActive && line.accessEndsAt !== null && now < line.accessEndsAt

/**
 * The line a user sees, of those they own: with a period; not ended before ended; then latest access end; then lowest
 * transaction id. Null when none has a period. Also the line that events without any transaction id belong to.
 */
export const shownLine = <L extends LineState>(lines: readonly L[], now: Date): L | null => {
  const transactionOf = (line: L): string => currentPeriod(line)?.transactionId ?? ''
  const compare = (a: L, b: L): number =>
    Number(isRunning(b, now)) - Number(isRunning(a, now)) ||
    (b.accessEndsAt?.getTime() ?? 0) - (a.accessEndsAt?.getTime() ?? 0) ||
    (transactionOf(a) < transactionOf(b) ? -1 : 1)
  return lines.filter((line) => currentPeriod(line) !== null).toSorted(compare)[0] ?? null
}

/** What a user's columns must say, given the lines they own. */
export const projectUser = (lines: readonly LineState[], now: Date): UserProjection => {
  const line = shownLine(lines, now)
  if (!line) return emptyProjection
  return {
    isActive: line.isActive,
    plan: line.plan,
    pendingPlan: line.pendingPlan === line.plan ? null : line.pendingPlan,
    expiresAt: line.accessEndsAt,
    willRenew: line.willRenew,
    source: sourceOf(line.store),
    billingIssueAt: line.billingIssueAt,
  }
}
