export interface EmailMessage {
  /** Stable over retries: the provider's idempotency key. */
  id: string
  kind: string
  to: string
  subject: string
  text: string
  html: string
}

/** How mail leaves the house. Throws `EmailError`; a returned promise means the transport accepted the message. */
export interface EmailTransport {
  readonly name: 'resend' | 'smtp' | 'outbox'
  send(message: EmailMessage, signal: AbortSignal): Promise<void>
}

export class EmailError extends Error {
  /** `transient`: try again later; `rejected`: this message will never be accepted. */
  readonly kind: 'transient' | 'rejected'

  constructor(kind: 'transient' | 'rejected', message: string, options?: { cause?: unknown }) {
    super(message, options)
    this.name = 'EmailError'
    this.kind = kind
  }
}
