import { sql } from 'kysely'
import type { Tx } from '../../platform/db/database.ts'
import type { Device, Transport } from './queries.ts'

export interface NewSession {
  userId: number
  transport: Transport
  device: Device
  now: Date
  idleExpiresAt: Date
  expiresAt: Date
  accessValidFrom: Date
}

/** A session, its first refresh token as its head, and the event, in one round trip; answers the session's id. */
export const insertSession = async (tx: Tx, session: NewSession, tokenHash: Buffer): Promise<number> => {
  const { userId, transport, device, now } = session
  const { rows } = await sql<{ id: number }>`
    with ids as (
      select nextval(pg_get_serial_sequence('sessions', 'id')) as session_id,
        nextval(pg_get_serial_sequence('refresh_tokens', 'id')) as token_id
    ), session as (
      insert into sessions (id, user_id, transport, client_name, user_agent, ip_prefix, created_at, last_used_at,
        idle_expires_at, expires_at, access_valid_from, head_token_id)
      overriding system value
      select session_id, ${userId}::integer, ${transport}, ${device.clientName}, ${device.userAgent},
        ${device.ipPrefix}, ${now}::timestamptz, ${now}::timestamptz, ${session.idleExpiresAt}::timestamptz,
        ${session.expiresAt}::timestamptz, ${session.accessValidFrom}::timestamptz, token_id
      from ids returning id, head_token_id
    ), token as (
      insert into refresh_tokens (id, session_id, token_hash, issued_at)
      overriding system value
      select head_token_id, id, ${tokenHash}, ${now}::timestamptz from session
    ), event as (
      insert into auth_events (user_id, kind, session_id, ip_prefix, user_agent, created_at)
      select ${userId}::integer, 'sign_in', id, ${device.ipPrefix}, ${device.userAgent}, ${now}::timestamptz
      from session
    )
    select id from session`.execute(tx)
  const id = rows[0]?.id
  if (id === undefined) throw new Error('sessions: the new session has no id')
  return id
}

/** False when the password is no longer the one of `credentialVersion`. A rehash is not a change of password. */
export const stampLogin = async (
  tx: Tx,
  userId: number,
  change: { now: Date; newHash: string | null; credentialVersion: number },
): Promise<boolean> => {
  const { now, newHash } = change
  const result = await tx
    .updateTable('users')
    .set({ last_login: now, updated_at: now, ...(newHash === null ? {} : { password_hash: newHash }) })
    .where('id', '=', userId)
    .where('credential_version', '=', change.credentialVersion)
    .executeTakeFirst()
  return result.numUpdatedRows > 0n
}
