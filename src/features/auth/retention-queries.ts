import { sql } from 'kysely'
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

const deleteOlderThan =
  (table: 'auth_events' | 'mail_tokens' | 'mail_requests', column: string): DeleteBatch =>
  async (tx, before, limit) => {
    const { numAffectedRows } = await sql`
      delete from ${sql.table(table)} where id in (
        select id from ${sql.table(table)} where ${sql.ref(column)} < ${before}
        order by ${sql.ref(column)} limit ${limit} for update skip locked)`.execute(tx)
    return Number(numAffectedRows ?? 0)
  }

export const deleteOldSecurityEvents = deleteOlderThan('auth_events', 'created_at')

export const deleteOldMailTokens = deleteOlderThan('mail_tokens', 'expires_at')

/** Requests whose job was lost: the job removes its own. */
export const deleteOldMailRequests = deleteOlderThan('mail_requests', 'created_at')
