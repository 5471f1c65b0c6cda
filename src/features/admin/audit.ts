import type { Tx } from '../../platform/db/database.ts'

/** What an administrator did. Texts of people stay out of `details`. */
export interface AuditEntry {
  /** `users.id` of the administrator. */
  actorId: number
  /** Dotted and stable, e.g. `credits.grant`. */
  action: string
  targetType: 'user' | 'lot' | 'narration' | 'waiting_grant' | 'webhook_event'
  targetId: string
  reason: string | null
  details: Readonly<Record<string, string | number | boolean | null>>
}

/** Writes the entry in the transaction of the action, so that neither is without the other. */
export type Audit = (tx: Tx, entry: AuditEntry) => Promise<void>

/** For a server without an audit trail: nothing is written. */
export const noAudit: Audit = () => Promise.resolve()
