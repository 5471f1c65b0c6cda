import assert from 'node:assert/strict'
import { test } from 'node:test'
import { EmailError, type EmailMessage } from '../email.ts'
import { extractLinks, outboxJson, outboxPage, type OutboxMessage } from './outbox-view.ts'
import { createOutbox } from './outbox.ts'

const message: EmailMessage = {
  id: 'email-7',
  kind: 'confirm_email',
  to: 'anna@dom.pl',
  subject: 'Potwierdź adres',
  text: 'Otwórz http://localhost:8000/auth/confirm-email/Ab_-9.',
  html: '<p class="x">Otwórz &amp; <b>czytaj</b></p>',
}

const kept = (fields: Partial<OutboxMessage>): OutboxMessage => ({
  ...message,
  id: 1,
  createdAt: new Date('2026-02-03T10:00:00Z'),
  ...fields,
})

const isTransient = (error: unknown) => error instanceof EmailError && error.kind === 'transient'

test('hands the message to the store', async () => {
  const stored: EmailMessage[] = []
  const outbox = createOutbox({ store: async (given) => void stored.push(given) })
  await outbox.send(message, AbortSignal.timeout(1000))
  assert.equal(outbox.name, 'outbox')
  assert.deepEqual(stored, [message])
})

test('a failing store is transient', async () => {
  const outbox = createOutbox({ store: () => Promise.reject(new Error('connection lost')) })
  await assert.rejects(outbox.send(message, AbortSignal.timeout(1000)), isTransient)
})

test('a store that hangs is given up with the signal', async () => {
  const outbox = createOutbox({ store: () => new Promise(() => {}) })
  const controller = new AbortController()
  const sending = outbox.send(message, controller.signal)
  controller.abort()
  await assert.rejects(sending, isTransient)
})

test('an aborted signal stores nothing', async () => {
  let calls = 0
  const outbox = createOutbox({ store: async () => void (calls += 1) })
  await assert.rejects(outbox.send(message, AbortSignal.abort()), isTransient)
  assert.equal(calls, 0)
})

test('links: http, https and the app, once each, in order, without punctuation', () => {
  const text = [
    'Najpierw dawnotemu://login, potem (https://a.pl/b?c=1&d=2).',
    'Znowu dawnotemu://login! http://localhost:8000/x_-y',
    'mailto:a@b.pl ftp://c.pl javascript:alert(1)',
  ].join('\n')
  assert.deepEqual(extractLinks(text), [
    'dawnotemu://login',
    'https://a.pl/b?c=1&d=2',
    'http://localhost:8000/x_-y',
  ])
})

test('json has the keys that tools rely on', () => {
  assert.deepEqual(outboxJson(kept({})), {
    id: 1,
    kind: 'confirm_email',
    to: 'anna@dom.pl',
    subject: 'Potwierdź adres',
    text: message.text,
    html: message.html,
    created_at: '2026-02-03T10:00:00.000Z',
    links: ['http://localhost:8000/auth/confirm-email/Ab_-9'],
  })
})

test('page: newest first, links clickable, mail only inside a sandboxed frame', () => {
  const page = outboxPage([
    kept({ id: 1, subject: 'Starsza' }),
    kept({ id: 3, subject: 'Najnowsza', createdAt: new Date('2026-02-04T10:00:00Z') }),
    kept({ id: 2, subject: 'Nowsza' }),
  ])
  assert.deepEqual(
    [...page.matchAll(/<h2>(.*?)<\/h2>/g)].map(([, subject]) => subject),
    ['Najnowsza', 'Nowsza', 'Starsza'],
  )
  assert.match(page, /<a href="http:\/\/localhost:8000\/auth\/confirm-email\/Ab_-9">/)
  assert.match(page, /<iframe [^>]*sandbox="" [^>]*srcdoc="&lt;p class=&quot;x&quot;&gt;Otwórz &amp;amp; /)
  assert.doesNotMatch(page, /<b>czytaj/)
})

test('page: nothing of a mail becomes markup of the page', () => {
  const hostile = '"><script>alert(1)</script>'
  const page = outboxPage([
    kept({ subject: hostile, to: hostile, kind: hostile, text: hostile, html: hostile }),
  ])
  assert.doesNotMatch(page, /<script/)
})

test('page: says when there is nothing', () => assert.match(outboxPage([]), /Nic jeszcze nie wysłano/))
