import type { Clock } from '../../platform/clock.ts'
import type { Database } from '../../platform/db/database.ts'
import { handleJob, type Job } from '../../platform/jobs/jobs.ts'
import { SpeechError, type SpeechProvider, type SpeechProviderName } from '../../providers/speech/speech.ts'
import * as queries from './queries.ts'
import { dropTombstone, findTombstone } from './tombstone-queries.ts'
import { isProviderName, releaseSlotJob } from './slots.ts'

export interface ReleaseDeps {
  database: Database
  clock: Clock
  providers: ReadonlyMap<SpeechProviderName, SpeechProvider>
}

/**
 * Removes the remote voice of a tombstone, then the tombstone; absent counts as removed. `busy`: its clone may still be
 * on its way. Throws the provider's classified error.
 */
export type Releaser = (slotId: number, signal: AbortSignal) => Promise<'gone' | 'busy'>

export const createReleaser =
  ({ database, clock, providers }: ReleaseDeps): Releaser =>
  async (slotId, signal) => {
    const slot = await findTombstone(database.read, slotId)
    if (!slot) return 'gone'
    const provider = isProviderName(slot.provider) ? providers.get(slot.provider) : undefined
    if (!provider) throw new SpeechError('configuration', 'the provider of the slot is not configured')
    // The clone's lease has to lapse before the name says whether it got through.
    if (slot.externalId === null && slot.isLeased) return 'busy'
    const deadline = AbortSignal.any([signal, AbortSignal.timeout(30_000)])
    const externalId =
      slot.externalId ??
      (slot.intentToken === null
        ? null
        : (await provider.findByName({ name: slot.intentToken }, deadline))?.externalId)
    if (externalId) await provider.remove({ externalId }, deadline)
    return database.transaction(async (tx) => {
      // A clone that was thought lost may have named its remote voice meanwhile: that one has to go, too.
      if (!(await dropTombstone(tx, slotId, slot.externalId)))
        return (await findTombstone(tx, slotId)) === null ? 'gone' : 'busy'
      const event = { voiceId: null, userId: null, type: 'slot_evicted', reason: 'manual_voice_delete' }
      await queries.insertSlotEvent(tx, {
        ...event,
        metadata: { had_external_id: slot.externalId !== null },
        now: clock.now(),
      })
      return 'gone'
    })
  }

/** slots.release (20 §4.7): removes a remote voice that no one needs. */
export const createReleaseSlot = (deps: ReleaseDeps): Job => {
  const release = createReleaser(deps)
  return handleJob(releaseSlotJob, async ({ slot_id: slotId }, { signal }) => {
    if ((await release(slotId, signal)) === 'busy')
      throw new Error('slots.release: the clone is still running')
  })
}
