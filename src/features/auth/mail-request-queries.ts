import type { Tx } from '../../platform/db/database.ts'
import type { MailTokenKind } from './mail-token-queries.ts'

export const insertMailRequest = async (
  tx: Tx,
  request: { kind: MailTokenKind; email: string; now: Date },
): Promise<number> => {
  const row = await tx
    .insertInto('mail_requests')
    .values({ kind: request.kind, email: request.email, created_at: request.now })
    .returning('id')
    .executeTakeFirstOrThrow()
  return row.id
}

/** The request and with it its address are gone once the transaction commits; null when it was answered before. */
export const takeMailRequest = async (
  tx: Tx,
  id: number,
): Promise<{ kind: MailTokenKind; email: string } | null> => {
  const row = await tx
    .deleteFrom('mail_requests')
    .where('id', '=', id)
    .returning(['kind', 'email'])
    .executeTakeFirst()
  return row ? { kind: row.kind === 'reset' ? 'reset' : 'confirm', email: row.email } : null
}
