import type { Db, Tx } from '../../platform/db/database.ts'

export type Transport = 'body' | 'cookie'

export interface Session {
  id: number
  userId: number
  transport: Transport
  idleExpiresAt: Date
  expiresAt: Date
  accessValidFrom: Date
  headTokenId: number | null
  endedAt: Date | null
  endReason: string | null
}

export interface RefreshToken {
  id: number
  sessionId: number
  parentId: number | null
  supersededAt: Date | null
}

/** What is kept of the device that signs in or refreshes. */
export interface Device {
  clientName: string
  userAgent: string
  ipPrefix: string
}

const sessionColumns = [
  'id',
  'user_id',
  'transport',
  'idle_expires_at',
  'expires_at',
  'access_valid_from',
  'head_token_id',
  'ended_at',
  'end_reason',
] as const

const selectSession = (db: Db) => db.selectFrom('sessions').select(sessionColumns)
type SessionRow = NonNullable<Awaited<ReturnType<ReturnType<typeof selectSession>['executeTakeFirst']>>>

const toSession = (row: SessionRow): Session => ({
  id: row.id,
  userId: row.user_id,
  transport: row.transport === 'cookie' ? 'cookie' : 'body',
  idleExpiresAt: row.idle_expires_at,
  expiresAt: row.expires_at,
  accessValidFrom: row.access_valid_from,
  headTokenId: row.head_token_id,
  endedAt: row.ended_at,
  endReason: row.end_reason,
})

export const findSession = async (db: Db, id: number): Promise<Session | null> => {
  const row = await selectSession(db).where('id', '=', id).executeTakeFirst()
  return row ? toSession(row) : null
}

export const lockSession = async (tx: Tx, id: number): Promise<Session | null> => {
  const row = await selectSession(tx).where('id', '=', id).forUpdate().executeTakeFirst()
  return row ? toSession(row) : null
}

/** Slides the idle end, stores the newest device values and the head of the token line. */
export const touchSession = async (
  tx: Tx,
  id: number,
  change: { headTokenId: number; device?: Device; now: Date; idleExpiresAt: Date },
): Promise<void> => {
  await tx
    .updateTable('sessions')
    .set({
      head_token_id: change.headTokenId,
      last_used_at: change.now,
      idle_expires_at: change.idleExpiresAt,
      ...(change.device ? { user_agent: change.device.userAgent, ip_prefix: change.device.ipPrefix } : {}),
    })
    .where('id', '=', id)
    .execute()
}

export const endSession = async (tx: Tx, id: number, reason: string, now: Date): Promise<void> => {
  await tx
    .updateTable('sessions')
    .set({ ended_at: now, end_reason: reason })
    .where('id', '=', id)
    .where('ended_at', 'is', null)
    .execute()
}

/** Ends every live session of the account but `exceptSessionId`; answers the ended ids. The caller holds the user. */
export const endSessionsOf = async (
  tx: Tx,
  userId: number,
  reason: string,
  now: Date,
  exceptSessionId?: number,
): Promise<number[]> => {
  const ended = await tx
    .updateTable('sessions')
    .set({ ended_at: now, end_reason: reason })
    .where('user_id', '=', userId)
    .where('ended_at', 'is', null)
    .$if(exceptSessionId !== undefined, (query) => query.where('id', '<>', exceptSessionId ?? 0))
    .returning('id')
    .execute()
  return ended.map(({ id }) => id)
}

/** Access tokens of an earlier second stop working. */
export const endEarlierAccess = async (tx: Tx, id: number, validFrom: Date): Promise<void> => {
  await tx.updateTable('sessions').set({ access_valid_from: validFrom }).where('id', '=', id).execute()
}

export const findRefreshToken = async (db: Db, tokenHash: Buffer): Promise<RefreshToken | null> => {
  const row = await db
    .selectFrom('refresh_tokens')
    .select(['id', 'session_id', 'parent_id', 'superseded_at'])
    .where('token_hash', '=', tokenHash)
    .executeTakeFirst()
  return row
    ? { id: row.id, sessionId: row.session_id, parentId: row.parent_id, supersededAt: row.superseded_at }
    : null
}

export const insertRefreshToken = async (
  tx: Tx,
  token: { sessionId: number; parentId: number | null; tokenHash: Buffer; now: Date },
): Promise<number> => {
  const row = await tx
    .insertInto('refresh_tokens')
    .values({
      session_id: token.sessionId,
      parent_id: token.parentId,
      token_hash: token.tokenHash,
      issued_at: token.now,
    })
    .returning('id')
    .executeTakeFirstOrThrow()
  return row.id
}

export const markPresented = async (tx: Tx, id: number, now: Date): Promise<void> => {
  await tx
    .updateTable('refresh_tokens')
    .set((eb) => ({
      first_presented_at: eb.fn.coalesce('first_presented_at', eb.val(now)),
      last_presented_at: now,
    }))
    .where('id', '=', id)
    .execute()
}

/** The old head and every other successor of it die when one successor is presented. */
export const supersedeLine = async (
  tx: Tx,
  oldHeadId: number,
  newHeadId: number,
  now: Date,
): Promise<void> => {
  await tx
    .updateTable('refresh_tokens')
    .set({ superseded_at: now })
    .where((eb) => eb.or([eb('id', '=', oldHeadId), eb('parent_id', '=', oldHeadId)]))
    .where('id', '<>', newHeadId)
    .where('superseded_at', 'is', null)
    .execute()
}

/** Keeps the newest `keep` unpresented successors of a head. */
export const pruneSuccessors = async (tx: Tx, headId: number, keep: number): Promise<void> => {
  await tx
    .deleteFrom('refresh_tokens')
    .where('id', 'in', (query) =>
      query
        .selectFrom('refresh_tokens')
        .select('id')
        .where('parent_id', '=', headId)
        .where('first_presented_at', 'is', null)
        .orderBy('id', 'desc')
        .offset(keep),
    )
    .execute()
}

export const insertAuthEvent = async (
  tx: Tx,
  event: {
    userId: number
    kind: string
    sessionId?: number
    refreshTokenId?: number
    device?: Pick<Device, 'ipPrefix' | 'userAgent'>
    now: Date
  },
): Promise<void> => {
  await tx
    .insertInto('auth_events')
    .values({
      user_id: event.userId,
      kind: event.kind,
      session_id: event.sessionId ?? null,
      refresh_token_id: event.refreshTokenId ?? null,
      ip_prefix: event.device?.ipPrefix ?? '',
      user_agent: event.device?.userAgent ?? '',
      created_at: event.now,
    })
    .execute()
}
