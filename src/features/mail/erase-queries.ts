import type { Db, Tx } from '../../platform/db/database.ts'

/** Mails of an account or to one of its addresses, sent ones included, and what was asked for in those addresses' names. */
export const eraseMails = async (
  tx: Tx,
  of: { userId: number; addresses: readonly string[] },
): Promise<number> => {
  const addresses = [...of.addresses]
  const deleted = await tx
    .deleteFrom('emails')
    .where((eb) =>
      eb.or([
        eb('user_id', '=', of.userId),
        ...(addresses.length > 0 ? [eb('recipient', 'in', addresses)] : []),
      ]),
    )
    .executeTakeFirst()
  if (addresses.length > 0) await tx.deleteFrom('mail_outbox').where('recipient', 'in', addresses).execute()
  return Number(deleted.numDeletedRows)
}

/** Null when there is no such mail any more. */
export const findMailStatus = async (
  db: Db,
  emailId: number,
): Promise<{ status: string; createdAt: Date } | null> => {
  const row = await db
    .selectFrom('emails')
    .select(['status', 'created_at'])
    .where('id', '=', emailId)
    .executeTakeFirst()
  return row ? { status: row.status, createdAt: row.created_at } : null
}

/** A mail that is still queued will not be sent: its job finds nothing. */
export const forgetMail = async (tx: Tx, emailId: number): Promise<void> => {
  await tx.deleteFrom('emails').where('id', '=', emailId).execute()
}
