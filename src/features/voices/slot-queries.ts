import { sql } from 'kysely'
import type { Db, Tx } from '../../platform/db/database.ts'
import type { SpeechProviderName } from '../../providers/speech/speech.ts'

// Leases run by the database's clock: it is the one clock that all workers share.
const leaseEnd = (seconds: number) => sql<Date>`now() + make_interval(secs => ${seconds})`

/** The lock under which slots of a provider are created and given up; taken last. */
export const lockProvider = async (
  tx: Tx,
  provider: SpeechProviderName,
): Promise<{ isPaused: boolean; circuitReason: string | null; circuitUntil: Date | null }> => {
  const row = await tx
    .selectFrom('speech_providers')
    .select(['paused_at', 'circuit_reason', 'circuit_until'])
    .where('provider', '=', provider)
    .forUpdate()
    .executeTakeFirstOrThrow()
  return {
    isPaused: row.paused_at !== null,
    circuitReason: row.circuit_reason,
    circuitUntil: row.circuit_until,
  }
}

export const insertSlot = async (
  tx: Tx,
  slot: { provider: SpeechProviderName; voiceId: number; now: Date },
): Promise<number> => {
  const row = await tx
    .insertInto('voice_slots')
    .values({
      provider: slot.provider,
      voice_id: slot.voiceId,
      state: 'reserved',
      created_at: slot.now,
      updated_at: slot.now,
    })
    .returning('id')
    .executeTakeFirstOrThrow()
  return row.id
}

export const extendHold = async (tx: Tx, slotId: number, until: Date): Promise<boolean> => {
  const result = await tx
    .updateTable('voice_slots')
    .set({ hold_until: sql<Date>`greatest(hold_until, ${until})` })
    .where('id', '=', slotId)
    .where('state', '=', 'ready')
    .executeTakeFirst()
  return result.numUpdatedRows > 0n
}

export interface ClaimedSlot {
  id: number
  provider: string
  voiceId: number
  attempts: number
}

/** `reserved`, or `cloning` with a lapsed lease, becomes ours; null when someone else holds it or it is gone. */
export const claimSlot = async (
  tx: Tx,
  slotId: number,
  claim: { owner: string; leaseSeconds: number; intentToken: (voiceId: number) => string; now: Date },
): Promise<ClaimedSlot | null> => {
  const found = await tx
    .selectFrom('voice_slots')
    .select(['id', 'provider', 'voice_id', 'attempts'])
    .where('id', '=', slotId)
    .where((eb) =>
      eb.or([
        eb('state', '=', 'reserved'),
        eb.and([eb('state', '=', 'cloning'), eb('lease_expires_at', '<', sql<Date>`now()`)]),
      ]),
    )
    .forUpdate()
    .executeTakeFirst()
  if (!found || found.voice_id === null) return null
  await tx
    .updateTable('voice_slots')
    .set({
      state: 'cloning',
      owner: claim.owner,
      lease_expires_at: leaseEnd(claim.leaseSeconds),
      intent_token: claim.intentToken(found.voice_id),
      attempts: found.attempts + 1,
      updated_at: claim.now,
    })
    .where('id', '=', slotId)
    .execute()
  return { id: found.id, provider: found.provider, voiceId: found.voice_id, attempts: found.attempts + 1 }
}

export const renewSlotLease = async (
  tx: Tx,
  slotId: number,
  owner: string,
  seconds: number,
): Promise<boolean> => {
  const result = await tx
    .updateTable('voice_slots')
    .set({ lease_expires_at: leaseEnd(seconds) })
    .where('id', '=', slotId)
    .where('owner', '=', owner)
    .where('state', '=', 'cloning')
    .executeTakeFirst()
  return result.numUpdatedRows > 0n
}

/** cloning → ready by the owner of the lease; records the external id in the history. */
export const finishSlot = async (
  tx: Tx,
  slot: {
    id: number
    owner: string
    voiceId: number
    provider: string
    externalId: string
    holdUntil: Date
    now: Date
  },
): Promise<boolean> => {
  const result = await tx
    .updateTable('voice_slots')
    .set({
      state: 'ready',
      external_id: slot.externalId,
      owner: null,
      lease_expires_at: null,
      allocated_at: slot.now,
      hold_until: slot.holdUntil,
      updated_at: slot.now,
    })
    .where('id', '=', slot.id)
    .where('owner', '=', slot.owner)
    .where('state', '=', 'cloning')
    .executeTakeFirst()
  if (result.numUpdatedRows === 0n) return false
  await tx
    .insertInto('voice_external_ids')
    .values({
      external_id: slot.externalId,
      voice_id: slot.voiceId,
      provider: slot.provider,
      created_at: slot.now,
    })
    .onConflict((conflict) => conflict.column('external_id').doNothing())
    .execute()
  return true
}

