import { randomUUID } from 'node:crypto'
import { createReadStream } from 'node:fs'
import type { DecodeSandbox, InspectedRecording } from '../../platform/audio/decode-sandbox.ts'
import { sniffAudio, type AudioType } from '../../platform/audio/sniff.ts'
import type { Clock } from '../../platform/clock.ts'
import type { Database, Tx } from '../../platform/db/database.ts'
import { AppError } from '../../platform/errors.ts'
import { parseId } from '../../platform/http/request-values.ts'
import type { Jobs } from '../../platform/jobs/jobs.ts'
import type { SpeechProviderName } from '../../providers/speech/speech.ts'
import type { ObjectStorage } from '../../providers/storage/storage.ts'
import { lockUser } from '../users/users.ts'
import { acceptedConsentText, type ConsentText } from './consent-text.ts'
import { createDiscard } from './delete-objects.job.ts'
import { prepareSampleJob } from './prepare-sample.job.ts'
import * as queries from './queries.ts'
import type { Voice } from './queries.ts'
import type { RemoveVoice } from './remove-voice.ts'

export { createCloneSlot } from './clone-slot.job.ts'
export { createSampleMaker } from './clone-sample.ts'
export { createDeleteObjects, createDiscard, deleteObjectsJob } from './delete-objects.job.ts'
export { createPrepareSample, prepareSampleJob } from './prepare-sample.job.ts'
export { createTaskStatus, sampleOwner } from './task-status.ts'
export { exportVoices } from './export-voices.ts'
export { createSweepSlots } from './sweep-slots.job.ts'
export { createReleaser, createReleaseSlot } from './release-slot.job.ts'
export { createVoiceErasure } from './erase-voices.ts'
export { createVoiceRemoval, type Leftovers, type RemovalReason, type RemoveVoice } from './remove-voice.ts'
export { voiceRoutes, type TaskStatusReader } from './routes.ts'
export {
  cloneSlotJob,
  createSlots,
  holdLease,
  leaseSeconds,
  newOwner,
  releaseSlotJob,
  sweepSlotsJob,
  type Slots,
} from './slots.ts'
export { allocationStatus as allocationStatusOf, externalIdOf } from './wire.ts'
export { extendSlotHold, setSlotHold } from './slot-queries.ts'
export { findVoice, insertSlotEvent, lockVoice, stampLastUsed, type Voice } from './queries.ts'

const minSeconds = 3
const maxSeconds = 600
const minVoicedSeconds = 1.5
const maxNameCodePoints = 255

/** A recording that has been received in full, in a temporary file. */
export interface ReceivedUpload {
  path: string
  size: number
  sha256: Buffer
  /** First bytes, for the type by content. */
  head: Uint8Array
  filename: string
  name: string | undefined
  consent: string | undefined
  consentVersion: string | undefined
}

export interface Voices {
  /** Refuses a full account before any byte of the body is read. */
  checkRoom(userId: number): Promise<void>
  /** Rows 7 to 18 of 20 §2.3; what was stored is removed again when the rows cannot be written. */
  create(
    caller: { userId: number; sessionId: number },
    upload: ReceivedUpload,
    signal: AbortSignal,
  ): Promise<{ voice: Voice; taskId: string }>
  list(userId: number): Promise<Voice[]>
  /** By current external id, integer id or past external id. Refuses unknown (404) and foreign (403) voices. */
  resolve(userId: number, text: string): Promise<Voice>
  remove(userId: number, text: string): Promise<void>
}

const types: Record<AudioType, { extension: string; contentType: string }> = {
  wav: { extension: 'wav', contentType: 'audio/wav' },
  mp3: { extension: 'mp3', contentType: 'audio/mpeg' },
  mp4: { extension: 'm4a', contentType: 'audio/mp4' },
  webm: { extension: 'webm', contentType: 'audio/webm' },
  ogg: { extension: 'ogg', contentType: 'audio/ogg' },
}
const acceptedExtensions = /\.(?:wav|mp3|m4a|webm|ogg)$/i

/** Metadata only, never a path: any script is fine, control characters and separators are not. */
const cleanFilename = (name: string): string =>
  [...name.normalize('NFC').replaceAll(/[\p{Cc}/\\]/gu, '')].slice(0, maxNameCodePoints).join('')

const checkName = (name: string | undefined): string | null => {
  const clean = (name ?? '').normalize('NFC').trim()
  if ([...clean].length > maxNameCodePoints) throw new AppError('voice_name_long')
  if (/\p{Cc}/u.test(clean)) throw new AppError('voice_name_characters')
  return clean === '' ? null : clean
}

const checkConsent = (upload: ReceivedUpload, now: Date): ConsentText | null => {
  const { consent, consentVersion } = upload
  if (consent === undefined && consentVersion === undefined) return null
  if (consent !== 'true' || consentVersion === undefined) throw new AppError('consent_required')
  const text = acceptedConsentText(consentVersion, now)
  if (!text) throw new AppError('consent_version')
  return text
}

const checkRecording = (recording: InspectedRecording): void => {
  if (recording.durationSeconds < minSeconds) throw new AppError('recording_short')
  if (recording.durationSeconds > maxSeconds) throw new AppError('recording_long')
  if (recording.voicedSeconds < minVoicedSeconds) throw new AppError('recording_silent')
}

/** Plain advice; the provider's is 60 to 120 s of clear speech at −23 to −18 dB RMS. */
export const warningsOf = (recording: InspectedRecording): string[] => [
  ...(recording.rmsDbfs < -30 ? ['quiet'] : []),
  ...(recording.clippedShare > 0.001 ? ['loud'] : []),
  ...(recording.durationSeconds < 30 ? ['short'] : []),
]

