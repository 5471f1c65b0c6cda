import { sql } from 'kysely'
import type { Db, Tx } from '../../platform/db/database.ts'

export type MailTokenKind = 'confirm' | 'reset'

export interface MailToken {
  id: number
  userId: number
  /** What a confirmation link confirms; null for a reset link. */
  address: string | null
  /** The password that a reset link was asked for; null for a confirmation link. */
  credentialVersion: number | null
  expiresAt: Date
  usedAt: Date | null
  voidedAt: Date | null
}

export const findMailToken = async (
  db: Db,
  kind: MailTokenKind,
  tokenHash: Buffer,
): Promise<MailToken | null> => {
  const row = await db
    .selectFrom('mail_tokens')
    .select(['id', 'user_id', 'address', 'credential_version', 'expires_at', 'used_at', 'voided_at'])
    .where('kind', '=', kind)
    .where('token_hash', '=', tokenHash)
    .executeTakeFirst()
  return row
    ? {
        id: row.id,
        userId: row.user_id,
        address: row.address,
        credentialVersion: row.credential_version,
        expiresAt: row.expires_at,
        usedAt: row.used_at,
        voidedAt: row.voided_at,
      }
    : null
}

export interface NewMailToken {
  userId: number
  kind: MailTokenKind
  salt: Buffer
  tokenHash: Buffer
  now: Date
  expiresAt: Date
  /** Of a confirmation link. */
  address?: string
  /** Of a reset link. */
  credentialVersion?: number
}

export const insertMailToken = async (tx: Tx, token: NewMailToken): Promise<number> => {
  const row = await tx
    .insertInto('mail_tokens')
    .values({
      user_id: token.userId,
      kind: token.kind,
      salt: token.salt,
      token_hash: token.tokenHash,
      address: token.address ?? null,
      credential_version: token.credentialVersion ?? null,
      created_at: token.now,
      expires_at: token.expiresAt,
    })
    .returning('id')
    .executeTakeFirstOrThrow()
  return row.id
}

/** Every unused link of the kind stops working; its mail, if not sent yet, is not sent. */
export const voidMailTokens = async (
  tx: Tx,
  userId: number,
  kind: MailTokenKind,
  now: Date,
  /** Links to this address live on. */
  exceptAddress?: string,
): Promise<void> => {
  await tx
    .updateTable('mail_tokens')
    .set({ voided_at: now })
    .where('user_id', '=', userId)
    .where('kind', '=', kind)
    .where('used_at', 'is', null)
    .where('voided_at', 'is', null)
    .$if(exceptAddress !== undefined, (query) => query.where('address', '<>', exceptAddress ?? ''))
    .execute()
}

/** unused → used; false when another request was first. */
export const consumeMailToken = async (tx: Tx, id: number, now: Date): Promise<boolean> => {
  const result = await tx
    .updateTable('mail_tokens')
    .set({ used_at: now })
    .where('id', '=', id)
    .where('used_at', 'is', null)
    .where('voided_at', 'is', null)
    .executeTakeFirst()
  return result.numUpdatedRows > 0n
}

/**
 * Confirmation links made for the address since then, whoever asked. Others who count the same address wait until the
 * transaction ends: several accounts naming one victim cannot pass the cap together.
 */
export const countConfirmTokens = async (tx: Tx, address: string, since: Date): Promise<number> => {
  await sql`select pg_advisory_xact_lock(hashtextextended('confirm ' || ${address}, 0))`.execute(tx)
  const row = await tx
    .selectFrom('mail_tokens')
    .select((eb) => eb.fn.countAll<number>().as('count'))
    .where('kind', '=', 'confirm')
    .where('address', '=', address)
    .where('created_at', '>', since)
    .executeTakeFirstOrThrow()
  return row.count
}

/** Reset links made for the account since then. The caller holds the user. */
export const countResetTokens = async (tx: Tx, userId: number, since: Date): Promise<number> => {
  const row = await tx
    .selectFrom('mail_tokens')
    .select((eb) => eb.fn.countAll<number>().as('count'))
    .where('kind', '=', 'reset')
    .where('user_id', '=', userId)
    .where('created_at', '>', since)
    .executeTakeFirstOrThrow()
  return row.count
}
