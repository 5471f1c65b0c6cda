import type { Db, Tx } from '../../platform/db/database.ts'
import type { SpeechProviderName } from '../../providers/speech/speech.ts'

export type VoiceState = 'recorded' | 'ready' | 'error' | 'needs_rerecord'
export type SlotState = 'reserved' | 'cloning' | 'ready' | 'releasing'

export interface Voice {
  id: number
  userId: number
  name: string
  provider: SpeechProviderName
  state: VoiceState
  errorCode: string | null
  recordingKey: string | null
  recordingSize: number | null
  recordingType: string | null
  recordingDurationSeconds: number | null
  recordingSha256: Buffer | null
  recordingWarnings: string[]
  sampleFilename: string | null
  cloneSampleKey: string | null
  lastUsedAt: Date | null
  createdAt: Date
  updatedAt: Date
  slot: {
    id: number
    state: SlotState
    externalId: string | null
    allocatedAt: Date | null
    holdUntil: Date | null
  } | null
}

const columns = [
  'v.id',
  'v.user_id',
  'v.name',
  'v.provider',
  'v.state',
  'v.error_code',
  'v.recording_key',
  'v.recording_size',
  'v.recording_type',
  'v.recording_duration_seconds',
  'v.recording_sha256',
  'v.recording_warnings',
  'v.sample_filename',
  'v.clone_sample_key',
  'v.last_used_at',
  'v.created_at',
  'v.updated_at',
  's.id as slot_id',
  's.state as slot_state',
  's.external_id',
  's.allocated_at',
  's.hold_until',
] as const

const select = (db: Db) =>
  db
    .selectFrom('voices as v')
    .leftJoin('voice_slots as s', (join) =>
      join.onRef('s.voice_id', '=', 'v.id').on('s.state', '<>', 'releasing'),
    )
    .select(columns)
type Row = NonNullable<Awaited<ReturnType<ReturnType<typeof select>['executeTakeFirst']>>>

// The check constraints of the tables allow no other values.
const oneOf = <T extends string>(values: readonly T[], text: string): T => {
  const found = values.find((value) => value === text)
  if (found === undefined) throw new Error(`voices: unexpected value ${text}`)
  return found
}
const providers = ['elevenlabs', 'cartesia', 'local'] as const
const states = ['recorded', 'ready', 'error', 'needs_rerecord'] as const
const slotStates = ['reserved', 'cloning', 'ready', 'releasing'] as const

const toVoice = (row: Row): Voice => ({
  id: row.id,
  userId: row.user_id,
  name: row.name,
  provider: oneOf(providers, row.provider),
  state: oneOf(states, row.state),
  errorCode: row.error_code,
  recordingKey: row.recording_key,
  recordingSize: row.recording_size,
  recordingType: row.recording_type,
  recordingDurationSeconds: row.recording_duration_seconds,
  recordingSha256: row.recording_sha256,
  recordingWarnings: row.recording_warnings,
  sampleFilename: row.sample_filename,
  cloneSampleKey: row.clone_sample_key,
  lastUsedAt: row.last_used_at,
  createdAt: row.created_at,
  updatedAt: row.updated_at,
  slot:
    row.slot_id === null || row.slot_state === null
      ? null
      : {
          id: row.slot_id,
          state: oneOf(slotStates, row.slot_state),
          externalId: row.external_id,
          allocatedAt: row.allocated_at,
          holdUntil: row.hold_until,
        },
})

export const findVoice = async (db: Db, id: number): Promise<Voice | null> => {
  const row = await select(db).where('v.id', '=', id).executeTakeFirst()
  return row ? toVoice(row) : null
}

export const lockVoice = async (tx: Tx, id: number): Promise<Voice | null> => {
  await tx.selectFrom('voices').select('id').where('id', '=', id).forUpdate().executeTakeFirst()
  return findVoice(tx, id)
}

/** Usable voices first, then newest, then id descending. */
export const listVoices = async (db: Db, userId: number): Promise<Voice[]> => {
  const rows = await select(db)
    .where('v.user_id', '=', userId)
    .orderBy((eb) => eb.case().when('v.state', 'in', ['recorded', 'ready']).then(0).else(1).end())
    .orderBy('v.created_at', 'desc')
    .orderBy('v.id', 'desc')
    .execute()
  return rows.map(toVoice)
}

export const countVoices = async (db: Db, userId: number): Promise<number> => {
  const row = await db
    .selectFrom('voices')
    .select((eb) => eb.fn.countAll<number>().as('count'))
    .where('user_id', '=', userId)
    .executeTakeFirstOrThrow()
  return row.count
}

