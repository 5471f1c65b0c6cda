import type { Clock } from '../../platform/clock.ts'
import type { Database, Db } from '../../platform/db/database.ts'
import type { Mail } from '../mail/mail.ts'
import { lockUser } from '../users/users.ts'
import { listPending, moveStatus, type PendingAccount } from './account-status-queries.ts'
import { endSessionsOf, insertAuthEvent } from './queries.ts'

export type { PendingAccount } from './account-status-queries.ts'

const dayMs = 86_400_000

/** `wrong_state`: the account is already so, or on its way out. */
export type StatusOutcome = 'done' | 'not_found' | 'wrong_state'

export interface AccountStatus {
  activate(userId: number): Promise<StatusOutcome>
  deactivate(userId: number): Promise<StatusOutcome>
  listPending(db: Db): Promise<PendingAccount[]>
}

/**
 * An operator's part of an account's status (10 §2):
 *
 *   pending      → active       approval: the trial begins now, mail "approved"
 *   deactivated  → active       nothing else changes; sessions that were ended stay so
 *   pending, active → deactivated   all sessions end, mail "deactivated"
 *
 * Whether the address is confirmed is left as it is.
 */
export const createAccountStatus = (deps: {
  database: Database
  clock: Clock
  mail: Mail
  trialDays: number
}): AccountStatus => {
  const { database, clock, mail } = deps

  const activate: AccountStatus['activate'] = (userId) =>
    database.transaction(async (tx) => {
      const now = clock.now()
      const user = await lockUser(tx, userId)
      if (!user || user.status === 'deleted') return 'not_found'
      const trialExpiresAt = new Date(now.getTime() + deps.trialDays * dayMs)
      if (await moveStatus(tx, userId, ['pending'], { to: 'active', trialExpiresAt, now })) {
        if (user.email !== null)
          await mail.queue(tx, { kind: 'account_approved', userId, recipient: user.email })
        return 'done'
      }
      return (await moveStatus(tx, userId, ['deactivated'], { to: 'active', now })) ? 'done' : 'wrong_state'
    })

  const deactivate: AccountStatus['deactivate'] = (userId) =>
    database.transaction(async (tx) => {
      const now = clock.now()
      const user = await lockUser(tx, userId)
      if (!user || user.status === 'deleted') return 'not_found'
      if (!(await moveStatus(tx, userId, ['pending', 'active'], { to: 'deactivated', now })))
        return 'wrong_state'
      for (const sessionId of await endSessionsOf(tx, userId, 'deactivated', now))
        await insertAuthEvent(tx, { userId, kind: 'session_ended', sessionId, now })
      if (user.email !== null)
        await mail.queue(tx, { kind: 'account_deactivated', userId, recipient: user.email })
      return 'done'
    })

  return { activate, deactivate, listPending }
}
