import type { Tx } from '../../platform/db/database.ts'

/** Each deletes at most `limit` rows and answers how many; rows that somebody else holds are left for the next round. */
export type DeleteBatch = (tx: Tx, before: Date, limit: number) => Promise<number>

/** Sessions that were ended, or whose time was over, before the date; their refresh tokens go with them. */
export const deleteOldSessions: DeleteBatch = async (tx, before, limit) => {
  const rows = await tx
    .deleteFrom('sessions')
    .where('id', 'in', (query) =>
      query
        .selectFrom('sessions')
        .select('id')
        // The idle end is never after the absolute one.
        .where((eb) => eb.or([eb('ended_at', '<', before), eb('idle_expires_at', '<', before)]))
        .orderBy('id')
        .limit(limit)
        .forUpdate()
        .skipLocked(),
    )
    .returning('id')
    .execute()
  return rows.length
}

export const deleteOldSecurityEvents: DeleteBatch = async (tx, before, limit) => {
  const rows = await tx
    .deleteFrom('auth_events')
    .where('id', 'in', (query) =>
      query
        .selectFrom('auth_events')
        .select('id')
        .where('created_at', '<', before)
        .orderBy('created_at')
        .limit(limit)
        .forUpdate()
        .skipLocked(),
    )
    .returning('id')
    .execute()
  return rows.length
}

export const deleteOldMailTokens: DeleteBatch = async (tx, before, limit) => {
  const rows = await tx
    .deleteFrom('mail_tokens')
    .where('id', 'in', (query) =>
      query
        .selectFrom('mail_tokens')
        .select('id')
        .where('expires_at', '<', before)
        .orderBy('id')
        .limit(limit)
        .forUpdate()
        .skipLocked(),
    )
    .returning('id')
    .execute()
  return rows.length
}

/** Requests whose job was lost: the job removes its own. */
export const deleteOldMailRequests: DeleteBatch = async (tx, before, limit) => {
  const rows = await tx
    .deleteFrom('mail_requests')
    .where('id', 'in', (query) =>
      query
        .selectFrom('mail_requests')
        .select('id')
        .where('created_at', '<', before)
        .orderBy('id')
        .limit(limit)
        .forUpdate()
        .skipLocked(),
    )
    .returning('id')
    .execute()
  return rows.length
}
