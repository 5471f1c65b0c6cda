import type { Db } from '../../platform/db/database.ts'

/** Account and session of a bearer, as they stand at one instant. */
export interface BearerState {
  status: string
  emailConfirmed: boolean
  /** Null when the account has no such session. */
  session: { endedAt: Date | null; idleExpiresAt: Date; expiresAt: Date; accessValidFrom: Date } | null
}

/** One statement: two would see an account before, and its session after, the commit that ends both. */
export const findBearerState = async (
  db: Db,
  userId: number,
  sessionId: number,
): Promise<BearerState | null> => {
  const row = await db
    .selectFrom('users as u')
    .leftJoin('sessions as s', (join) => join.onRef('s.user_id', '=', 'u.id').on('s.id', '=', sessionId))
    .select([
      'u.status',
      'u.email_confirmed',
      's.ended_at',
      's.idle_expires_at',
      's.expires_at',
      's.access_valid_from',
    ])
    .where('u.id', '=', userId)
    .executeTakeFirst()
  if (!row) return null
  const { idle_expires_at: idleExpiresAt, expires_at: expiresAt, access_valid_from: accessValidFrom } = row
  return {
    status: row.status,
    emailConfirmed: row.email_confirmed,
    session:
      idleExpiresAt === null || expiresAt === null || accessValidFrom === null
        ? null
        : { endedAt: row.ended_at, idleExpiresAt, expiresAt, accessValidFrom },
  }
}