export const createVoices = (deps: {
  database: Database
  clock: Clock
  storage: ObjectStorage
  sandbox: DecodeSandbox
  enqueue: Jobs['enqueue']
  config: { provider: SpeechProviderName; maxVoicesPerUser: number; isEncrypted: boolean }
  removeVoice: RemoveVoice
}): Voices => {
  const { database, clock, storage } = deps
  const discard = createDiscard(deps)

  const checkRoom: Voices['checkRoom'] = async (userId) => {
    if ((await queries.countVoices(database.read, userId)) >= deps.config.maxVoicesPerUser)
      throw new AppError('voice_limit')
  }

  const decode = async (upload: ReceivedUpload, signal: AbortSignal): Promise<InspectedRecording> => {
    const result = await deps.sandbox.inspect({ path: upload.path }, { signal })
    if (result.kind === 'busy') throw new AppError('upload_check_unavailable', { retryAfterSeconds: 5 })
    if (result.kind !== 'ok') throw new AppError('recording_unreadable')
    return result.recording
  }

  const store = async (
    key: string,
    upload: ReceivedUpload,
    contentType: string,
    signal: AbortSignal,
  ): Promise<void> => {
    try {
      const options = { contentType, contentLength: upload.size }
      await storage.put(key, createReadStream(upload.path), options, signal)
    } catch (cause) {
      await discard([key])
      throw new AppError('recording_store', { retryAfterSeconds: 10, cause })
    }
  }

  const create: Voices['create'] = async (caller, upload, signal) => {
    const { userId } = caller
    const name = checkName(upload.name)
    const consent = checkConsent(upload, clock.now())
    if (!acceptedExtensions.test(upload.filename)) throw new AppError('upload_type')
    if (upload.size === 0) throw new AppError('upload_empty')
    const type = sniffAudio(upload.head)
    if (type === null) throw new AppError('upload_type')
    const recording = await decode(upload, signal)
    checkRecording(recording)

    const voiceId = await database.transaction((tx) => queries.reserveVoiceId(tx))
    const { extension, contentType } = types[type]
    const key = `voice_samples/${userId}/voice_${voiceId}_${randomUUID()}.${extension}`
    await store(key, upload, contentType, signal)
    try {
      const taskId = await database.transaction(async (tx) => {
        const now = clock.now()
        const user = await lockUser(tx, userId)
        if (user?.status !== 'active') throw new AppError('user_inactive')
        if ((await queries.countVoices(tx, userId)) >= deps.config.maxVoicesPerUser)
          throw new AppError('voice_limit')
        await queries.insertVoice(tx, {
          id: voiceId,
          userId,
          now,
          provider: deps.config.provider,
          sha256: upload.sha256,
          name: name ?? `${userId}_MAIN`,
          recordingKey: key,
          recordingSize: upload.size,
          recordingType: contentType,
          durationSeconds: recording.durationSeconds,
          warnings: warningsOf(recording),
          filename: cleanFilename(upload.filename),
        })
        await queries.insertConsent(tx, {
          voiceId,
          userId,
          now,
          sessionId: caller.sessionId,
          recordingSha256: upload.sha256,
          basis: consent ? 'explicit' : 'registration_terms',
          textVersion: consent?.version ?? user.termsVersion,
          textSha256: consent?.sha256 ?? null,
        })
        await queries.insertSlotEvent(tx, {
          voiceId,
          userId,
          type: 'recording_uploaded',
          reason: 'initial_recording_uploaded',
          now,
          metadata: {
            key,
            size: upload.size,
            encryption: deps.config.isEncrypted ? 'AES256' : 'none',
          },
        })
        return deps.enqueue(tx, prepareSampleJob, { voice_id: voiceId })
      })
      const voice = await queries.findVoice(database.read, voiceId)
      if (!voice) throw new Error('voices: the new voice is gone')
      return { voice, taskId }
    } catch (error) {
      // A commit whose answer was lost has stored the voice: then the object must stay.
      const isStored = await queries.findVoice(database.read, voiceId).catch(() => 'unknown' as const)
      if (isStored === null) await discard([key])
      throw error
    }
  }

  const resolve: Voices['resolve'] = async (userId, text) => {
    if (text.length > 255) throw new AppError('voice_not_found')
    const current = await queries.findIdByExternalId(database.read, text, 'current')
    const numeric = current === null ? parseId(text) : null
    const byNumber = numeric === null ? null : await queries.findVoice(database.read, numeric)
    const id = current ?? byNumber?.id ?? (await queries.findIdByExternalId(database.read, text, 'past'))
    const voice = byNumber ?? (id === null ? null : await queries.findVoice(database.read, id))
    if (!voice) throw new AppError('voice_not_found')
    if (voice.userId !== userId) throw new AppError('foreign')
    return voice
  }

  const removeLocked = async (tx: Tx, userId: number, voiceId: number): Promise<void> => {
    await lockUser(tx, userId)
    const voice = await queries.lockVoice(tx, voiceId)
    if (!voice) throw new AppError('voice_not_found')
    await deps.removeVoice(tx, voice, 'voice_deleted')
  }

  const remove: Voices['remove'] = async (userId, text) => {
    const voice = await resolve(userId, text)
    try {
      await database.transaction((tx) => removeLocked(tx, userId, voice.id))
    } catch (cause) {
      if (cause instanceof AppError) throw cause
      throw new AppError('voice_delete_failed', { cause })
    }
  }

  return { checkRoom, create, list: (userId) => queries.listVoices(database.read, userId), resolve, remove }
}
