import { eraseMails, findMailStatus, forgetMail } from '../mail/mail.ts'
import { lockUser, type User } from '../users/users.ts'
import type { Tx } from '../../platform/db/database.ts'
import { listItems, listOpenItems } from './deletion-item-queries.ts'
import * as queries from './deletion-queries.ts'
import type { Deletion } from './deletion-queries.ts'
import { countAccountRows, deleteAccountRows, scrubUser } from './deletion-scrub-queries.ts'
import type { DeletionSteps, Step, StepDeps, StepOutcome } from './deletion-steps.ts'
import { countPlaces, readStoredReceipt, type StoredReceipt } from './erasure-receipt.ts'

// After this long the last mail is given up: an address is not kept for the sake of telling it that it is erased.
const noticeMs = 3 * 86_400_000

/** What happens when nothing outside the database is left. */
export const createLastSteps = (deps: StepDeps): Pick<DeletionSteps, 'points' | 'scrub' | 'notice'> => {
  const { database, clock, contents, mail } = deps

  const closePoints = async (tx: Tx, deletion: Deletion): Promise<number> =>
    readStoredReceipt(deletion.receipt).points_expired +
    (await deps.credits.closeAccount(tx, deletion.userId))

  const points: Step = ({ id }) =>
    database.transaction<StepOutcome>(async (tx) => {
      const deletion = await lockDeletion(tx, id)
      if (deletion?.state !== 'points') return 'next'
      await queries.addToReceipt(tx, deletion.id, { points_expired: await closePoints(tx, deletion) })
      await queries.moveDeletion(tx, id, 'points', 'scrub')
      return 'next'
    })

  /** The account first, as everywhere; then the deletion as it stands under that lock. */
  const lockDeletion = async (tx: Tx, id: number): Promise<Deletion | null> => {
    const found = await queries.findDeletion(tx, id)
    if (!found) return null
    await lockUser(tx, found.userId)
    return queries.findDeletion(tx, id)
  }

  const deleteRows = async (tx: Tx, user: User): Promise<Record<string, number>> => {
    const addresses = [user.email, user.pendingEmail].filter((address) => address !== null)
    return {
      ...(await deleteAccountRows(tx, user.id, addresses)),
      emails: await eraseMails(tx, { userId: user.id, addresses }),
      ...(await contents.scrub(tx, user.id)),
    }
  }

  const scrub: Step = ({ id }) =>
    database.transaction<StepOutcome>(async (tx) => {
      const deletion = await lockDeletion(tx, id)
      if (deletion?.state !== 'scrub') return 'next'
      const { userId } = deletion
      const isOpen = (await listOpenItems(tx, id, ['slot', 'object', 'folder', 'job'])).length > 0
      if (isOpen || (await contents.countVoices(tx, userId)) > 0) {
        await queries.moveDeletion(tx, id, 'scrub', 'recheck')
        return 'next'
      }
      const user = await lockUser(tx, userId)
      if (!user) throw new Error('deletions: the account is unknown')
      // Points that came after the step before; the ledger's texts can change only while the account is `deleting`.
      const expired = await closePoints(tx, deletion)
      const rows = await deleteRows(tx, user)
      await scrubUser(tx, userId, clock.now())
      await queries.addToReceipt(tx, deletion.id, { points_expired: expired, rows })
      await queries.moveDeletion(tx, id, 'scrub', 'notice')
      return 'next'
    })

  /** The rows are looked for, too; one that came in while they were deleted goes now. */
  const checkRows = async (tx: Tx, deletion: Deletion): Promise<void> => {
    const { userId } = deletion
    const user = await lockUser(tx, userId)
    const left = (await countAccountRows(tx, userId)) + (await contents.countRows(tx, userId))
    if (user && left > 0) await deleteRows(tx, user)
    await queries.addToReceipt(tx, deletion.id, { rows_verified_at: clock.now().toISOString() })
  }

  const queueNotice = (deletion: Deletion, recipient: string): Promise<void> =>
    database.transaction(async (tx) => {
      await checkRows(tx, deletion)
      const counts = countPlaces(await listItems(tx, deletion.id))
      const emailId = await mail.queue(tx, {
        kind: 'deletion_finished',
        userId: null,
        recipient,
        expiresAt: new Date(clock.now().getTime() + noticeMs),
        variables: {
          recordings: counts['recording']?.verified ?? 0,
          narrations: counts['narration']?.verified ?? 0,
          providerCopies: counts['provider_copy']?.verified ?? 0,
        },
      })
      // Another run was first: its mail goes out, this one is forgotten before it does.
      if (!(await queries.nameNotice(tx, deletion.id, emailId))) await forgetMail(tx, emailId)
    })

  const finish = (deletion: Deletion, notice: StoredReceipt['notice']): Promise<void> =>
    database.transaction(async (tx) => {
      const emailId = deletion.noticeEmailId
      if (!(await queries.finishDeletion(tx, deletion.id, clock.now()))) return
      if (emailId !== null) await forgetMail(tx, emailId)
      await queries.addToReceipt(tx, deletion.id, { notice })
      deps.logger.info({ deletion_id: deletion.id }, 'account deletion finished')
    })

  const notice: Step = async (deletion) => {
    const { noticeEmailId, notifyEmail } = deletion
    if (noticeEmailId === null) {
      if (notifyEmail !== null) await queueNotice(deletion, notifyEmail)
      else {
        await database.transaction((tx) => checkRows(tx, deletion))
        await finish(deletion, 'none')
      }
      return 'next'
    }
    const sent = await findMailStatus(database.read, noticeEmailId)
    const isOver = sent === null || sent.createdAt.getTime() + noticeMs <= clock.now().getTime()
    if (sent?.status === 'queued' && !isOver) return 'soon'
    await finish(deletion, sent?.status === 'sent' ? 'sent' : 'not_sent')
    return 'next'
  }

  return { points, scrub, notice }
}
