import { handleJob, JobHandedBack, type Job } from '../../platform/jobs/jobs.ts'
import { SpeechError } from '../../providers/speech/speech.ts'
import { StorageUnavailable } from '../../providers/storage/storage.ts'
import { findVoice, holdLease, leaseSeconds, lockVoice, newOwner } from '../voices/voices.ts'
import * as attempts from './attempt-queries.ts'
import * as leases from './attempt-lease-queries.ts'
import type { Attempt } from './attempt-queries.ts'
import { createAssembler } from './assemble.ts'
import { produceNarrationJob, RunOver, SlotGone, type ProduceDeps } from './attempt-run.ts'
import type { Outcome } from './outcomes.ts'
import * as queries from './queries.ts'
import { createSpeaker } from './speak-attempt.ts'

// A rejected slot is made again for the same debit, but not for ever.
const maxReallocations = 2
const busyRetrySeconds = 10

const outcomeOf = (error: unknown): Outcome =>
  error instanceof SpeechError
    ? 'synthesis_failed'
    : error instanceof StorageUnavailable
      ? 'storage_failed'
      : 'internal'

/**
 * narrations.produce (20 §5.3): waiting → speaking → assembling → done, one run per attempt by lease. A run that dies
 * leaves its finished parts; the next one takes them over.
 */
export const createProduceNarration = (deps: ProduceDeps): Job => {
  const { database, clock, slots } = deps
  const speaker = createSpeaker(deps)
  const assembler = createAssembler(deps)

  /** Someone else's lease is alive or about to lapse: look again soon instead of waiting for the sweeper. */
  const lookAgain = async (attemptId: number): Promise<void> => {
    const attempt = await attempts.findAttempt(database.read, attemptId)
    if (!attempt || !['waiting', 'speaking', 'assembling'].includes(attempt.stage)) return
    await database.transaction((tx) =>
      deps.enqueue(
        tx,
        produceNarrationJob,
        { attempt_id: attemptId },
        { startAfterSeconds: busyRetrySeconds },
      ),
    )
  }

  /**
   * waiting or speaking without a ready slot: asks for one and leaves; the slot's owner starts this job again. A slot
   * whose voice the provider has lost is given up first, so that the voice is made anew for the same debit.
   */
  const waitForSlot = (
    attempt: Attempt,
    voiceId: number,
    owner: string,
    lostExternalId: string | null,
  ): Promise<'waiting' | 'spent'> =>
    database.transaction(async (tx) => {
      const voice = await lockVoice(tx, voiceId)
      if (!voice) return 'waiting'
      if (lostExternalId !== null) await slots.lose(tx, voice, lostExternalId)
      const reallocations = attempt.reallocations + (lostExternalId === null ? 0 : 1)
      if (reallocations > maxReallocations) return 'spent'
      const moved = await leases.moveStage(tx, attempt.id, owner, ['waiting', 'speaking'], {
        to: 'waiting',
        reallocations,
      })
      if (!moved) return 'waiting'
      await queries.setNarrationStatus(tx, attempt.narrationId, 'pending', null, clock.now())
      await leases.giveAttemptBack(tx, attempt.id, owner)
      const current = await findVoice(tx, voiceId)
      // The slot may have become ready since it was looked at; then this job simply runs again.
      if (current && (await slots.step(tx, current)) === 'ready')
        await deps.enqueue(tx, produceNarrationJob, { attempt_id: attempt.id }, { startAfterSeconds: 1 })
      return 'waiting'
    })

  const startSpeaking = (attempt: Attempt, owner: string): Promise<boolean> =>
    database.transaction(async (tx) => {
      const now = clock.now()
      const isFirst = attempt.speechDeadline === null
      const moved = await leases.moveStage(tx, attempt.id, owner, ['waiting', 'speaking'], {
        to: 'speaking',
        ...(isFirst
          ? {
              speechStartedAt: now,
              speechDeadline: new Date(now.getTime() + deps.config.speechLimitSeconds * 1000),
            }
          : {}),
      })
      if (moved) await queries.setNarrationStatus(tx, attempt.narrationId, 'processing', null, now)
      return moved
    })

  const run = async (attempt: Attempt, owner: string, signal: AbortSignal): Promise<void> => {
    const narration = await queries.findNarration(database.read, attempt.narrationId)
    const voice = narration ? await findVoice(database.read, narration.voiceId) : null
    if (!narration || !voice) return
    if (attempt.stage !== 'assembling') {
      if (voice.slot?.state !== 'ready') {
        if ((await waitForSlot(attempt, voice.id, owner, null)) === 'spent')
          await end(attempt, owner, 'synthesis_failed')
        return
      }
      if (!(await startSpeaking(attempt, owner))) return
      try {
        await speaker.speakAll({ attempt, narration, voice, owner }, signal)
      } catch (error) {
        if (!(error instanceof SlotGone)) throw error
        if ((await waitForSlot(attempt, voice.id, owner, error.lostExternalId)) === 'spent')
          await end(attempt, owner, 'synthesis_failed')
        return
      }
    }
    await assembler.assemble({ attempt, narration, voice, owner }, signal)
  }

  const end = async (attempt: Attempt, owner: string, outcome: Outcome): Promise<void> => {
    const narration = await queries.findNarration(database.read, attempt.narrationId)
    if (!narration) return
    await database.transaction((tx) =>
      deps.narrations.fail(tx, { id: attempt.id, userId: narration.userId }, owner, outcome),
    )
  }

  return handleJob(produceNarrationJob, async ({ attempt_id: attemptId }, { signal, retryCount }) => {
    const owner = newOwner()
    const attempt = await database.transaction((tx) =>
      leases.claimAttempt(tx, attemptId, { owner, leaseSeconds }),
    )
    if (!attempt) return lookAgain(attemptId)
    const renew = () =>
      database.transaction((tx) => leases.renewAttemptLease(tx, attemptId, owner, leaseSeconds))
    const lease = holdLease(owner, renew, signal)
    const giveBack = () => database.transaction((tx) => leases.giveAttemptBack(tx, attemptId, owner))
    try {
      await run(attempt, owner, lease.signal)
    } catch (error) {
      if (error instanceof JobHandedBack || signal.reason instanceof JobHandedBack) {
        await giveBack()
        throw new JobHandedBack()
      }
      // The lease is someone else's, or the voice was deleted meanwhile: nothing of this run counts.
      if (error instanceof RunOver || (lease.signal.aborted && !signal.aborted)) return
      const isFinal = error instanceof SpeechError || retryCount >= produceNarrationJob.retryLimit
      if (!isFinal) {
        await giveBack()
        throw error
      }
      deps.logger.error({ err: error, attempt_id: attemptId }, 'narration failed')
      await end(attempt, owner, outcomeOf(error))
    } finally {
      lease.end()
    }
  })
}
