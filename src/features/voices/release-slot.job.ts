import type { Clock } from '../../platform/clock.ts'
import type { Database } from '../../platform/db/database.ts'
import { handleJob, type Job } from '../../platform/jobs/jobs.ts'
import type { SpeechProvider, SpeechProviderName } from '../../providers/speech/speech.ts'
import * as queries from './queries.ts'
import * as slotQueries from './slot-queries.ts'
import { findTombstone } from './tombstone-queries.ts'
import { isProviderName, releaseSlotJob } from './slots.ts'

/** slots.release (20 §4.7): removes a remote voice that no one needs; absent counts as removed. */
export const createReleaseSlot = (deps: {
  database: Database
  clock: Clock
  providers: ReadonlyMap<SpeechProviderName, SpeechProvider>
}): Job =>
  handleJob(releaseSlotJob, async ({ slot_id: slotId }, { signal }) => {
    const { database } = deps
    const slot = await findTombstone(database.read, slotId)
    if (!slot) return
    const provider = isProviderName(slot.provider) ? deps.providers.get(slot.provider) : undefined
    if (!provider) throw new Error('slots.release: provider is not configured')
    // The clone may still be on its way: its lease has to lapse before the name says whether it got through.
    if (slot.externalId === null && slot.isLeased)
      throw new Error('slots.release: the clone is still running')
    const deadline = AbortSignal.any([signal, AbortSignal.timeout(30_000)])
    const externalId =
      slot.externalId ??
      (slot.intentToken === null
        ? null
        : (await provider.findByName({ name: slot.intentToken }, deadline))?.externalId)
    if (externalId) await provider.remove({ externalId }, deadline)
    await database.transaction(async (tx) => {
      if (!(await slotQueries.dropSlot(tx, slotId, null))) return
      const event = { voiceId: null, userId: null, type: 'slot_evicted', reason: 'manual_voice_delete' }
      await queries.insertSlotEvent(tx, {
        ...event,
        metadata: { had_external_id: slot.externalId !== null },
        now: deps.clock.now(),
      })
    })
  })
