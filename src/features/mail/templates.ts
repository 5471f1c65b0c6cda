import { mailHtml, mailText, type MailSettings } from './layout.ts'
import { wordings, type MailKind, type MailVariables, type Wording } from './wording.ts'

export type { MailSettings } from './layout.ts'
export type { MailKind, MailVariables } from './wording.ts'

export interface RenderedMail {
  subject: string
  text: string
  html: string
}

export const isMailKind = (text: string): text is MailKind => Object.hasOwn(wordings, text)

export const mailKinds: readonly MailKind[] = Object.keys(wordings).filter(isMailKind)

const linkForm = /^(?:https?|dawnotemu):\/\/[^\s]+$/

/** A missing or foreign link is a bug of the caller: a mail with a dead button must not leave. */
const checkLink = (kind: string, variables: object, wording: Wording): void => {
  if (wording.button === undefined) return
  if (!linkForm.test(wording.button.link))
    throw new Error(
      `mail ${kind}: no usable link (variables: ${Object.keys(variables).join(', ') || 'none'})`,
    )
}

/**
 * Subject, text and HTML of one mail, in Polish. Every variable is plain text and is escaped. Throws when the kind
 * needs a link and got none, or one that is neither http(s) nor the app's.
 */
export const renderMail = <K extends MailKind>(
  kind: K,
  variables: MailVariables[K],
  settings: MailSettings = {},
): RenderedMail => {
  const wording = wordings[kind](variables)
  checkLink(kind, variables, wording)
  return { subject: wording.subject, text: mailText(wording, settings), html: mailHtml(wording, settings) }
}
