import { sql } from 'kysely'
import type { Db, Tx } from '../../platform/db/database.ts'

/** The slot was given up while its owner cloned: the remote voice that came of it is named on that tombstone. */
export const nameTombstone = async (
  tx: Tx,
  slotId: number,
  owner: string,
  externalId: string,
): Promise<boolean> => {
  const result = await tx
    .updateTable('voice_slots')
    .set({ external_id: externalId, owner: null, lease_expires_at: null })
    .where('id', '=', slotId)
    .where('owner', '=', owner)
    .where('state', '=', 'releasing')
    .executeTakeFirst()
  return result.numUpdatedRows > 0n
}

/** cloning → releasing by the run that gives up: its last try may have got through although the answer was lost. */
export const buryClone = async (tx: Tx, slotId: number, owner: string, now: Date): Promise<boolean> => {
  const result = await tx
    .updateTable('voice_slots')
    .set({
      state: 'releasing',
      voice_id: null,
      owner: null,
      lease_expires_at: null,
      reason: 'allocation_failed',
      updated_at: now,
    })
    .where('id', '=', slotId)
    .where('owner', '=', owner)
    .where('state', '=', 'cloning')
    .executeTakeFirst()
  return result.numUpdatedRows > 0n
}

/** The run that held the slot has ended without a clone. */
export const freeTombstone = async (tx: Tx, slotId: number, owner: string): Promise<boolean> => {
  const result = await tx
    .updateTable('voice_slots')
    .set({ owner: null, lease_expires_at: null })
    .where('id', '=', slotId)
    .where('owner', '=', owner)
    .where('state', '=', 'releasing')
    .executeTakeFirst()
  return result.numUpdatedRows > 0n
}

/** A surplus remote voice of ours that no slot holds: kept until the provider confirms its removal. */
export const insertTombstone = async (
  tx: Tx,
  slot: { provider: string; externalId: string; reason: string; now: Date },
): Promise<number> => {
  const row = await tx
    .insertInto('voice_slots')
    .values({
      provider: slot.provider,
      state: 'releasing',
      external_id: slot.externalId,
      reason: slot.reason,
      created_at: slot.now,
      updated_at: slot.now,
    })
    .onConflict((conflict) =>
      conflict.columns(['provider', 'external_id']).doUpdateSet({ state: 'releasing', voice_id: null }),
    )
    .returning('id')
    .executeTakeFirstOrThrow()
  return row.id
}

export interface Tombstone {
  id: number
  provider: string
  externalId: string | null
  intentToken: string | null
  isLeased: boolean
}

export const findTombstone = async (db: Db, slotId: number): Promise<Tombstone | null> => {
  const row = await db
    .selectFrom('voice_slots')
    .select(['id', 'provider', 'external_id', 'intent_token'])
    .select((eb) =>
      eb.fn.coalesce(sql<boolean>`lease_expires_at > now()`, sql<boolean>`false`).as('is_leased'),
    )
    .where('id', '=', slotId)
    .where('state', '=', 'releasing')
    .executeTakeFirst()
  return row
    ? {
        id: row.id,
        provider: row.provider,
        externalId: row.external_id,
        intentToken: row.intent_token,
        isLeased: row.is_leased,
      }
    : null
}

/** The remote voice is gone. False when the tombstone names another one by now, or is gone itself. */
export const dropTombstone = async (tx: Tx, slotId: number, externalId: string | null): Promise<boolean> => {
  const result = await tx
    .deleteFrom('voice_slots')
    .where('id', '=', slotId)
    .where('state', '=', 'releasing')
    .where('external_id', 'is not distinct from', externalId)
    .executeTakeFirst()
  return result.numDeletedRows > 0n
}
