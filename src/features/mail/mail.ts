import { Type } from 'typebox'
import type { Clock } from '../../platform/clock.ts'
import { mailToken } from '../../platform/crypto.ts'
import type { Database, Tx } from '../../platform/db/database.ts'
import { defineJob, handleJob, type Job, type Jobs } from '../../platform/jobs/jobs.ts'
import { EmailError, type EmailTransport } from '../../providers/email/email.ts'
import * as queries from './queries.ts'
import { renderStored } from './render-stored.ts'
import type { MailKind } from './templates.ts'

export type { MailKind } from './templates.ts'
export { listOutbox, storeOutboxMessage } from './queries.ts'
export { eraseMails, findMailStatus, forgetMail } from './erase-queries.ts'

export const sendMailJob = defineJob({
  name: 'mail.send',
  payload: Type.Object({ email_id: Type.Integer({ minimum: 1 }) }),
  // Over two days of a mail provider's outage: 30 s doubling to 1 h.
  retryLimit: 60,
  retryDelaySeconds: 30,
  retryDelayMaxSeconds: 3600,
  limitSeconds: 60,
  concurrency: 2,
})

export interface Mail {
  /** Queues a mail in the transaction that causes it; answers its id. Links with tokens are made only when it is sent. */
  queue(
    tx: Tx,
    mail: {
      kind: MailKind
      /** Null for the last mail of a deleted account. */
      userId: number | null
      recipient: string
      mailTokenId?: number
      expiresAt?: Date
      /** Shown in the mail; never a link or a token. */
      variables?: queries.StoredMailVariables
    },
  ): Promise<number>
}

export const createMail = (deps: { clock: Clock; enqueue: Jobs['enqueue'] }): Mail => ({
  queue: async (tx, mail) => {
    const emailId = await queries.insertEmail(tx, { ...mail, now: deps.clock.now() })
    await deps.enqueue(tx, sendMailJob, { email_id: emailId })
    return emailId
  },
})

const linkPaths: Record<string, string> = {
  confirm: '/auth/confirm-email/',
  reset: '/auth/reset-password/',
}

/** A provider's words may repeat the message or its address: only kind and error code may reach the log. */
const withoutContent = (error: EmailError, transport: string): EmailError => {
  const { cause } = error
  const code = cause instanceof Error && 'code' in cause ? ` (${String(cause.code).slice(0, 40)})` : ''
  return new EmailError(error.kind, `${transport} did not take the message${code}`)
}

/** Sends one queued mail; the row's compare-and-set and the stable message id make a second run harmless. */
export const createSendMail = (deps: {
  database: Database
  clock: Clock
  transport: EmailTransport
  /** Purpose key `mail-link`; tokens are derived from it and the token row's salt. */
  linkKey: Uint8Array
  publicUrl: string
}): Job =>
  handleJob(sendMailJob, async ({ email_id: emailId }, { signal }) => {
    const { database, clock, transport } = deps
    const email = await queries.findQueuedEmail(database.read, emailId)
    if (!email) return
    const now = clock.now()
    const finish = (status: 'sent' | 'failed' | 'expired' | 'cancelled', failure: string | null) =>
      database.transaction((tx) => queries.endEmail(tx, emailId, status, failure, clock.now()))
    if (email.expiresAt !== null && email.expiresAt <= now) return await finish('expired', null)
    // A newer link voids an older one; mailing it would only confuse.
    if (email.token?.isDead === true) return await finish('cancelled', null)
    const link = email.token
      ? `${deps.publicUrl}${linkPaths[email.token.kind] ?? ''}${mailToken(deps.linkKey, email.token.salt)}`
      : email.kind === 'data_export_ready'
        ? `${deps.publicUrl}/app/`
        : undefined
    const variables = { ...email.variables, at: email.createdAt, ...(link === undefined ? {} : { link }) }
    const content = renderStored(email.kind, variables, { assetBaseUrl: deps.publicUrl, now })
    try {
      const deadline = AbortSignal.any([signal, AbortSignal.timeout(15_000)])
      await transport.send(
        { id: `email-${emailId}`, kind: email.kind, to: email.recipient, ...content },
        deadline,
      )
    } catch (error) {
      const failure = error instanceof EmailError ? error.kind : 'transient'
      if (failure === 'rejected') return await finish('failed', failure)
      await database.transaction((tx) => queries.noteFailure(tx, emailId, failure))
      throw error instanceof EmailError ? withoutContent(error, transport.name) : error
    }
    await finish('sent', null)
  })
