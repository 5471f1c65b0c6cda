import type { Db, Tx } from '../../platform/db/database.ts'

/** Lines with events processed before `cutoff`, ascending, ids above `after`. */
export const listLinesWithOldEvents = async (
  db: Db,
  cutoff: Date,
  after: number,
  limit: number,
): Promise<number[]> => {
  const rows = await db
    .selectFrom('webhook_events')
    .select('subscription_id')
    .distinct()
    .where('processed_at', '<', cutoff)
    .where('subscription_id', '>', after)
    .orderBy('subscription_id')
    .limit(limit)
    .execute()
  return rows.flatMap((row) => row.subscription_id ?? [])
}

/** Deletes those of the events that were processed before `cutoff`, and answers how many. */
export const deleteOldEvents = async (tx: Tx, eventIds: readonly string[], cutoff: Date): Promise<number> => {
  if (eventIds.length === 0) return 0
  const result = await tx
    .deleteFrom('webhook_events')
    .where('event_id', 'in', [...eventIds])
    .where('processed_at', '<', cutoff)
    .executeTakeFirst()
  return Number(result.numDeletedRows)
}

/** Deletes at most `limit` old events of no line (packs, ignored and refused ones); a TRANSFER stays. */
export const deleteOldLooseEvents = async (tx: Tx, cutoff: Date, limit: number): Promise<number> => {
  const result = await tx
    .deleteFrom('webhook_events')
    .where('id', 'in', (eb) =>
      eb
        .selectFrom('webhook_events')
        .select('id')
        .where('processed_at', '<', cutoff)
        .where('subscription_id', 'is', null)
        .where('event_type', '<>', 'TRANSFER')
        .orderBy('id')
        .limit(limit),
    )
    .executeTakeFirst()
  return Number(result.numDeletedRows)
}
