import { Type, type Static } from 'typebox'
import { Value } from 'typebox/value'
import type { Db, Tx } from '../../platform/db/database.ts'
import type { EmailMessage } from '../../providers/email/email.ts'
import { isMailKind, type MailKind } from './templates.ts'

const count = Type.Optional(Type.Integer({ minimum: 0 }))
const variablesSchema = Type.Object({
  device: Type.Optional(Type.String()),
  newAddress: Type.Optional(Type.String()),
  /** What a deletion removed. */
  recordings: count,
  narrations: count,
  providerCopies: count,
})

export type StoredMailVariables = Static<typeof variablesSchema>

export const insertEmail = async (
  tx: Tx,
  email: {
    kind: MailKind
    userId: number | null
    recipient: string
    mailTokenId?: number
    expiresAt?: Date
    variables?: StoredMailVariables
    now: Date
  },
): Promise<number> => {
  const row = await tx
    .insertInto('emails')
    .values({
      user_id: email.userId,
      kind: email.kind,
      recipient: email.recipient,
      mail_token_id: email.mailTokenId ?? null,
      variables: JSON.stringify(email.variables ?? {}),
      created_at: email.now,
      expires_at: email.expiresAt ?? null,
    })
    .returning('id')
    .executeTakeFirstOrThrow()
  return row.id
}

export interface QueuedEmail {
  kind: MailKind
  recipient: string
  createdAt: Date
  expiresAt: Date | null
  variables: StoredMailVariables
  token: { kind: string; salt: Buffer; isDead: boolean } | null
}

/** Null when the mail is sent, given up or unknown. */
export const findQueuedEmail = async (db: Db, id: number): Promise<QueuedEmail | null> => {
  const row = await db
    .selectFrom('emails as e')
    .leftJoin('mail_tokens as t', 't.id', 'e.mail_token_id')
    .select([
      'e.kind',
      'e.recipient',
      'e.created_at',
      'e.expires_at',
      'e.variables',
      't.kind as token_kind',
      't.salt',
      't.used_at',
      't.voided_at',
    ])
    .where('e.id', '=', id)
    .where('e.status', '=', 'queued')
    .executeTakeFirst()
  if (!row || row.recipient === null) return null
  if (!isMailKind(row.kind)) throw new Error(`mail: unknown kind ${row.kind}`)
  return {
    kind: row.kind,
    recipient: row.recipient,
    createdAt: row.created_at,
    expiresAt: row.expires_at,
    variables: Value.Parse(variablesSchema, row.variables),
    token:
      row.token_kind === null || row.salt === null
        ? null
        : { kind: row.token_kind, salt: row.salt, isDead: row.used_at !== null || row.voided_at !== null },
  }
}

export const endEmail = async (
  tx: Tx,
  id: number,
  status: 'sent' | 'failed' | 'expired' | 'cancelled',
  failure: string | null,
  now: Date,
): Promise<void> => {
  await tx
    .updateTable('emails')
    .set((eb) => ({ status, last_failure: failure, ended_at: now, attempts: eb('attempts', '+', 1) }))
    .where('id', '=', id)
    .where('status', '=', 'queued')
    .execute()
}

export const noteFailure = async (tx: Tx, id: number, failure: string): Promise<void> => {
  await tx
    .updateTable('emails')
    .set((eb) => ({ last_failure: failure, attempts: eb('attempts', '+', 1) }))
    .where('id', '=', id)
    .execute()
}

/** A repeated message id changes nothing: one mail, however often it is sent. */
export const storeOutboxMessage = async (tx: Tx, message: EmailMessage, now: Date): Promise<void> => {
  await tx
    .insertInto('mail_outbox')
    .values({
      message_id: message.id,
      kind: message.kind,
      recipient: message.to,
      subject: message.subject,
      text_body: message.text,
      html_body: message.html,
      created_at: now,
    })
    .onConflict((conflict) => conflict.column('message_id').doNothing())
    .execute()
}

export interface OutboxRow {
  id: number
  kind: string
  to: string
  subject: string
  text: string
  html: string
  createdAt: Date
}

/** Newest first, at most 200. */
export const listOutbox = async (db: Db, filter: { to?: string; kind?: string }): Promise<OutboxRow[]> => {
  const rows = await db
    .selectFrom('mail_outbox')
    .selectAll()
    .$if(filter.to !== undefined, (query) => query.where('recipient', '=', filter.to ?? ''))
    .$if(filter.kind !== undefined, (query) => query.where('kind', '=', filter.kind ?? ''))
    .orderBy('id', 'desc')
    .limit(200)
    .execute()
  return rows.map((row) => ({
    id: row.id,
    kind: row.kind,
    to: row.recipient,
    subject: row.subject,
    text: row.text_body,
    html: row.html_body,
    createdAt: row.created_at,
  }))
}
