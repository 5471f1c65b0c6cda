import type { Clock } from '../../platform/clock.ts'
import type { Database, Tx } from '../../platform/db/database.ts'
import { handleJob, JobHandedBack, type Job, type Jobs } from '../../platform/jobs/jobs.ts'
import type { Logger } from '../../platform/observability/logger.ts'
import { SpeechError, type SpeechProvider, type SpeechProviderName } from '../../providers/speech/speech.ts'
import { isAccountLive } from '../users/users.ts'
import type { SampleMaker } from './clone-sample.ts'
import * as queries from './queries.ts'
import * as slotQueries from './slot-queries.ts'
import * as tombstones from './tombstone-queries.ts'
import {
  cloneSlotJob,
  holdLease,
  isProviderName,
  leaseSeconds,
  newOwner,
  releaseSlotJob,
  type SlotConfig,
} from './slots.ts'

const cloneDeadlineMs = 120_000

/** Another run holds the slot now, or it is gone: what this run was about to record must not count. */
class SlotLeaseLost extends Error {
  constructor() {
    super('the slot is held by another run')
    this.name = 'SlotLeaseLost'
  }
}

export interface CloneDeps {
  database: Database
  clock: Clock
  logger: Logger
  enqueue: Jobs['enqueue']
  providers: ReadonlyMap<SpeechProviderName, SpeechProvider>
  samples: SampleMaker
  config: SlotConfig & { voicePrefix: string }
  /** Work that waited for this voice goes on, in the transaction that makes the slot ready. */
  onReady: (tx: Tx, voiceId: number) => Promise<void>
  /** The voice cannot be made for good: what waits for it ends with this outcome, in the same transaction. */
  onFailed: (
    tx: Tx,
    voiceId: number,
    outcome: 'allocation_failed' | 'sample_missing' | 'voice_rejected',
  ) => Promise<void>
}

