export { extractLinks, outboxHeaders, outboxJson, outboxPage, type OutboxMessage } from './outbox-view.ts'
import { EmailError, type EmailMessage, type EmailTransport } from '../email.ts'

const aborted = (signal: AbortSignal): Promise<never> =>
  new Promise((_resolve, reject) => {
    const refuse = (): void =>
      reject(new EmailError('transient', 'outbox: no time left', { cause: signal.reason }))
    if (signal.aborted) refuse()
    else signal.addEventListener('abort', refuse, { once: true })
  })

/**
 * Keeps mail instead of sending it, for development and tests. `store` must ignore a message id that it already has:
 * a retried mail is one mail. A store that fails or outlives the signal is a `transient` failure.
 */
export const createOutbox = (deps: { store(message: EmailMessage): Promise<void> }): EmailTransport => ({
  name: 'outbox',
  send: async (message, signal) => {
    try {
      signal.throwIfAborted()
      await Promise.race([deps.store(message), aborted(signal)])
    } catch (error) {
      if (error instanceof EmailError) throw error
      throw new EmailError('transient', 'outbox: the message could not be stored', { cause: error })
    }
  },
})
