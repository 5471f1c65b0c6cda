import { brandPage, landingHeaders } from '../../../platform/http/brand-page.ts'
import { html, type Html } from '../../../platform/http/html.ts'

/** A kept mail as it is read back. */
export interface OutboxMessage {
  id: number
  kind: string
  to: string
  subject: string
  text: string
  html: string
  createdAt: Date
}

const linkForm = /(?:https?|dawnotemu):\/\/[^\s<>"']+/g

/** The http(s) and dawnotemu links of a text, each once, in their order, without the sentence's punctuation. */
export const extractLinks = (text: string): string[] => [
  ...new Set((text.match(linkForm) ?? []).map((link) => link.replace(/[.,;:!?)\]}”’]+$/u, ''))),
]

/** One entry of `GET /dev/outbox.json`. */
export const outboxJson = (message: OutboxMessage) => ({
  id: message.id,
  kind: message.kind,
  to: message.to,
  subject: message.subject,
  text: message.text,
  html: message.html,
  created_at: message.createdAt.toISOString(),
  links: extractLinks(message.text),
})

/** As for landing pages, but the framed mails (which inherit this policy) may use their inline styles. */
export const outboxHeaders = {
  ...landingHeaders,
  'content-security-policy':
    "default-src 'none'; style-src 'self' 'unsafe-inline'; font-src 'self'; img-src 'self'; frame-src 'self'; " +
    "form-action 'none'; base-uri 'none'; frame-ancestors 'none'",
} as const

const warsawTime = new Intl.DateTimeFormat('pl-PL', {
  dateStyle: 'medium',
  timeStyle: 'medium',
  timeZone: 'Europe/Warsaw',
})

// The frame is sandboxed without any permission: a mail can run nothing and reach nothing of this page.
const card = (message: OutboxMessage): Html =>
  html`<article class="card">
    <div class="content">
      <h2>${message.subject}</h2>
      <p class="note">
        <span class="badge">${message.kind}</span> do ${message.to},
        <time datetime="${message.createdAt.toISOString()}">${warsawTime.format(message.createdAt)}</time>
      </p>
      <ul class="links">
        ${extractLinks(message.text).map((link) => html`<li><a href="${link}">${link}</a></li>`)}
      </ul>
      <details>
        <summary>Tekst</summary>
        <pre>${message.text}</pre>
      </details>
      <details>
        <summary>Wygląd</summary>
        <iframe title="${message.subject}" sandbox="" loading="lazy" srcdoc="${message.html}"></iframe>
      </details>
    </div>
  </article>`

/** The page at `/dev/outbox`; shows the messages newest first, whatever order they come in. */
export const outboxPage = (messages: readonly OutboxMessage[]): string => {
  const newestFirst = messages.toSorted(
    (one, other) => other.createdAt.getTime() - one.createdAt.getTime() || other.id - one.id,
  )
  return brandPage({
    title: 'Skrzynka nadawcza',
    isWide: true,
    main: html`<h1>Skrzynka nadawcza</h1>
      <p class="note">Wiadomości, które serwer wysłałby w produkcji. Najnowsze na górze.</p>
      ${newestFirst.length === 0 ? html`<p>Nic jeszcze nie wysłano.</p>` : newestFirst.map(card)}`,
  })
}