/** cloning → reserved: the work is given back and may be claimed at once. */
export const giveSlotBack = async (tx: Tx, slotId: number, owner: string): Promise<void> => {
  await tx
    .updateTable('voice_slots')
    .set({ state: 'reserved', owner: null, lease_expires_at: null })
    .where('id', '=', slotId)
    .where('owner', '=', owner)
    .where('state', '=', 'cloning')
    .execute()
}

/** A run drops the slot it is cloning for; a tombstone is not its own any more. */
export const dropSlot = async (tx: Tx, slotId: number, owner: string): Promise<boolean> => {
  const result = await tx
    .deleteFrom('voice_slots')
    .where('id', '=', slotId)
    .where('owner', '=', owner)
    .where('state', '=', 'cloning')
    .executeTakeFirst()
  return result.numDeletedRows > 0n
}

/** A ready slot goes only while it names this remote voice: a newer one is left alone. */
export const dropReadySlot = async (tx: Tx, voiceId: number, externalId: string): Promise<boolean> => {
  const result = await tx
    .deleteFrom('voice_slots')
    .where('voice_id', '=', voiceId)
    .where('external_id', '=', externalId)
    .where('state', '=', 'ready')
    .executeTakeFirst()
  return result.numDeletedRows > 0n
}

/** Where a remote voice is to be found when no row of ours names its voice any more. */
export interface RemoteCopy {
  slotId: number
  provider: string
  externalId: string | null
  /** The name it was, or may have been, cloned under. */
  intentToken: string | null
}

const copyColumns = ['id', 'provider', 'external_id', 'intent_token'] as const

const toCopy = (row: {
  id: number
  provider: string
  external_id: string | null
  intent_token: string | null
}): RemoteCopy => ({
  slotId: row.id,
  provider: row.provider,
  externalId: row.external_id,
  intentToken: row.intent_token,
})

/**
 * The voice goes: its slot becomes a tombstone, or vanishes when no clone was ever begun for it. Tombstones that earlier
 * remote voices of it left are answered too.
 */
export const abandonSlots = async (
  tx: Tx,
  voiceId: number,
  reason: string,
  now: Date,
): Promise<RemoteCopy[]> => {
  await tx
    .deleteFrom('voice_slots')
    .where('voice_id', '=', voiceId)
    .where('state', '=', 'reserved')
    .where('intent_token', 'is', null)
    .execute()
  const rows = await tx
    .updateTable('voice_slots')
    .set({ state: 'releasing', voice_id: null, reason, updated_at: now })
    .where('voice_id', '=', voiceId)
    .returning(copyColumns)
    .execute()
  const earlier = await tx
    .selectFrom('voice_slots as s')
    .innerJoin('voice_external_ids as x', (join) =>
      join.onRef('x.external_id', '=', 's.external_id').onRef('x.provider', '=', 's.provider'),
    )
    .select(['s.id', 's.provider', 's.external_id', 's.intent_token'])
    .where('x.voice_id', '=', voiceId)
    .where('s.state', '=', 'releasing')
    .where('s.id', 'not in', [0, ...rows.map(({ id }) => id)])
    .execute()
  return [...rows, ...earlier].map(toCopy)
}

/** Slots without a live worker: `cloning` with a lapsed lease, `reserved` or `releasing` untouched for 120 s. */
export const findStaleSlots = async (db: Db, now: Date): Promise<{ id: number; state: string }[]> =>
  db
    .selectFrom('voice_slots')
    .select(['id', 'state'])
    .where((eb) =>
      eb.or([
        eb.and([eb('state', '=', 'cloning'), eb('lease_expires_at', '<', sql<Date>`now()`)]),
        eb.and([
          eb('state', 'in', ['reserved', 'releasing']),
          eb('updated_at', '<', new Date(now.getTime() - 120_000)),
        ]),
      ]),
    )
    .orderBy('id')
    .limit(200)
    .execute()

/** Before a part is spoken: the hold moves only while the slot is ready under the expected external id. */
export const extendSlotHold = async (
  tx: Tx,
  slotId: number,
  externalId: string,
  until: Date,
): Promise<boolean> => {
  const result = await tx
    .updateTable('voice_slots')
    .set({ hold_until: sql<Date>`greatest(hold_until, ${until})` })
    .where('id', '=', slotId)
    .where('state', '=', 'ready')
    .where('external_id', '=', externalId)
    .executeTakeFirst()
  return result.numUpdatedRows > 0n
}

/** After an attempt: never left longer than the warm hold. */
export const setSlotHold = async (tx: Tx, slotId: number, until: Date): Promise<void> => {
  await tx
    .updateTable('voice_slots')
    .set({ hold_until: until })
    .where('id', '=', slotId)
    .where('state', '=', 'ready')
    .execute()
}
