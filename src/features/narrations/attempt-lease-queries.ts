import { sql } from 'kysely'
import type { Tx } from '../../platform/db/database.ts'
import { attemptColumns, toAttempt, type Attempt } from './attempt-queries.ts'
import { leaseEnd, unfinishedStages, type Stage } from './queries.ts'

const isFree = sql<boolean>`(owner is null or lease_expires_at is null or lease_expires_at < now())`

/** Takes the lease of an unfinished attempt; null when it is over or another run holds it. */
export const claimAttempt = async (
  tx: Tx,
  id: number,
  claim: { owner: string; leaseSeconds: number },
): Promise<Attempt | null> => {
  const row = await tx
    .updateTable('narration_attempts')
    .set({ owner: claim.owner, lease_expires_at: leaseEnd(claim.leaseSeconds) })
    .where('id', '=', id)
    .where('stage', 'in', unfinishedStages)
    .where(isFree)
    .returning(attemptColumns)
    .executeTakeFirst()
  return row ? toAttempt(row) : null
}

export const renewAttemptLease = async (
  tx: Tx,
  id: number,
  owner: string,
  seconds: number,
): Promise<boolean> => {
  const result = await tx
    .updateTable('narration_attempts')
    .set({ lease_expires_at: leaseEnd(seconds) })
    .where('id', '=', id)
    .where('owner', '=', owner)
    .where('stage', 'in', unfinishedStages)
    .executeTakeFirst()
  return result.numUpdatedRows > 0n
}

export const giveAttemptBack = async (tx: Tx, id: number, owner: string): Promise<void> => {
  await tx
    .updateTable('narration_attempts')
    .set({ owner: null, lease_expires_at: null })
    .where('id', '=', id)
    .where('owner', '=', owner)
    .execute()
}

/** Moves the stage by compare-and-set under the owner's lease; false when it is someone else's now. */
export const moveStage = async (
  tx: Tx,
  id: number,
  owner: string,
  from: readonly Stage[],
  change: { to: Stage; speechStartedAt?: Date; speechDeadline?: Date; reallocations?: number },
): Promise<boolean> => {
  const result = await tx
    .updateTable('narration_attempts')
    .set({
      stage: change.to,
      ...(change.speechStartedAt ? { speech_started_at: change.speechStartedAt } : {}),
      ...(change.speechDeadline ? { speech_deadline: change.speechDeadline } : {}),
      ...(change.reallocations === undefined ? {} : { reallocations: change.reallocations }),
    })
    .where('id', '=', id)
    .where('owner', '=', owner)
    .where('stage', 'in', [...from])
    .executeTakeFirst()
  return result.numUpdatedRows > 0n
}

/** True while the attempt is unfinished and ours; keeps it so until the transaction ends. */
export const isStillOurs = async (tx: Tx, id: number, owner: string): Promise<boolean> => {
  const row = await tx
    .selectFrom('narration_attempts')
    .select('id')
    .where('id', '=', id)
    .where('owner', '=', owner)
    .where('stage', 'in', unfinishedStages)
    .forUpdate()
    .executeTakeFirst()
  return row !== undefined
}

/**
 * Ends an unfinished attempt, once: the row answered is the one whose debit the caller must give back. With an owner
 * only that owner's run may end it; null ends it whoever runs (deletion, deadlines).
 */
export const endAttempt = async (
  tx: Tx,
  id: number,
  owner: string | null,
  end: { stage: 'done' | 'failed' | 'cancelled'; outcome: string | null; now: Date },
): Promise<{ narrationId: number; debitId: number | null } | null> => {
  const before = await tx
    .selectFrom('narration_attempts')
    .select(['narration_id', 'debit_id'])
    .where('id', '=', id)
    .where('stage', 'in', unfinishedStages)
    .$if(owner !== null, (query) => query.where('owner', '=', owner))
    .forUpdate()
    .executeTakeFirst()
  if (!before) return null
  await tx
    .updateTable('narration_attempts')
    .set({
      stage: end.stage,
      outcome: end.outcome,
      ended_at: end.now,
      owner: null,
      lease_expires_at: null,
      // After a refund nothing reads as charged.
      ...(end.stage === 'done' ? {} : { debit_id: null, credits_charged: null }),
    })
    .where('id', '=', id)
    .execute()
  return { narrationId: before.narration_id, debitId: before.debit_id }
}
