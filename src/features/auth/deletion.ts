import type { Clock } from '../../platform/clock.ts'
import type { Database, Tx } from '../../platform/db/database.ts'
import { AppError } from '../../platform/errors.ts'
import type { Caller } from '../../platform/http/request-values.ts'
import type { Jobs } from '../../platform/jobs/jobs.ts'
import type { Mail } from '../mail/mail.ts'
import { lockUser } from '../users/users.ts'
import type { CurrentPassword } from './current-password.ts'
import { deleteAccountJob, lookAgainSeconds } from './delete-account.job.ts'
import { insertDeletion } from './deletion-queries.ts'
import { markDeleting, voidExports } from './deletion-scrub-queries.ts'
import { voidMailTokens } from './mail-token-queries.ts'
import { endSessionsOf, insertAuthEvent, type Device } from './queries.ts'

export interface DeletionRequest {
  userId: number
  /** `self`, or which operator. */
  requestedBy: string
  /** At most 500 characters; kept for statistics without the account. */
  reason?: string
  /** Statuses that may be ended so: an account ends itself only while it is active. */
  from: readonly ('pending' | 'active' | 'deactivated')[]
  device?: Device
}

export interface Deletions {
  /**
   * Begins a deletion in the caller's transaction (10 §10.1): from its commit on nobody is signed in and no new work
   * begins. Refuses the last owner, and an account that is in none of the given states. Everything else is done by a job.
   */
  start(tx: Tx, request: DeletionRequest): Promise<{ deletionId: number; taskId: string }>
  /** 10 §8.6 in its order: a deletion that cannot be recorded changes nothing. Answers the id of its task. */
  deleteOwnAccount(
    caller: Caller,
    fields: { currentPassword: string | undefined; reason: string | undefined },
    device: Device,
  ): Promise<string>
}

// An address in the reason would say who left.
const withoutAddresses = (text: string): string => text.replaceAll(/[^\s<>()]+@[^\s<>()]+/gu, '…')

export const createDeletions = (deps: {
  database: Database
  clock: Clock
  mail: Mail
  enqueue: Jobs['enqueue']
  currentPassword: CurrentPassword
  /** Whether nobody else could run the service; holds that answer until the transaction ends. */
  isLastOwner: (tx: Tx, userId: number) => Promise<boolean>
}): Deletions => {
  const { database, clock, mail } = deps

  const start: Deletions['start'] = async (tx, request) => {
    const { userId, device } = request
    const now = clock.now()
    if (await deps.isLastOwner(tx, userId)) throw new AppError('last_owner')
    const user = await lockUser(tx, userId)
    if (!user || !(await markDeleting(tx, userId, request.from, now))) throw new AppError('user_inactive')
    await endSessionsOf(tx, userId, 'deleted', now)
    await voidMailTokens(tx, userId, 'confirm', now)
    await voidMailTokens(tx, userId, 'reset', now)
    await voidExports(tx, userId)
    await insertAuthEvent(tx, {
      userId,
      kind: 'deletion_requested',
      now,
      ...(device === undefined ? {} : { device }),
    })
    const deletionId = await insertDeletion(tx, {
      userId,
      requestedBy: request.requestedBy,
      reason: request.reason === undefined ? null : withoutAddresses(request.reason),
      notifyEmail: user.email,
      nextAttemptAt: new Date(now.getTime() + lookAgainSeconds(0) * 1000),
      now,
    })
    const taskId = await deps.enqueue(tx, deleteAccountJob, { deletion_id: deletionId })
    if (user.email !== null) await mail.queue(tx, { kind: 'deletion_started', userId, recipient: user.email })
    return { deletionId, taskId }
  }

  const deleteOwnAccount: Deletions['deleteOwnAccount'] = async ({ userId }, fields, device) => {
    await deps.currentPassword.check(userId, fields.currentPassword, 'current_password_to_delete')
    const { reason } = fields
    const request = { userId, requestedBy: 'self', from: ['active'] as const, device }
    try {
      const { taskId } = await database.transaction((tx) =>
        start(tx, { ...request, ...(reason === undefined ? {} : { reason }) }),
      )
      return taskId
    } catch (cause) {
      if (cause instanceof AppError) throw cause
      throw new AppError('deletion_failed', { cause })
    }
  }

  return { start, deleteOwnAccount }
}
