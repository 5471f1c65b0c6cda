import { Type, type Static } from 'typebox'
import { isoTime, isoTimeOrNull } from '../../platform/http/request-values.ts'
import type { Voice } from '../voices/voices.ts'
import { allocationStatusOf, externalIdOf } from '../voices/voices.ts'
import type { Attempt } from './attempt-queries.ts'
import type { RequestResult } from './narrations.ts'
import { outcomeText } from './outcomes.ts'
import type { Narration } from './queries.ts'

const nullableText = Type.Union([Type.String(), Type.Null()])
const nullableNumber = Type.Union([Type.Number(), Type.Null()])
const nullableInteger = Type.Union([Type.Integer(), Type.Null()])

export const readySchema = Type.Object(
  { status: Type.String(), url: Type.String(), id: Type.Integer() },
  { title: 'NarrationReady' },
)

const voiceStateSchema = Type.Object({
  voice_id: Type.Integer(),
  allocation_status: Type.String(),
  service_provider: Type.String(),
  queued: Type.Boolean(),
  elevenlabs_voice_id: Type.Optional(Type.String()),
  allocated_at: Type.Optional(nullableText),
  queue_length: Type.Optional(Type.Integer()),
  queue_position: Type.Optional(Type.Integer()),
})

export const acceptedSchema = Type.Object(
  {
    status: Type.String(),
    id: Type.Integer(),
    message: Type.String(),
    error_message: Type.Optional(Type.Null()),
    voice: Type.Optional(voiceStateSchema),
  },
  { title: 'NarrationAccepted' },
)

export interface QueuePlace {
  position: number
  length: number
}

// The live slot state is shown this long after acceptance; then the app should poll.
const liveSlotMs = 75_000

const texts = {
  queuedWork: ['Audio synthesis has been queued', 'Nagranie jest w przygotowaniu'],
  inProgress: ['Audio synthesis is already in progress', 'Nagranie właśnie powstaje'],
  allocating: ['Voice allocation is in progress', 'Przygotowujemy Twój głos'],
  queuedForSlot: ['Voice has been queued for allocation', 'Twój głos czeka w kolejce'],
  pending: ['Audio synthesis request already queued', 'Nagranie czeka w kolejce'],
} as const

/** Whether the first language of `Accept-Language` by weight is Polish. */
export const prefersPolish = (header: string | undefined): boolean => {
  const ranked = (header ?? '')
    .split(',')
    .map((item) => {
      const [tag = '', ...parameters] = item.trim().split(';')
      const weight = /^\s*q=([\d.]+)/.exec(parameters.join(';'))?.[1]
      return { tag: tag.toLowerCase(), weight: weight === undefined ? 1 : Number(weight) }
    })
    .filter(({ tag, weight }) => tag !== '' && weight > 0)
    .sort((a, b) => b.weight - a.weight)
  return ranked[0]?.tag.startsWith('pl') ?? false
}

const voiceState = (voice: Voice, place: QueuePlace | null): Static<typeof voiceStateSchema> => {
  const externalId = externalIdOf(voice)
  const allocation = allocationStatusOf(voice)
  const base = {
    voice_id: voice.id,
    allocation_status: allocation,
    service_provider: voice.provider,
    queued: externalId === null && allocation !== 'allocating',
  }
  if (externalId !== null)
    return {
      ...base,
      elevenlabs_voice_id: externalId,
      allocated_at: isoTimeOrNull(voice.slot?.allocatedAt ?? null),
    }
  if (allocation === 'allocating') return { ...base, queue_length: place?.length ?? 0 }
  return { ...base, queue_length: place?.length ?? 0, queue_position: place?.position ?? 0 }
}

/** Body and headers of a 202 (20 §2.6): what was accepted, or where unfinished work stands. */
export const describeRequest = (
  result: Extract<RequestResult, { kind: 'accepted' | 'live' }>,
  context: { place: QueuePlace | null; isPolish: boolean; now: Date },
): { body: Static<typeof acceptedSchema>; headers: Record<string, string> } => {
  const { narration, attempt, voice } = result
  const text = (key: keyof typeof texts): string => texts[key][context.isPolish ? 1 : 0]
  const isYoung = context.now.getTime() - attempt.acceptedAt.getTime() < liveSlotMs
  const state = voiceState(voice, context.place)
  const withVoice = (status: string, message: string) => ({
    body: { status, id: narration.id, message, voice: state },
    headers: {
      ...(state.queue_position === undefined
        ? {}
        : { 'x-voice-queue-position': String(state.queue_position) }),
      ...(state.queue_length === undefined ? {} : { 'x-voice-queue-length': String(state.queue_length) }),
      ...(state.elevenlabs_voice_id === undefined ? {} : { 'x-voice-remote-id': state.elevenlabs_voice_id }),
    },
  })
  if (attempt.stage !== 'waiting')
    return result.kind === 'accepted'
      ? withVoice('processing', text('queuedWork'))
      : { body: { status: 'processing', id: narration.id, message: text('inProgress') }, headers: {} }
  if (!isYoung)
    return {
      body: { status: 'pending', id: narration.id, message: text('pending'), error_message: null },
      headers: {},
    }
  return voice.slot
    ? withVoice('allocating_voice', text('allocating'))
    : withVoice('queued_for_slot', text('queuedForSlot'))
}

export const statusSchema = Type.Object(
  {
    id: Type.Integer(),
    status: Type.String(),
    story_id: Type.Integer(),
    voice_id: Type.Integer(),
    created_at: Type.String(),
    updated_at: Type.String(),
    duration_seconds: nullableNumber,
    file_size_bytes: nullableInteger,
    error: Type.Optional(Type.String()),
    url: Type.Optional(Type.String()),
    task_status: Type.Optional(
      Type.Object({
        state: Type.String(),
        ready: Type.Boolean(),
        successful: Type.Union([Type.Boolean(), Type.Null()]),
        info: Type.Union([Type.Object({}, { additionalProperties: true }), Type.Null()]),
      }),
    ),
    stage: Type.String({ description: 'waiting, speaking, assembling, done or failed' }),
    parts_total: Type.Integer(),
    parts_done: Type.Integer(),
    queue_position: nullableInteger,
    queue_length: nullableInteger,
    is_current: Type.Boolean({ description: "False when the story's text has changed since" }),
  },
  { title: 'NarrationStatus' },
)

/** Where a narration stands; link and task are added by the route. */
export const toStatusJson = (
  narration: Narration,
  context: { attempt: Attempt | null; partsDone: number; place: QueuePlace | null; isCurrent: boolean },
): Static<typeof statusSchema> => {
  const { attempt } = context
  const stage =
    narration.status === 'ready'
      ? 'done'
      : narration.status === 'error'
        ? 'failed'
        : (attempt?.stage ?? 'waiting')
  const total = attempt?.partsTotal ?? 0
  return {
    id: narration.id,
    status: narration.status,
    story_id: narration.storyId,
    voice_id: narration.voiceId,
    created_at: isoTime(narration.createdAt),
    updated_at: isoTime(narration.updatedAt),
    duration_seconds: narration.durationSeconds,
    file_size_bytes: narration.sizeBytes,
    ...(narration.status === 'error' ? { error: outcomeText(narration.errorCode) } : {}),
    stage,
    parts_total: total,
    parts_done: narration.status === 'ready' ? total : Math.min(total, context.partsDone),
    queue_position: context.place?.position ?? null,
    queue_length: context.place?.length ?? null,
    is_current: context.isCurrent,
  }
}
