import { Type, type Static } from 'typebox'
import { refusals, type RefusalCode } from '../../platform/errors.ts'
import { isoTime, isoTimeOrNull } from '../../platform/http/request-values.ts'
import type { Voice } from './queries.ts'

const nullableText = Type.Union([Type.String(), Type.Null()])
const nullableNumber = Type.Union([Type.Number(), Type.Null()])

export const voiceSchema = Type.Object(
  {
    id: Type.Integer(),
    name: Type.String(),
    elevenlabs_voice_id: nullableText,
    recording_s3_key: nullableText,
    recording_filesize: nullableNumber,
    allocation_status: Type.String(),
    service_provider: Type.String(),
    elevenlabs_allocated_at: nullableText,
    last_used_at: nullableText,
    slot_lock_expires_at: nullableText,
    user_id: Type.Integer(),
    status: Type.String(),
    error_message: nullableText,
    s3_sample_key: nullableText,
    sample_filename: nullableText,
    created_at: Type.String(),
    updated_at: Type.String(),
    recording_duration_seconds: nullableNumber,
    recording_warnings: Type.Array(Type.String()),
    is_stand_in: Type.Boolean({
      description: 'True: read by a machine voice near in pitch and pace, not a clone',
    }),
  },
  { title: 'Voice' },
)

export const voiceStatusSchema = Type.Object(
  {
    id: Type.Integer(),
    name: Type.String(),
    status: Type.String(),
    allocation_status: Type.String(),
    service_provider: Type.String(),
    recording_s3_key: nullableText,
    recording_filesize: nullableNumber,
    created_at: Type.String(),
    updated_at: Type.String(),
    elevenlabs_voice_id: Type.Optional(Type.String()),
    sample_url: Type.Optional(Type.String()),
    queue_position: Type.Optional(Type.Integer()),
    queue_length: Type.Optional(Type.Integer()),
    success: Type.Optional(Type.Boolean()),
    error: Type.Optional(Type.String()),
    task_status: Type.Optional(
      Type.Object({
        state: Type.String(),
        ready: Type.Boolean(),
        successful: Type.Union([Type.Boolean(), Type.Null()]),
        info: Type.Union([Type.Object({}, { additionalProperties: true }), Type.Null()]),
      }),
    ),
  },
  { title: 'VoiceStatus' },
)

const outcomeTexts: Record<string, string> = {
  allocation_failed: 'The voice could not be prepared; please try again later.',
  sample_missing: refusals['sample_missing_storage' satisfies RefusalCode][1],
  voice_rejected: 'The recording could not be turned into a voice; please record it again.',
}

export const voiceErrorText = (code: string | null): string | null =>
  code === null ? null : (outcomeTexts[code] ?? 'The voice could not be prepared; please try again later.')

const isTaken = (voice: Voice): boolean => voice.slot?.state === 'reserved' || voice.slot?.state === 'cloning'

/** `processing` while the voice is being made at the provider, else the stored state. */
export const wireStatus = (voice: Voice): string => (isTaken(voice) ? 'processing' : voice.state)

export const allocationStatus = (voice: Voice): 'allocating' | 'ready' | 'recorded' =>
  isTaken(voice) ? 'allocating' : voice.slot?.state === 'ready' ? 'ready' : 'recorded'

/** The provider's id of a voice that can speak now. */
export const externalIdOf = (voice: Voice): string | null =>
  voice.slot?.state === 'ready' ? voice.slot.externalId : null

export const toVoiceJson = (voice: Voice): Static<typeof voiceSchema> => ({
  id: voice.id,
  name: voice.name,
  elevenlabs_voice_id: externalIdOf(voice),
  recording_s3_key: voice.recordingKey,
  recording_filesize: voice.recordingSize,
  allocation_status: allocationStatus(voice),
  service_provider: voice.provider,
  elevenlabs_allocated_at: isoTimeOrNull(voice.slot?.allocatedAt ?? null),
  last_used_at: isoTimeOrNull(voice.lastUsedAt),
  slot_lock_expires_at: isoTimeOrNull(voice.slot?.holdUntil ?? null),
  user_id: voice.userId,
  status: wireStatus(voice),
  error_message: voiceErrorText(voice.errorCode),
  s3_sample_key: voice.recordingKey,
  sample_filename: voice.sampleFilename,
  created_at: isoTime(voice.createdAt),
  updated_at: isoTime(voice.updatedAt),
  recording_duration_seconds: voice.recordingDurationSeconds,
  recording_warnings: voice.recordingWarnings,
  is_stand_in: voice.provider === 'local',
})

/** Without the sample link and the task, which need a store and a queue. */
export const toVoiceStatusJson = (voice: Voice): Static<typeof voiceStatusSchema> => {
  const externalId = externalIdOf(voice)
  const isFailed = voice.state === 'error' || voice.state === 'needs_rerecord'
  const error = voiceErrorText(voice.errorCode)
  return {
    id: voice.id,
    name: voice.name,
    status: wireStatus(voice),
    allocation_status: allocationStatus(voice),
    service_provider: voice.provider,
    recording_s3_key: voice.recordingKey,
    recording_filesize: voice.recordingSize,
    created_at: isoTime(voice.createdAt),
    updated_at: isoTime(voice.updatedAt),
    ...(externalId === null ? {} : { elevenlabs_voice_id: externalId }),
    ...(isFailed
      ? { success: false, error: error ?? 'The voice could not be prepared; please try again later.' }
      : {}),
  }
}
