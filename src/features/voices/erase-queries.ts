import { sql } from 'kysely'
import type { Db, Tx } from '../../platform/db/database.ts'
import type { RemoteCopy } from './slot-queries.ts'

/** Voices that the account's events say were removed, and slots that were given up. */
export const listEarlierRemovals = async (
  db: Db,
  userId: number,
): Promise<{ voiceId: number | null; slotId: number | null }[]> => {
  const rows = await db
    .selectFrom('voice_slot_events')
    .select([
      sql<number | null>`(metadata->>'voice_id')::integer`.as('voice_id'),
      sql<number | null>`(metadata->>'slot_id')::bigint`.as('slot_id'),
    ])
    .where('user_id', '=', userId)
    .where('event_type', 'in', ['slot_evicted', 'allocation_failed'])
    .where(sql<boolean>`metadata ? 'slot_id'`)
    .orderBy('id')
    .execute()
  return rows.map((row) => ({ voiceId: row.voice_id, slotId: row.slot_id }))
}

/** Those of the slots whose remote voice is not confirmed to be gone. */
export const listReleasing = async (db: Db, slotIds: readonly number[]): Promise<RemoteCopy[]> => {
  if (slotIds.length === 0) return []
  const rows = await db
    .selectFrom('voice_slots')
    .select(['id', 'provider', 'external_id', 'intent_token'])
    .where('id', 'in', [...slotIds])
    .where('state', '=', 'releasing')
    .execute()
  return rows.map((row) => ({
    slotId: row.id,
    provider: row.provider,
    externalId: row.external_id,
    intentToken: row.intent_token,
  }))
}

export const findSlot = async (db: Db, slotId: number): Promise<{ externalId: string | null } | null> => {
  const row = await db
    .selectFrom('voice_slots')
    .select('external_id')
    .where('id', '=', slotId)
    .executeTakeFirst()
  return row ? { externalId: row.external_id } : null
}

/** Metadata of slot events that leads to a person: keys hold the account's id, ids name what it had. */
const namingMetadata = ['key', 's3_key', 'filename', 'voice_id', 'slot_id', 'external_voice_id']

export const scrubVoiceRows = async (tx: Tx, userId: number): Promise<Record<string, number>> => {
  const consents = await tx.deleteFrom('voice_consents').where('user_id', '=', userId).executeTakeFirst()
  const events = await tx
    .updateTable('voice_slot_events')
    .set({ user_id: null, voice_id: null, metadata: sql`metadata - ${namingMetadata}::text[]` })
    .where('user_id', '=', userId)
    .executeTakeFirst()
  return {
    voice_consents: Number(consents.numDeletedRows),
    voice_slot_events_unlinked: Number(events.numUpdatedRows),
  }
}

const namingTables = ['voices', 'narrations', 'voice_consents', 'voice_slot_events'] as const

export const countVoiceRows = async (db: Db, userId: number): Promise<number> => {
  let count = 0
  for (const table of namingTables) {
    const row = await db
      .selectFrom(table)
      .select((eb) => eb.fn.countAll<number>().as('count'))
      .where('user_id', '=', userId)
      .executeTakeFirstOrThrow()
    count += row.count
  }
  return count
}
