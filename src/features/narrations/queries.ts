import { sql } from 'kysely'
import type { Db, Tx } from '../../platform/db/database.ts'

export type NarrationStatus = 'pending' | 'processing' | 'ready' | 'error'
export type Stage = 'waiting' | 'speaking' | 'assembling' | 'done' | 'failed' | 'cancelled'
export const unfinishedStages = ['waiting', 'speaking', 'assembling'] as const

export interface Narration {
  id: number
  storyId: number
  voiceId: number
  userId: number
  status: string
  errorCode: string | null
  objectKey: string | null
  sizeBytes: number | null
  durationSeconds: number | null
  textSha256: Buffer | null
  version: number
  freeRetry: boolean
  readyAt: Date | null
  createdAt: Date
  updatedAt: Date
}

const narrationColumns = [
  'id',
  'story_id',
  'voice_id',
  'user_id',
  'status',
  'error_code',
  'object_key',
  'size_bytes',
  'duration_seconds',
  'text_sha256',
  'version',
  'free_retry',
  'ready_at',
  'created_at',
  'updated_at',
] as const

const selectNarration = (db: Db) => db.selectFrom('narrations').select(narrationColumns)
type NarrationRow = NonNullable<Awaited<ReturnType<ReturnType<typeof selectNarration>['executeTakeFirst']>>>

const toNarration = (row: NarrationRow): Narration => ({
  id: row.id,
  storyId: row.story_id,
  voiceId: row.voice_id,
  userId: row.user_id,
  status: row.status,
  errorCode: row.error_code,
  objectKey: row.object_key,
  sizeBytes: row.size_bytes,
  durationSeconds: row.duration_seconds,
  textSha256: row.text_sha256,
  version: row.version,
  freeRetry: row.free_retry,
  readyAt: row.ready_at,
  createdAt: row.created_at,
  updatedAt: row.updated_at,
})

export const findNarration = async (db: Db, id: number): Promise<Narration | null> => {
  const row = await selectNarration(db).where('id', '=', id).executeTakeFirst()
  return row ? toNarration(row) : null
}

export const findByStoryAndVoice = async (
  db: Db,
  storyId: number,
  voiceId: number,
): Promise<Narration | null> => {
  const row = await selectNarration(db)
    .where('story_id', '=', storyId)
    .where('voice_id', '=', voiceId)
    .executeTakeFirst()
  return row ? toNarration(row) : null
}

/** The row of a story and voice, made when missing and locked. */
export const lockOrCreateNarration = async (
  tx: Tx,
  key: { storyId: number; voiceId: number; userId: number; now: Date },
): Promise<Narration> => {
  await tx
    .insertInto('narrations')
    .values({
      story_id: key.storyId,
      voice_id: key.voiceId,
      user_id: key.userId,
      created_at: key.now,
      updated_at: key.now,
    })
    .onConflict((conflict) => conflict.columns(['story_id', 'voice_id']).doNothing())
    .execute()
  const row = await selectNarration(tx)
    .where('story_id', '=', key.storyId)
    .where('voice_id', '=', key.voiceId)
    .forUpdate()
    .executeTakeFirstOrThrow()
  return toNarration(row)
}

export const setNarrationStatus = async (
  tx: Tx,
  id: number,
  status: NarrationStatus,
  errorCode: string | null,
  now: Date,
): Promise<void> => {
  await tx
    .updateTable('narrations')
    .set((eb) => ({
      status,
      error_code: errorCode,
      updated_at: now,
      change_counter: eb('change_counter', '+', 1),
    }))
    .where('id', '=', id)
    .execute()
}