/** slots.clone (20 §4.5): claims a slot, finds or makes the remote voice, marks the slot ready. */
export const createCloneSlot = (deps: CloneDeps): Job => {
  const { database, clock, config } = deps

  const give = (slotId: number, owner: string) =>
    database.transaction((tx) => slotQueries.giveSlotBack(tx, slotId, owner))

  /** Nothing was cloned: whoever removes the voice need not wait for the end of our lease. */
  const leave = (slotId: number, owner: string) =>
    database.transaction(async (tx) => {
      await slotQueries.giveSlotBack(tx, slotId, owner)
      if (await tombstones.freeTombstone(tx, slotId, owner))
        await deps.enqueue(tx, releaseSlotJob, { slot_id: slotId })
    })

  const isWanted = async (slot: slotQueries.ClaimedSlot): Promise<boolean> => {
    const voice = await queries.findVoice(database.read, slot.voiceId)
    return voice !== null && (await isAccountLive(database.read, voice.userId))
  }

  const fail = (
    slot: slotQueries.ClaimedSlot,
    owner: string,
    outcome: 'allocation_failed' | 'sample_missing' | 'voice_rejected',
  ) =>
    database.transaction(async (tx) => {
      // Lock order: user and voice before the slot.
      const voice = await queries.findVoice(tx, slot.voiceId)
      if (voice) await deps.onFailed(tx, voice.id, outcome)
      const now = clock.now()
      const mayExist = outcome === 'allocation_failed'
      const isOurs = mayExist
        ? await tombstones.buryClone(tx, slot.id, owner, now)
        : await slotQueries.dropSlot(tx, slot.id, owner)
      if (!isOurs) throw new SlotLeaseLost()
      if (mayExist) await deps.enqueue(tx, releaseSlotJob, { slot_id: slot.id })
      if (voice && outcome === 'voice_rejected')
        await queries.moveVoiceState(tx, voice.id, ['recorded', 'ready'], 'error', {
          errorCode: outcome,
          now,
        })
      if (voice && outcome === 'sample_missing')
        await queries.moveVoiceState(tx, voice.id, ['recorded', 'ready', 'error'], 'needs_rerecord', {
          errorCode: outcome,
          now,
        })
      const event = {
        voiceId: voice?.id ?? null,
        userId: voice?.userId ?? null,
        type: 'allocation_failed',
        now,
      }
      await queries.insertSlotEvent(tx, {
        ...event,
        reason: outcome === 'sample_missing' ? outcome : 'voice_service_error',
        ...(mayExist ? { metadata: { slot_id: slot.id } } : {}),
      })
    })

  const failUnlessLost = async (...end: Parameters<typeof fail>): Promise<void> => {
    await fail(...end).catch((error: unknown) => {
      if (!(error instanceof SlotLeaseLost)) throw error
    })
  }

  const record = (slot: slotQueries.ClaimedSlot, owner: string, externalId: string, isAdopted: boolean) =>
    database.transaction(async (tx) => {
      const now = clock.now()
      const voice = await queries.lockVoice(tx, slot.voiceId)
      const holdUntil = new Date(now.getTime() + config.warmHoldSeconds * 1000)
      const row = {
        id: slot.id,
        owner,
        voiceId: slot.voiceId,
        provider: slot.provider,
        externalId,
        holdUntil,
        now,
      }
      if (!voice || !(await slotQueries.finishSlot(tx, row))) {
        // Another run or the deletion of the voice was first: the remote voice is surplus.
        const isNamed = await tombstones.nameTombstone(tx, slot.id, owner, externalId)
        const surplus = { provider: slot.provider, externalId, reason: 'surplus', now }
        const slotId = isNamed ? slot.id : await tombstones.insertTombstone(tx, surplus)
        await deps.enqueue(tx, releaseSlotJob, { slot_id: slotId })
        return
      }
      // An account on its way out needs to find the remote voice by its slot, and nothing more.
      if (!(await isAccountLive(tx, voice.userId))) return
      await queries.stampLastUsed(tx, voice.id, now)
      await queries.moveVoiceState(tx, voice.id, ['error'], 'ready', { errorCode: null, now })
      await queries.insertSlotEvent(tx, {
        voiceId: voice.id,
        userId: voice.userId,
        type: 'allocation_completed',
        now,
        reason: isAdopted ? 'adopted' : 'voice_ready',
        metadata: { external_voice_id: externalId },
      })
      await deps.onReady(tx, voice.id)
    })

  const produce = async (
    slot: slotQueries.ClaimedSlot,
    provider: SpeechProvider,
    signal: AbortSignal,
  ): Promise<{ externalId: string; isAdopted: boolean } | 'sample_missing' | 'unwanted'> => {
    const name = `${config.voicePrefix}${slot.voiceId}-${slot.id}`
    if (!(await isWanted(slot))) return 'unwanted'
    // Not the first run: an earlier one may have got through before its answer was lost.
    const found = slot.attempts > 1 ? await provider.findByName({ name }, signal) : null
    if (found) return { externalId: found.externalId, isAdopted: true }
    const sample = await deps.samples.read(slot.voiceId, signal)
    if (!(await isWanted(slot))) return 'unwanted'
    if (sample === null) return 'sample_missing'
    const { externalId } = await provider.clone(
      { name, sample, sampleType: 'audio/mpeg', language: 'pl' },
      signal,
    )
    return { externalId, isAdopted: false }
  }

  return handleJob(cloneSlotJob, async ({ slot_id: slotId }, { signal, retryCount }) => {
    const owner = newOwner()
    const slot = await database.transaction((tx) =>
      slotQueries.claimSlot(tx, slotId, {
        owner,
        leaseSeconds,
        now: clock.now(),
        intentToken: (voiceId) => `${config.voicePrefix}${voiceId}-${slotId}`,
      }),
    )
    if (!slot) return
    const provider = isProviderName(slot.provider) ? deps.providers.get(slot.provider) : undefined
    if (!provider) {
      await give(slotId, owner)
      throw new Error('slots.clone: provider is not configured')
    }
    const renew = () =>
      database.transaction((tx) => slotQueries.renewSlotLease(tx, slotId, owner, leaseSeconds))
    const lease = holdLease(owner, renew, signal)
    try {
      const result = await produce(
        slot,
        provider,
        AbortSignal.any([lease.signal, AbortSignal.timeout(cloneDeadlineMs)]),
      )
      if (result === 'unwanted') await leave(slotId, owner)
      else if (result === 'sample_missing') await fail(slot, owner, 'sample_missing')
      else await record(slot, owner, result.externalId, result.isAdopted)
    } catch (error) {
      if (error instanceof SlotLeaseLost || (lease.signal.aborted && !signal.aborted)) return
      if (error instanceof SpeechError && error.kind === 'rejected')
        return await failUnlessLost(slot, owner, 'voice_rejected')
      if (retryCount >= cloneSlotJob.retryLimit && !(error instanceof JobHandedBack))
        await failUnlessLost(slot, owner, 'allocation_failed')
      else await give(slotId, owner)
      throw error
    } finally {
      lease.end()
    }
  })
}
