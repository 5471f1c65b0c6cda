import type { MailSettings } from './layout.ts'
import { renderMail, type MailKind, type RenderedMail } from './templates.ts'

/** What a queued mail's row can say; each kind takes what it needs. */
export interface StoredVariables {
  /** Made when the mail is sent, never stored. */
  link?: string
  device?: string
  newAddress?: string
  recordings?: number
  narrations?: number
  providerCopies?: number
  at: Date
}

/** Throws for a kind that needs a link when there is none. */
export const renderStored = (
  kind: MailKind,
  variables: StoredVariables,
  settings: MailSettings,
): RenderedMail => {
  const { link, device, newAddress, at } = variables
  switch (kind) {
    case 'confirm_email':
    case 'reset_password':
      if (link === undefined) throw new Error(`mail ${kind} has no link`)
      return renderMail(kind, { link }, settings)
    case 'password_changed':
    case 'session_closed':
      return renderMail(kind, { at, ...(device === undefined ? {} : { device }) }, settings)
    case 'email_change_requested':
    case 'email_changed':
      return renderMail(kind, newAddress === undefined ? {} : { newAddress }, settings)
    case 'data_export_ready':
      return renderMail(kind, link === undefined ? {} : { link }, settings)
    case 'email_confirmed':
    case 'account_approved':
    case 'account_deactivated':
    case 'deletion_started':
      return renderMail(kind, {}, settings)
    case 'deletion_finished': {
      const { recordings = 0, narrations = 0, providerCopies = 0 } = variables
      return renderMail(kind, { recordings, narrations, providerCopies }, settings)
    }
  }
}
