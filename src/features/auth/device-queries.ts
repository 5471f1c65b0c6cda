import type { Db } from '../../platform/db/database.ts'

/** One signed-in device as its owner sees it. */
export interface DeviceRecord {
  id: number
  clientName: string
  userAgent: string
  ipPrefix: string
  createdAt: Date
  lastUsedAt: Date
  /** The earlier of the idle and the absolute end. */
  expiresAt: Date
}

/** Last used first. */
export const listLiveSessions = async (db: Db, userId: number, now: Date): Promise<DeviceRecord[]> => {
  const rows = await db
    .selectFrom('sessions')
    .select(['id', 'client_name', 'user_agent', 'ip_prefix', 'created_at', 'last_used_at', 'idle_expires_at'])
    .where('user_id', '=', userId)
    .where('ended_at', 'is', null)
    // The idle end is never past the absolute one (a check of the table).
    .where('idle_expires_at', '>', now)
    .orderBy('last_used_at', 'desc')
    .orderBy('id', 'desc')
    .execute()
  return rows.map((row) => ({
    id: row.id,
    clientName: row.client_name,
    userAgent: row.user_agent,
    ipPrefix: row.ip_prefix,
    createdAt: row.created_at,
    lastUsedAt: row.last_used_at,
    expiresAt: row.idle_expires_at,
  }))
}

/** Whether the account had a session from this address prefix since then: its owner's own network. */
export const hadSessionFrom = async (
  db: Db,
  userId: number,
  ipPrefix: string,
  since: Date,
): Promise<boolean> => {
  const row = await db
    .selectFrom('sessions')
    .select('id')
    .where('user_id', '=', userId)
    .where('ip_prefix', '=', ipPrefix)
    .where('last_used_at', '>=', since)
    .limit(1)
    .executeTakeFirst()
  return row !== undefined
}