/** Voice of an external id: of a ready slot, or (`past`) of the history. */
export const findIdByExternalId = async (
  db: Db,
  externalId: string,
  where: 'current' | 'past',
): Promise<number | null> => {
  const row =
    where === 'current'
      ? await db
          .selectFrom('voice_slots')
          .select('voice_id')
          .where('external_id', '=', externalId)
          .where('state', '=', 'ready')
          .executeTakeFirst()
      : await db
          .selectFrom('voice_external_ids')
          .select('voice_id')
          .where('external_id', '=', externalId)
          .executeTakeFirst()
  return row?.voice_id ?? null
}

/** The next id of a voice, so that the object's key can name it before the row exists. */
export const reserveVoiceId = async (tx: Tx): Promise<number> => {
  const row = await tx
    .selectNoFrom((eb) =>
      eb.fn<number>('nextval', [eb.fn('pg_get_serial_sequence', [eb.val('voices'), eb.val('id')])]).as('id'),
    )
    .executeTakeFirstOrThrow()
  return row.id
}

export const insertVoice = async (
  tx: Tx,
  voice: {
    id: number
    userId: number
    name: string
    provider: SpeechProviderName
    recordingKey: string
    recordingSize: number
    recordingType: string
    durationSeconds: number
    sha256: Buffer
    warnings: string[]
    filename: string
    now: Date
  },
): Promise<void> => {
  await tx
    .insertInto('voices')
    .values({
      id: voice.id,
      user_id: voice.userId,
      name: voice.name,
      provider: voice.provider,
      recording_key: voice.recordingKey,
      recording_size: voice.recordingSize,
      recording_type: voice.recordingType,
      recording_duration_seconds: voice.durationSeconds,
      recording_sha256: voice.sha256,
      recording_warnings: voice.warnings,
      sample_filename: voice.filename,
      created_at: voice.now,
      updated_at: voice.now,
    })
    .execute()
}

export const insertConsent = async (
  tx: Tx,
  consent: {
    voiceId: number
    userId: number
    basis: 'registration_terms' | 'explicit'
    textVersion: string
    textSha256: Buffer | null
    recordingSha256: Buffer
    sessionId: number
    now: Date
  },
): Promise<void> => {
  await tx
    .insertInto('voice_consents')
    .values({
      voice_id: consent.voiceId,
      user_id: consent.userId,
      basis: consent.basis,
      text_version: consent.textVersion,
      text_sha256: consent.textSha256,
      recording_sha256: consent.recordingSha256,
      session_id: consent.sessionId,
      recorded_at: consent.now,
    })
    .execute()
}

export const insertSlotEvent = async (
  tx: Tx,
  event: {
    voiceId: number | null
    userId: number | null
    type: string
    reason?: string
    metadata?: Record<string, string | number | boolean | null>
    now: Date
  },
): Promise<void> => {
  await tx
    .insertInto('voice_slot_events')
    .values({
      voice_id: event.voiceId,
      user_id: event.userId,
      event_type: event.type,
      reason: event.reason ?? null,
      metadata: JSON.stringify(event.metadata ?? {}),
      created_at: event.now,
    })
    .execute()
}

/** Moves the stored state by compare-and-set; false when it was something else. */
export const moveVoiceState = async (
  tx: Tx,
  id: number,
  from: readonly VoiceState[],
  to: VoiceState,
  change: { errorCode: string | null; cloneSampleKey?: string; now: Date },
): Promise<boolean> => {
  const result = await tx
    .updateTable('voices')
    .set({
      state: to,
      error_code: change.errorCode,
      updated_at: change.now,
      ...(change.cloneSampleKey === undefined ? {} : { clone_sample_key: change.cloneSampleKey }),
    })
    .where('id', '=', id)
    .where('state', 'in', [...from])
    .executeTakeFirst()
  return result.numUpdatedRows > 0n
}

export const storeCloneSample = async (tx: Tx, id: number, key: string, now: Date): Promise<boolean> => {
  const result = await tx
    .updateTable('voices')
    .set({ clone_sample_key: key, updated_at: now })
    .where('id', '=', id)
    .executeTakeFirst()
  return result.numUpdatedRows > 0n
}

export const stampLastUsed = async (tx: Tx, id: number, now: Date): Promise<void> => {
  await tx.updateTable('voices').set({ last_used_at: now }).where('id', '=', id).execute()
}

export const deleteVoiceRow = async (tx: Tx, id: number): Promise<void> => {
  await tx.deleteFrom('voices').where('id', '=', id).execute()
}
