import { sql } from 'kysely'
import type { Db, Tx } from '../../platform/db/database.ts'
import { unfinishedStages, type Stage } from './queries.ts'

export interface Attempt {
  /** Also the ticket: the place in the queue. */
  id: number
  narrationId: number
  kind: string
  stage: Stage
  text: string
  textSha256: Buffer
  provider: string
  model: string
  settings: unknown
  regenerationNumber: number
  partsTotal: number
  debitId: number | null
  acceptedAt: Date
  waitDeadline: Date
  speechDeadline: Date | null
  reallocations: number
}

export const attemptColumns = [
  'id',
  'narration_id',
  'kind',
  'stage',
  'text',
  'text_sha256',
  'provider',
  'model',
  'settings',
  'regeneration_number',
  'parts_total',
  'debit_id',
  'accepted_at',
  'wait_deadline',
  'speech_deadline',
  'reallocations',
] as const

const stages: readonly Stage[] = ['waiting', 'speaking', 'assembling', 'done', 'failed', 'cancelled']

const select = (db: Db) => db.selectFrom('narration_attempts').select(attemptColumns)
type Row = NonNullable<Awaited<ReturnType<ReturnType<typeof select>['executeTakeFirst']>>>

export const toAttempt = (row: Row): Attempt => {
  const stage = stages.find((name) => name === row.stage)
  if (!stage) throw new Error('narrations: unknown stage')
  return {
    id: row.id,
    narrationId: row.narration_id,
    kind: row.kind,
    stage,
    text: row.text,
    textSha256: row.text_sha256,
    provider: row.provider,
    model: row.model,
    settings: row.settings,
    regenerationNumber: row.regeneration_number,
    partsTotal: row.parts_total,
    debitId: row.debit_id,
    acceptedAt: row.accepted_at,
    waitDeadline: row.wait_deadline,
    speechDeadline: row.speech_deadline,
    reallocations: row.reallocations,
  }
}

export const findAttempt = async (db: Db, id: number): Promise<Attempt | null> => {
  const row = await select(db).where('id', '=', id).executeTakeFirst()
  return row ? toAttempt(row) : null
}

/** The attempt that is under way for a narration, or null. */
export const findUnfinished = async (db: Db, narrationId: number): Promise<Attempt | null> => {
  const row = await select(db)
    .where('narration_id', '=', narrationId)
    .where('stage', 'in', unfinishedStages)
    .executeTakeFirst()
  return row ? toAttempt(row) : null
}

export const findLatest = async (db: Db, narrationId: number): Promise<Attempt | null> => {
  const row = await select(db)
    .where('narration_id', '=', narrationId)
    .orderBy('id', 'desc')
    .limit(1)
    .executeTakeFirst()
  return row ? toAttempt(row) : null
}

export const insertAttempt = async (
  tx: Tx,
  attempt: {
    narrationId: number
    kind: 'paid' | 'free'
    stage: 'waiting' | 'speaking'
    text: string
    textSha256: Buffer
    provider: string
    model: string
    settings: Readonly<Record<string, string | number | boolean>>
    partsTotal: number
    creditsCharged: number | null
    debitId: number | null
    now: Date
    waitDeadline: Date
  },
): Promise<number> => {
  const row = await tx
    .insertInto('narration_attempts')
    .values({
      narration_id: attempt.narrationId,
      kind: attempt.kind,
      stage: attempt.stage,
      text: attempt.text,
      text_sha256: attempt.textSha256,
      provider: attempt.provider,
      model: attempt.model,
      settings: JSON.stringify(attempt.settings),
      parts_total: attempt.partsTotal,
      credits_charged: attempt.creditsCharged,
      debit_id: attempt.debitId,
      accepted_at: attempt.now,
      wait_deadline: attempt.waitDeadline,
    })
    .returning('id')
    .executeTakeFirstOrThrow()
  return row.id
}

export const listUnfinishedOfVoice = async (
  db: Db,
  voiceId: number,
  stages: readonly Stage[] = unfinishedStages,
): Promise<{ id: number; narrationId: number; userId: number }[]> => {
  const rows = await db
    .selectFrom('narration_attempts as a')
    .innerJoin('narrations as n', 'n.id', 'a.narration_id')
    .select(['a.id', 'a.narration_id', 'n.user_id'])
    .where('n.voice_id', '=', voiceId)
    .where('a.stage', 'in', [...stages])
    .orderBy('a.id')
    .execute()
  return rows.map((row) => ({ id: row.id, narrationId: row.narration_id, userId: row.user_id }))
}

/** Attempts past a deadline, by the application clock. */
export const findOverdue = async (
  db: Db,
  now: Date,
): Promise<{ id: number; userId: number; stage: string }[]> => {
  const rows = await db
    .selectFrom('narration_attempts as a')
    .innerJoin('narrations as n', 'n.id', 'a.narration_id')
    .select(['a.id', 'n.user_id', 'a.stage'])
    .where((eb) =>
      eb.or([
        eb.and([eb('a.stage', '=', 'waiting'), eb('a.wait_deadline', '<', now)]),
        eb.and([eb('a.stage', 'in', ['speaking', 'assembling']), eb('a.speech_deadline', '<', now)]),
      ]),
    )
    .orderBy('a.id')
    .limit(200)
    .execute()
  return rows.map((row) => ({ id: row.id, userId: row.user_id, stage: row.stage }))
}

/** Unfinished attempts that no live run holds although their slot is ready, or whose lease has lapsed. */
export const findIdle = async (db: Db): Promise<number[]> => {
  const rows = await db
    .selectFrom('narration_attempts as a')
    .innerJoin('narrations as n', 'n.id', 'a.narration_id')
    .leftJoin('voice_slots as s', (join) =>
      join.onRef('s.voice_id', '=', 'n.voice_id').on('s.state', '<>', 'releasing'),
    )
    .select('a.id')
    .where('a.stage', 'in', unfinishedStages)
    .where(sql<boolean>`(a.owner is null or a.lease_expires_at < now())`)
    .where((eb) =>
      eb.or([eb('a.stage', '<>', 'waiting'), eb('s.state', '=', 'ready'), eb('s.id', 'is', null)]),
    )
    .orderBy('a.id')
    .limit(200)
    .execute()
  return rows.map((row) => row.id)
}

/** Rank and length of the provider's queue of voices that wait for a slot; null when this voice is not in it. */
export const queuePlace = async (
  db: Db,
  provider: string,
  voiceId: number,
): Promise<{ position: number; length: number } | null> => {
  const rows = await db
    .selectFrom('narration_attempts as a')
    .innerJoin('narrations as n', 'n.id', 'a.narration_id')
    .leftJoin('voice_slots as s', (join) =>
      join.onRef('s.voice_id', '=', 'n.voice_id').on('s.state', '<>', 'releasing'),
    )
    .select(['n.voice_id', (eb) => eb.fn.min('a.id').as('ticket')])
    .where('a.provider', '=', provider)
    .where('a.stage', '=', 'waiting')
    .where('s.id', 'is', null)
    .groupBy('n.voice_id')
    .orderBy('ticket')
    .execute()
  const position = rows.findIndex((row) => row.voice_id === voiceId)
  return position === -1 ? null : { position, length: rows.length }
}
