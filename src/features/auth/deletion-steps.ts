import type { Clock } from '../../platform/clock.ts'
import type { Database, Tx } from '../../platform/db/database.ts'
import { withdrawJobs } from '../../platform/jobs/withdraw.ts'
import type { Logger } from '../../platform/observability/logger.ts'
import type { ObjectStorage } from '../../providers/storage/storage.ts'
import type { Credits } from '../credits/credits.ts'
import type { Mail } from '../mail/mail.ts'
import { lockUser } from '../users/users.ts'
import type { AccountContents } from './account-contents.ts'
import { createLastSteps } from './deletion-last-steps.ts'
import { insertItems } from './deletion-item-queries.ts'
import { moveDeletion, type Deletion, type DeletionState } from './deletion-queries.ts'
import { listExports } from './deletion-scrub-queries.ts'
import { createWaitingSteps } from './deletion-waiting-steps.ts'
import { exportAccountJob } from './export-account.job.ts'

/** One run of the job over a deletion. */
export interface Look {
  signal: AbortSignal
  /** Items that this look has tried in vain: each gets one try a look. */
  tried: Set<number>
  /** False while the jobs that were queued with the rows' removal should have their chance first. */
  actsItself(): boolean
}

/** `next`: go on at once; `soon`: something is under way, look again in a moment; `later`: at the next look. */
export type StepOutcome = 'next' | 'soon' | 'later' | 'done'
export type Step = (deletion: Deletion, look: Look) => Promise<StepOutcome>
export type DeletionSteps = Record<Exclude<DeletionState, 'done'>, Step>

export interface StepDeps {
  database: Database
  clock: Clock
  logger: Logger
  storage: ObjectStorage
  credits: Pick<Credits, 'closeAccount'>
  mail: Mail
  contents: AccountContents
}

/**
 * A deletion's states. Only its job moves them, each by compare-and-set in the transaction that does the step's work, so
 * that a step which is cut off or runs twice leaves what one run leaves:
 *
 *   stop → voices      waiting work is cancelled; running work finds the account `deleting` before its next step
 *   voices → exports   no voice row is left; what each left outside the database became an item in the same transaction
 *   exports → wait     the archives' objects are items, too
 *   wait → recheck     every running job has ended; every remote voice and object was removed and then looked for
 *   recheck → points   nothing new has turned up: no voice, no earlier remote voice, nothing in the account's folders
 *   recheck → voices, wait   something has
 *   points → scrub     lots expired, ledger and store rows without personal data
 *   scrub → notice     the user row is a tombstone, its address is free; refused while an item is open
 *   notice → done      the last mail has left, its address is erased, the reason stands apart from the account
 */
export const createDeletionSteps = (deps: StepDeps): DeletionSteps => {
  const { database, clock, contents } = deps

  const step = (work: (tx: Tx, deletion: Deletion) => Promise<StepOutcome>): Step => {
    return (deletion) =>
      database.transaction(async (tx) => {
        // First lock of every transaction that touches an account; parallel runs follow one another here.
        await lockUser(tx, deletion.userId)
        return work(tx, deletion)
      })
  }

  return {
    stop: step(async (tx, { id, userId }) => {
      await contents.stop(tx, userId)
      await moveDeletion(tx, id, 'stop', 'voices')
      return 'next'
    }),

    // One voice a transaction.
    voices: step(async (tx, { id, userId }) => {
      const erased = await contents.eraseNext(tx, userId)
      if (erased) await insertItems(tx, id, erased, clock.now())
      else await moveDeletion(tx, id, 'voices', 'exports')
      return 'next'
    }),

    exports: step(async (tx, { id, userId }) => {
      const exports = await listExports(tx, userId)
      const running = await withdrawJobs(
        tx,
        exportAccountJob,
        'export_id',
        exports.map((row) => row.id),
      )
      const erased = {
        objects: exports.flatMap(({ objectKey: key }) => (key === null ? [] : [{ key, content: 'export' }])),
        folders: [`exports/${userId}/`],
        runs: running.map((value) => ({ job: exportAccountJob.name, key: 'export_id', value })),
      }
      await insertItems(tx, id, erased, clock.now())
      await moveDeletion(tx, id, 'exports', 'wait')
      return 'next'
    }),

    ...createWaitingSteps(deps),
    ...createLastSteps(deps),
  }
}
