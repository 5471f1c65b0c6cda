import type { Clock } from '../../platform/clock.ts'
import type { Tx } from '../../platform/db/database.ts'
import type { Jobs } from '../../platform/jobs/jobs.ts'
import { withdrawJobs } from '../../platform/jobs/withdraw.ts'
import { deleteObjectsJob } from './delete-objects.job.ts'
import { prepareSampleJob } from './prepare-sample.job.ts'
import * as queries from './queries.ts'
import type { Voice } from './queries.ts'
import type { RemoteCopy } from './slot-queries.ts'
import { cloneSlotJob, type Slots } from './slots.ts'

export type RemovalReason = 'voice_deleted' | 'account_deleted'

/** What removed rows leave outside the database. */
export interface Leftovers {
  objects: { key: string; content: string }[]
  /** Prefixes of keys, under which nothing may be left at the end. */
  folders: string[]
  /** Jobs that run at this moment: they may store something until they notice that their rows are gone. */
  runs: { job: string; key: string; value: number }[]
}

export interface RemovedVoice extends Leftovers {
  copies: RemoteCopy[]
}

/** Removes the rows of a voice and queues the removal of everything else, in the caller's transaction (20 §4.9). */
export type RemoveVoice = (tx: Tx, voice: Voice, reason: RemovalReason) => Promise<RemovedVoice>

// What one job deletes.
const keysPerJob = 500

/** The caller holds the user and the voice. */
export const createVoiceRemoval = (deps: {
  clock: Clock
  slots: Pick<Slots, 'abandon'>
  enqueue: Jobs['enqueue']
  /** What other features keep about a voice goes first, in the same transaction. */
  beforeDelete: (tx: Tx, voice: Voice, reason: RemovalReason) => Promise<Leftovers>
}): RemoveVoice => {
  const runsOf = async (tx: Tx, voiceId: number, slotIds: readonly number[]) => {
    const preparing = await withdrawJobs(tx, prepareSampleJob, 'voice_id', [voiceId])
    const cloning = await withdrawJobs(tx, cloneSlotJob, 'slot_id', slotIds)
    return [
      ...preparing.map((value) => ({ job: prepareSampleJob.name, key: 'voice_id', value })),
      ...cloning.map((value) => ({ job: cloneSlotJob.name, key: 'slot_id', value })),
    ]
  }

  return async (tx, voice, reason) => {
    const narrated = await deps.beforeDelete(tx, voice, reason)
    const event = reason === 'voice_deleted' ? 'manual_voice_delete' : reason
    const copies = await deps.slots.abandon(tx, voice, event)
    await queries.insertSlotEvent(tx, {
      voiceId: voice.id,
      userId: voice.userId,
      type: 'slot_evicted',
      reason: event,
      now: deps.clock.now(),
      metadata: {
        voice_id: voice.id,
        had_external_id: (voice.slot?.externalId ?? null) !== null,
        // Ties the remote voice to its account until both are gone.
        slot_id: copies[0]?.slotId ?? null,
      },
    })
    await queries.deleteVoiceRow(tx, voice.id)
    const own = [
      ...(voice.recordingKey === null ? [] : [{ key: voice.recordingKey, content: 'recording' }]),
      ...(voice.cloneSampleKey === null ? [] : [{ key: voice.cloneSampleKey, content: 'prepared_sample' }]),
    ]
    const objects = [...own, ...narrated.objects]
    const keys = objects.map(({ key }) => key)
    for (let at = 0; at < keys.length; at += keysPerJob)
      await deps.enqueue(tx, deleteObjectsJob, { keys: keys.slice(at, at + keysPerJob) })
    const slotIds = voice.slot ? [voice.slot.id] : []
    const runs = [...(await runsOf(tx, voice.id, slotIds)), ...narrated.runs]
    return { copies, objects, folders: narrated.folders, runs }
  }
}
