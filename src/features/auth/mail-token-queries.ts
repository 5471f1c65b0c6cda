import type { Db, Tx } from '../../platform/db/database.ts'

export interface MailToken {
  id: number
  userId: number
  address: string | null
  expiresAt: Date
  usedAt: Date | null
  voidedAt: Date | null
}

export const findMailToken = async (
  db: Db,
  kind: 'confirm' | 'reset',
  tokenHash: Buffer,
): Promise<MailToken | null> => {
  const row = await db
    .selectFrom('mail_tokens')
    .select(['id', 'user_id', 'address', 'expires_at', 'used_at', 'voided_at'])
    .where('kind', '=', kind)
    .where('token_hash', '=', tokenHash)
    .executeTakeFirst()
  return row
    ? {
        id: row.id,
        userId: row.user_id,
        address: row.address,
        expiresAt: row.expires_at,
        usedAt: row.used_at,
        voidedAt: row.voided_at,
      }
    : null
}

/** A new confirmation token; every older one of the account is void from now on. */
export const insertConfirmToken = async (
  tx: Tx,
  token: { userId: number; address: string; salt: Buffer; tokenHash: Buffer; now: Date; expiresAt: Date },
): Promise<number> => {
  await tx
    .updateTable('mail_tokens')
    .set({ voided_at: token.now })
    .where('user_id', '=', token.userId)
    .where('kind', '=', 'confirm')
    .where('used_at', 'is', null)
    .where('voided_at', 'is', null)
    .execute()
  const row = await tx
    .insertInto('mail_tokens')
    .values({
      user_id: token.userId,
      kind: 'confirm',
      salt: token.salt,
      token_hash: token.tokenHash,
      address: token.address,
      created_at: token.now,
      expires_at: token.expiresAt,
    })
    .returning('id')
    .executeTakeFirstOrThrow()
  return row.id
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

export const confirmOwnAddress = async (tx: Tx, userId: number, now: Date): Promise<void> => {
  await tx
    .updateTable('users')
    .set({ email_confirmed: true, updated_at: now })
    .where('id', '=', userId)
    .execute()
}

/** The pending address becomes the account's; open reset links die with the old one. */
export const adoptPendingAddress = async (
  tx: Tx,
  userId: number,
  address: string,
  now: Date,
): Promise<void> => {
  await tx
    .updateTable('users')
    .set({
      email: address,
      email_confirmed: true,
      pending_email: null,
      pending_email_at: null,
      updated_at: now,
    })
    .where('id', '=', userId)
    .execute()
  await tx
    .updateTable('mail_tokens')
    .set({ voided_at: now })
    .where('user_id', '=', userId)
    .where('kind', '=', 'reset')
    .where('used_at', 'is', null)
    .where('voided_at', 'is', null)
    .execute()
}

export const dropPendingAddress = async (tx: Tx, userId: number, now: Date): Promise<void> => {
  await tx
    .updateTable('users')
    .set({ pending_email: null, pending_email_at: null, updated_at: now })
    .where('id', '=', userId)
    .execute()
}
