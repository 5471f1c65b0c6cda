import { setTimeout as sleep } from 'node:timers/promises'
import { Type } from 'typebox'
import type { Clock } from '../../platform/clock.ts'
import type { Database } from '../../platform/db/database.ts'
import { defineJob, handleJob, type Job, type Jobs } from '../../platform/jobs/jobs.ts'
import { scheduledPayload } from '../../platform/jobs/schedules.ts'
import type { Logger } from '../../platform/observability/logger.ts'
import { failureOf } from './deletion-failures.ts'
import { listOpenItems } from './deletion-item-queries.ts'
import * as queries from './deletion-queries.ts'
import type { Deletion } from './deletion-queries.ts'
import type { DeletionSteps, Look } from './deletion-steps.ts'

export const deleteAccountJob = defineJob({
  name: 'accounts.delete',
  payload: Type.Object({ deletion_id: Type.Integer({ minimum: 1 }) }),
  // Crashes only: what cannot be removed yet is looked for again by the sweep, without end.
  retryLimit: 3,
  retryDelaySeconds: 5,
  limitSeconds: 900,
  concurrency: 2,
})

export const sweepDeletionsJob = defineJob({
  name: 'accounts.sweep-deletions',
  payload: scheduledPayload,
  retryLimit: 0,
  retryDelaySeconds: 1,
  limitSeconds: 60,
  schedule: { everySeconds: 60 },
})

const delaysSeconds = [60, 300, 1800, 7200, 21_600, 86_400]

/** How long after a look that left something open the next one follows: 1 min, 5 min, 30 min, 2 h, 6 h, then daily. */
export const lookAgainSeconds = (looks: number): number =>
  delaysSeconds[Math.min(looks, delaysSeconds.length - 1)] ?? 86_400

// Within one look: most things are gone in well under a second, a run that was told to stop ends within ten.
const pollMs = 300
const patienceMs = 15_000
// Jobs queued with the rows' removal get this long before the look does their work itself.
const headStartMs = 2000
// A run that is killed is taken up after this, if the queue has not done it before.
const leaseSeconds = 300
const attentionMs = 3 * 86_400_000

/**
 * Runs a deletion's steps until it is done or has to wait for something outside. It may die at any point: the state and
 * the items say where the next run goes on, and every step may run twice.
 */
export const createDeleteAccount = (deps: {
  database: Database
  clock: Clock
  logger: Logger
  steps: DeletionSteps
}): Job => {
  const { database, clock, steps } = deps

  const claim = (id: number): Promise<void> =>
    database.transaction((tx) =>
      queries.postponeDeletion(tx, id, { at: new Date(clock.now().getTime() + leaseSeconds * 1000) }),
    )

  /** The next look, by the application clock. */
  const postpone = ({ id, attempts: looks }: Deletion, lastFailure: string | null): Promise<void> =>
    database.transaction((tx) =>
      queries.postponeDeletion(tx, id, {
        at: new Date(clock.now().getTime() + lookAgainSeconds(looks) * 1000),
        attempts: looks + 1,
        lastFailure,
      }),
    )

  const worstFailure = async (id: number): Promise<string | null> => {
    const open = await listOpenItems(database.read, id, ['slot', 'object', 'folder'])
    return open.find(({ lastFailure }) => lastFailure !== null)?.lastFailure ?? null
  }

  const run = async (first: Deletion, signal: AbortSignal): Promise<void> => {
    const started = performance.now()
    const elapsed = () => performance.now() - started
    const look: Look = {
      signal,
      tried: new Set(),
      actsItself: () => first.attempts > 0 || elapsed() > headStartMs,
    }
    for (;;) {
      signal.throwIfAborted()
      const deletion = await queries.findDeletion(database.read, first.id)
      if (!deletion || deletion.state === 'done') return
      const outcome = await steps[deletion.state](deletion, look)
      if (outcome === 'later' || (outcome === 'soon' && elapsed() > patienceMs)) break
      if (outcome === 'soon') await sleep(pollMs, undefined, { signal })
    }
    await postpone(first, await worstFailure(first.id))
  }

  return handleJob(deleteAccountJob, async ({ deletion_id: id }, { signal }) => {
    const deletion = await queries.findDeletion(database.read, id)
    if (!deletion || deletion.state === 'done') return
    await claim(id)
    try {
      await run(deletion, signal)
    } catch (error) {
      if (!signal.aborted) await postpone(deletion, failureOf(error))
      throw error
    }
  })
}

/** Queues the looks that are due, and says once of each deletion that has been open for three days. */
export const createSweepDeletions = (deps: {
  database: Database
  clock: Clock
  logger: Logger
  enqueue: Jobs['enqueue']
}): Job => {
  const { database, clock } = deps
  return handleJob(sweepDeletionsJob, async () => {
    const now = clock.now()
    for (const id of await queries.listDueDeletions(database.read, now))
      await database.transaction((tx) =>
        deps.enqueue(tx, deleteAccountJob, { deletion_id: id }, { singletonKey: `deletion-${id}` }),
      )
    const late = await database.transaction((tx) =>
      queries.markNeedingAttention(tx, new Date(now.getTime() - attentionMs), now),
    )
    for (const { id, state, lastFailure } of late)
      deps.logger.error(
        { deletion_id: id, state, failure: lastFailure },
        'account deletion open for three days',
      )
  })
}