export const finishNarration = async (
  tx: Tx,
  narration: {
    id: number
    objectKey: string
    sizeBytes: number
    durationSeconds: number
    textSha256: Buffer
    now: Date
  },
): Promise<void> => {
  await tx
    .updateTable('narrations')
    .set((eb) => ({
      status: 'ready',
      error_code: null,
      object_key: narration.objectKey,
      size_bytes: narration.sizeBytes,
      duration_seconds: narration.durationSeconds,
      text_sha256: narration.textSha256,
      version: eb('version', '+', 1),
      change_counter: eb('change_counter', '+', 1),
      free_retry: false,
      ready_at: narration.now,
      updated_at: narration.now,
    }))
    .where('id', '=', narration.id)
    .execute()
}

/** A finished part: what was bought, where it lies. */
export interface Part {
  renderKey: string
  index: number
  objectKey: string
  durationSeconds: number
  timings: unknown
}

export const listParts = async (db: Db, narrationId: number): Promise<Map<string, Part>> => {
  const rows = await db
    .selectFrom('narration_parts')
    .select(['render_key', 'part_index', 'object_key', 'duration_seconds', 'timings'])
    .where('narration_id', '=', narrationId)
    .execute()
  return new Map(
    rows.map((row) => [
      row.render_key,
      {
        renderKey: row.render_key,
        index: row.part_index,
        objectKey: row.object_key,
        durationSeconds: row.duration_seconds,
        timings: row.timings,
      },
    ]),
  )
}

export const insertPart = async (
  tx: Tx,
  part: {
    narrationId: number
    renderKey: string
    index: number
    textStart: number
    textEnd: number
    objectKey: string
    sizeBytes: number
    frames: number
    durationSeconds: number
    timings: unknown
    requestId: string | null
    billedCharacters: number
    isSuspect: boolean
    now: Date
  },
): Promise<void> => {
  await tx
    .insertInto('narration_parts')
    .values({
      narration_id: part.narrationId,
      render_key: part.renderKey,
      part_index: part.index,
      text_start: part.textStart,
      text_end: part.textEnd,
      object_key: part.objectKey,
      size_bytes: part.sizeBytes,
      frames: part.frames,
      duration_seconds: part.durationSeconds,
      timings: part.timings === null ? null : JSON.stringify(part.timings),
      request_id: part.requestId,
      billed_characters: part.billedCharacters,
      is_suspect: part.isSuspect,
      created_at: part.now,
    })
    .onConflict((conflict) => conflict.columns(['narration_id', 'render_key']).doNothing())
    .execute()
  await tx
    .updateTable('narrations')
    .set((eb) => ({ change_counter: eb('change_counter', '+', 1), updated_at: part.now }))
    .where('id', '=', part.narrationId)
    .execute()
}

export const deleteVoiceNarrations = async (tx: Tx, voiceId: number): Promise<void> => {
  await tx.deleteFrom('narrations').where('voice_id', '=', voiceId).execute()
}

/** Parts that are no longer needed: 24 h after ready, 7 days after failure. */
export const findOldParts = async (db: Db, now: Date): Promise<{ id: number; objectKey: string }[]> => {
  const rows = await db
    .selectFrom('narration_parts as p')
    .innerJoin('narrations as n', 'n.id', 'p.narration_id')
    .select(['p.id', 'p.object_key'])
    .where((eb) =>
      eb.or([
        eb.and([eb('n.status', '=', 'ready'), eb('n.ready_at', '<', new Date(now.getTime() - 86_400_000))]),
        eb.and([
          eb('n.status', '=', 'error'),
          eb('n.updated_at', '<', new Date(now.getTime() - 7 * 86_400_000)),
        ]),
      ]),
    )
    .orderBy('p.id')
    .limit(500)
    .execute()
  return rows.map((row) => ({ id: row.id, objectKey: row.object_key }))
}

export const deleteParts = async (tx: Tx, ids: readonly number[]): Promise<void> => {
  await tx
    .deleteFrom('narration_parts')
    .where('id', 'in', [...ids])
    .execute()
}

/** The database's clock, by which leases run. */
export const leaseEnd = (seconds: number) => sql<Date>`now() + make_interval(secs => ${seconds})`
