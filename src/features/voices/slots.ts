import { randomUUID } from 'node:crypto'
import { Type } from 'typebox'
import type { Clock } from '../../platform/clock.ts'
import type { Database, Tx } from '../../platform/db/database.ts'
import { defineJob, type Jobs } from '../../platform/jobs/jobs.ts'
import { scheduledPayload } from '../../platform/jobs/schedules.ts'
import type { SpeechProviderName } from '../../providers/speech/speech.ts'
import * as queries from './queries.ts'
import * as slotQueries from './slot-queries.ts'
import type { RemoteCopy } from './slot-queries.ts'

const slotPayload = Type.Object({ slot_id: Type.Integer({ minimum: 1 }) })

export const cloneSlotJob = defineJob({
  name: 'slots.clone',
  payload: slotPayload,
  retryLimit: 4,
  retryDelaySeconds: 5,
  retryDelayMaxSeconds: 60,
  limitSeconds: 300,
  concurrency: 4,
})

export const releaseSlotJob = defineJob({
  name: 'slots.release',
  payload: slotPayload,
  // 1 min doubling to 6 h; the sweeper queues anew what outlives even that.
  retryLimit: 40,
  retryDelaySeconds: 60,
  retryDelayMaxSeconds: 21_600,
  limitSeconds: 60,
})

export const sweepSlotsJob = defineJob({
  name: 'slots.sweep',
  payload: scheduledPayload,
  retryLimit: 0,
  retryDelaySeconds: 1,
  limitSeconds: 60,
  schedule: { everySeconds: 60 },
})

export const leaseSeconds = 30
const leaseRenewMs = 10_000

export interface Lease {
  owner: string
  /** Aborted as soon as a renewal finds that the lease is someone else's. */
  signal: AbortSignal
  end(): void
}

/** Keeps a lease alive while work runs; `renew` answers false when the row is no longer ours. */
export const holdLease = (owner: string, renew: () => Promise<boolean>, outer: AbortSignal): Lease => {
  const lost = new AbortController()
  const timer = setInterval(() => {
    renew().then(
      (isOurs) => {
        if (!isOurs) lost.abort(new Error('lease lost'))
      },
      // A failed renewal says nothing yet: the next one, or the row's compare-and-set, decides.
      () => undefined,
    )
  }, leaseRenewMs)
  return { owner, signal: AbortSignal.any([lost.signal, outer]), end: () => clearInterval(timer) }
}

export const newOwner = (): string => randomUUID()

export type SlotStep = 'ready' | 'allocating'

export interface Slots {
  /**
   * Makes sure the voice has a slot or is getting one. Runs in the caller's transaction, which already holds user and
   * voice; takes the provider row last.
   */
  step(tx: Tx, voice: queries.Voice): Promise<SlotStep>
  /** The provider no longer knows this remote voice: its slot goes. The caller's transaction holds the voice. */
  lose(tx: Tx, voice: queries.Voice, externalId: string): Promise<void>
  /** The voice is deleted: its places are given up, the remote voices answered are removed by a job each. */
  abandon(tx: Tx, voice: queries.Voice, reason: string): Promise<RemoteCopy[]>
  /** Work without a live worker gets one again. */
  sweep(): Promise<number>
}

export interface SlotConfig {
  warmHoldSeconds: number
}

/** Slots of providers without a capacity limit; with one, a place is reserved in the same locked transaction. */
export const createSlots = (deps: {
  database: Database
  clock: Clock
  enqueue: Jobs['enqueue']
  config: SlotConfig
}): Slots => {
  const { clock, enqueue } = deps

  const step: Slots['step'] = async (tx, voice) => {
    const now = clock.now()
    await slotQueries.lockProvider(tx, voice.provider)
    if (voice.slot?.state === 'ready') {
      const until = new Date(now.getTime() + deps.config.warmHoldSeconds * 1000)
      return (await slotQueries.extendHold(tx, voice.slot.id, until)) ? 'ready' : 'allocating'
    }
    if (voice.slot) return 'allocating'
    const slotId = await slotQueries.insertSlot(tx, { provider: voice.provider, voiceId: voice.id, now })
    await enqueue(tx, cloneSlotJob, { slot_id: slotId })
    const event = { voiceId: voice.id, userId: voice.userId, type: 'slot_lock_acquired', now }
    await queries.insertSlotEvent(tx, { ...event, reason: 'ensure_active_voice' })
    return 'allocating'
  }

  const lose: Slots['lose'] = async (tx, voice, externalId) => {
    await slotQueries.lockProvider(tx, voice.provider)
    if (!(await slotQueries.dropReadySlot(tx, voice.id, externalId))) return
    const event = { voiceId: voice.id, userId: voice.userId, type: 'slot_lost', reason: 'voice_gone' }
    await queries.insertSlotEvent(tx, { ...event, now: clock.now() })
  }

  const abandon: Slots['abandon'] = async (tx, voice, reason) => {
    const now = clock.now()
    await slotQueries.lockProvider(tx, voice.provider)
    const copies = await slotQueries.abandonSlots(tx, voice.id, reason, now)
    for (const { slotId } of copies) await enqueue(tx, releaseSlotJob, { slot_id: slotId })
    return copies
  }

  const sweep: Slots['sweep'] = async () => {
    const stale = await slotQueries.findStaleSlots(deps.database.read, clock.now())
    for (const slot of stale)
      await deps.database.transaction((tx) =>
        slot.state === 'releasing'
          ? enqueue(tx, releaseSlotJob, { slot_id: slot.id }, { singletonKey: `slot-${slot.id}` })
          : enqueue(tx, cloneSlotJob, { slot_id: slot.id }, { singletonKey: `slot-${slot.id}` }),
      )
    return stale.length
  }

  return { step, lose, abandon, sweep }
}

/** The provider that a stored name stands for. */
export const isProviderName = (name: string): name is SpeechProviderName =>
  name === 'elevenlabs' || name === 'cartesia' || name === 'local'
