import type { Database, Db, Tx } from '../../platform/db/database.ts'
import { withdrawJobs, withdrawListJobs } from '../../platform/jobs/withdraw.ts'
import { SpeechError, type SpeechProvider, type SpeechProviderName } from '../../providers/speech/speech.ts'
import { lockUser } from '../users/users.ts'
import { deleteObjectsJob } from './delete-objects.job.ts'
import * as erase from './erase-queries.ts'
import { prepareSampleJob } from './prepare-sample.job.ts'
import * as queries from './queries.ts'
import type { Releaser } from './release-slot.job.ts'
import type { Leftovers, RemoveVoice } from './remove-voice.ts'
import type { RemoteCopy } from './slot-queries.ts'
import { cloneSlotJob, isProviderName, releaseSlotJob } from './slots.ts'

/** A remote voice with what it is to the person whose voice it was. */
type ErasedCopy = RemoteCopy & { content: string }

/** What an account deletion needs of voices: it takes them away one by one, then asks whether they are gone. */
export interface VoiceErasure {
  /** Waiting work for the account's voices is cancelled; running work finds the account on its way out. */
  stop(tx: Tx, userId: number): Promise<void>
  /** Removes the rows of one voice (20 §4.9); null when the account has none left. */
  eraseNext(tx: Tx, userId: number): Promise<(Leftovers & { copies: ErasedCopy[] }) | null>
  countVoices(db: Db, userId: number): Promise<number>
  /** What voices that the account deleted before may still have somewhere. */
  earlierLeftovers(db: Db, userId: number): Promise<{ copies: ErasedCopy[]; folders: string[] }>
  /** Our row of a remote voice; null once the provider has confirmed its removal. */
  findSlot(db: Db, slotId: number): Promise<{ externalId: string | null } | null>
  /** Removes the remote voice, whether or not our row still stands. `busy`: its clone may be on its way. */
  removeCopy(copy: RemoteCopy, signal: AbortSignal): Promise<'gone' | 'busy'>
  /** Asks the provider by id and by name; false while it still has the voice. Throws its classified error. */
  isCopyGone(copy: RemoteCopy, signal: AbortSignal): Promise<boolean>
  /** What was queued for the removal of things that are gone need not run any more. */
  forget(tx: Tx, gone: { slotIds: readonly number[]; keys: readonly string[] }): Promise<void>
  /** Consents go; slot events stay without the account and without anything that names it. */
  scrub(tx: Tx, userId: number): Promise<Record<string, number>>
  /** Rows that still name the account. */
  countRows(db: Db, userId: number): Promise<number>
}

const callDeadlineMs = 30_000

export const createVoiceErasure = (deps: {
  database: Database
  providers: ReadonlyMap<SpeechProviderName, SpeechProvider>
  removeVoice: RemoveVoice
  release: Releaser
  /** The same for work that other features do with voices. */
  stopOthers: (tx: Tx, userId: number) => Promise<void>
}): VoiceErasure => {
  const providerOf = ({ provider: name }: RemoteCopy): SpeechProvider => {
    const provider = isProviderName(name) ? deps.providers.get(name) : undefined
    if (!provider) throw new SpeechError('configuration', 'the provider of the voice is not configured')
    return provider
  }

  /** A stand-in's voice is only its id: there is nothing of it at a provider. */
  const labelled = (copy: RemoteCopy): ErasedCopy => {
    const provider = isProviderName(copy.provider) ? deps.providers.get(copy.provider) : undefined
    return { ...copy, content: provider?.remembersVoices === false ? 'stand_in' : 'provider_copy' }
  }

  const within = (signal: AbortSignal): AbortSignal =>
    AbortSignal.any([signal, AbortSignal.timeout(callDeadlineMs)])

  /** External ids under which the provider knows the voice at this moment. */
  const findCopies = async (copy: RemoteCopy, signal: AbortSignal): Promise<string[]> => {
    const provider = providerOf(copy)
    if (!provider.remembersVoices) return []
    const { externalId, intentToken } = copy
    const isKnown = externalId !== null && (await provider.exists({ externalId }, within(signal)))
    const named =
      intentToken === null ? null : await provider.findByName({ name: intentToken }, within(signal))
    return [...new Set([...(isKnown ? [externalId] : []), ...(named ? [named.externalId] : [])])]
  }

  return {
    stop: async (tx, userId) => {
      const voices = await queries.listVoices(tx, userId)
      await withdrawJobs(
        tx,
        prepareSampleJob,
        'voice_id',
        voices.map(({ id }) => id),
      )
      const slotIds = voices.flatMap(({ slot }) => (slot ? [slot.id] : []))
      await withdrawJobs(tx, cloneSlotJob, 'slot_id', slotIds)
      await deps.stopOthers(tx, userId)
    },

    eraseNext: async (tx, userId) => {
      await lockUser(tx, userId)
      const [next] = await queries.listVoices(tx, userId)
      const voice = next ? await queries.lockVoice(tx, next.id) : null
      if (!voice) return null
      const removed = await deps.removeVoice(tx, voice, 'account_deleted')
      return { ...removed, copies: removed.copies.map(labelled) }
    },

    countVoices: queries.countVoices,

    earlierLeftovers: async (db, userId) => {
      const earlier = await erase.listEarlierRemovals(db, userId)
      const voiceIds = earlier.flatMap(({ voiceId }) => (voiceId === null ? [] : [voiceId]))
      const slotIds = earlier.flatMap(({ slotId }) => (slotId === null ? [] : [slotId]))
      return {
        copies: (await erase.listReleasing(db, slotIds)).map(labelled),
        folders: [`voice_samples/${userId}/`, ...voiceIds.map((id) => `audio_stories/${id}/`)],
      }
    },

    findSlot: erase.findSlot,
    forget: async (tx, { slotIds, keys }) => {
      await withdrawJobs(tx, releaseSlotJob, 'slot_id', slotIds)
      await withdrawListJobs(tx, deleteObjectsJob, 'keys', keys)
    },
    scrub: erase.scrubVoiceRows,
    countRows: erase.countVoiceRows,

    removeCopy: async (copy, signal) => {
      if ((await erase.findSlot(deps.database.read, copy.slotId)) !== null)
        return deps.release(copy.slotId, signal)
      const provider = providerOf(copy)
      for (const externalId of await findCopies(copy, signal))
        await provider.remove({ externalId }, within(signal))
      return 'gone'
    },

    isCopyGone: async (copy, signal) => (await findCopies(copy, signal)).length === 0,
  }
}
