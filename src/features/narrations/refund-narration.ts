import type { Tx } from '../../platform/db/database.ts'
import { lockUser } from '../users/users.ts'
import { findAttempt, findUnfinished } from './attempt-queries.ts'
import type { Narrations } from './narrations.ts'
import { findNarration } from './queries.ts'

/** `nothing_paid`: the attempt under way is free, or none is. A READY narration is kept and its points with it (D30). */
export type NarrationRefund =
  | { kind: 'refunded'; userId: number; narrationId: number; debitId: number }
  | { kind: 'not_found' }
  | { kind: 'ready'; userId: number }
  | { kind: 'nothing_paid'; userId: number }

/** An administrator cancels the paid attempt of a narration that is not finished: its debit comes back (`admin_refund`). */
export const createNarrationRefund =
  ({ fail }: Pick<Narrations, 'fail'>) =>
  async (tx: Tx, narrationId: number): Promise<NarrationRefund> => {
    const found = await findNarration(tx, narrationId)
    if (!found) return { kind: 'not_found' }
    const { userId } = found
    await lockUser(tx, userId)
    const [narration, attempt] = [await findNarration(tx, narrationId), await findUnfinished(tx, narrationId)]
    if (!narration) return { kind: 'not_found' }
    if (attempt === null || attempt.debitId === null)
      return narration.status === 'ready' ? { kind: 'ready', userId } : { kind: 'nothing_paid', userId }
    const { debitId } = attempt
    if (await fail(tx, { id: attempt.id, userId }, null, 'cancelled'))
      return { kind: 'refunded', userId, narrationId, debitId }
    // The job finished it between our look and the compare-and-set.
    const ended = await findAttempt(tx, attempt.id)
    return ended?.stage === 'done' ? { kind: 'ready', userId } : { kind: 'nothing_paid', userId }
  }
