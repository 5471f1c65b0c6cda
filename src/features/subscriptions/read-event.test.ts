import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { propertySettings } from '../../../test/property-settings.ts'
import { readEvent, readWebhookBody, type EventReading } from './read-event.ts'
import type { StoreEvent } from './store-event.ts'

const receivedAt = new Date('2026-05-01T12:00:00.000Z')
const settings = propertySettings()

const read = (fields: Record<string, unknown>): StoreEvent => {
  const reading = readEvent({ event: { id: 'e1', type: 'RENEWAL', ...fields } }, receivedAt)
  assert.ok(reading.kind === 'event', JSON.stringify(reading))
  return reading.event
}

const refusal = (reading: EventReading): string | null => (reading.kind === 'refused' ? reading.error : null)

const bodies: [refusal: string | null, raw: string | Uint8Array][] = [
  ['Invalid JSON payload', ''],
  ['Invalid JSON payload', ' '],
  ['Invalid JSON payload', '{'],
  ['Invalid JSON payload', 'event=1'],
  ['Invalid JSON payload', '{"event":{"id":"a","type":NaN}}'],
  ['Invalid JSON payload', new Uint8Array([0x22, 0xff, 0x22])],
  ['Invalid payload', 'null'],
  ['Invalid payload', 'false'],
  ['Invalid payload', 'true'],
  ['Invalid payload', '0'],
  ['Invalid payload', '7'],
  ['Invalid payload', '""'],
  ['Invalid payload', '"event"'],
  ['Invalid payload', '[]'],
  ['Invalid payload', '[{"event":{"id":"a","type":"TEST"}}]'],
  ['Invalid payload', '{}'],
  ['Missing event object', '{"api_version":"1.0"}'],
  ['Missing event object', '{"event":null}'],
  ['Missing event object', '{"event":[]}'],
  ['Missing event object', '{"event":"TEST"}'],
  ['Missing event object', '{"__proto__":{"event":{"id":"a","type":"TEST"}}}'],
  ['Missing event id', '{"event":{}}'],
  ['Missing event id', '{"event":{"type":"TEST"}}'],
  ['Missing event id', '{"event":{"id":"","type":"TEST"}}'],
  ['Missing event id', '{"event":{"id":null,"type":null}}'],
  ['Invalid event id', '{"event":{"id":5,"type":"TEST"}}'],
  ['Invalid event id', '{"event":{"id":["a"],"type":"TEST"}}'],
  ['Invalid event id', '{"event":{"id":false,"type":"TEST"}}'],
  ['Invalid event id', `{"event":{"id":"${'x'.repeat(256)}","type":"TEST"}}`],
  ['Invalid event id', `{"event":{"id":"${'x'.repeat(300)}"}}`],
  ['Invalid event id', '{"event":{"id":"a\\u0000b","type":"TEST"}}'],
  ['Invalid event id', '{"event":{"id":"\\ud800","type":"TEST"}}'],
  ['Invalid event type', '{"event":{"id":"a"}}'],
  ['Invalid event type', '{"event":{"id":"a","type":null}}'],
  ['Invalid event type', '{"event":{"id":"a","type":""}}'],
  ['Invalid event type', '{"event":{"id":"a","type":3}}'],
  ['Invalid event type', `{"event":{"id":"a","type":"${'T'.repeat(51)}"}}`],
  [null, '{"event":{"id":"a","type":"TEST"}}'],
  [null, new TextEncoder().encode('{"event":{"id":"ą","type":"SOMETHING_NEW"}}')],
  [null, `{"event":{"id":"${'x'.repeat(255)}","type":"${'T'.repeat(50)}"}}`],
  [null, `{"event":{"id":"${'🐢'.repeat(255)}","type":"TEST"}}`],
]
for (const [expected, raw] of bodies)
  test(`body: ${String(raw).slice(0, 60)} → ${expected ?? 'accepted'}`, () => {
    assert.equal(refusal(readWebhookBody(raw, receivedAt)), expected)
  })

test('a purchase event is read whole, and only what is kept of it', () => {
  const sent = {
    id: '12345678-1234-1234-1234-123456789012',
    type: 'INITIAL_PURCHASE',
    event_timestamp_ms: 1767225600123,
    app_user_id: '7',
    original_app_user_id: '$RCAnonymousID:1',
    aliases: ['7', '$RCAnonymousID:2', 9, null, ''],
    product_id: 'dawnotemu_annual:p1y',
    new_product_id: 'dawnotemu_monthly:x:y',
    transaction_id: 'GPA.1..0',
    original_transaction_id: 'GPA.1',
    purchased_at_ms: 1767225600000,
    expiration_at_ms: '1798761600000',
    grace_period_expiration_at_ms: 1800000000000.9,
    auto_resume_at_ms: null,
    period_type: 'TRIAL',
    cancel_reason: 'UNSUBSCRIBE',
    expiration_reason: 'BILLING_ERROR',
    store: 'PLAY_STORE',
    environment: 'SANDBOX',
    price: -4.99,
    currency: 'PLN',
    transferred_from: ['only in a TRANSFER'],
    subscriber_attributes: { $email: { value: 'somebody@example.com' } },
    presented_offering_id: 'x',
  }
  const reading = readWebhookBody(JSON.stringify({ api_version: '1.0', event: sent }), receivedAt)
  assert.deepEqual(reading, {
    kind: 'event',
    customerIds: ['7', '$RCAnonymousID:1', '$RCAnonymousID:2', '9'],
    event: {
      eventId: '12345678-1234-1234-1234-123456789012',
      type: 'INITIAL_PURCHASE',
      at: new Date('2026-01-01T00:00:00.123Z'),
      origin: 'webhook',
      productId: 'dawnotemu_annual',
      newProductId: 'dawnotemu_monthly',
      transactionId: 'GPA.1..0',
      originalTransactionId: 'GPA.1',
      purchasedAt: new Date('2026-01-01T00:00:00.000Z'),
      expiresAt: new Date('2027-01-01T00:00:00.000Z'),
      graceEndsAt: new Date(1800000000000),
      resumesAt: null,
      periodType: 'TRIAL',
      cancelReason: 'UNSUBSCRIBE',
      expirationReason: 'BILLING_ERROR',
      store: 'play_store',
      environment: 'SANDBOX',
      price: -4.99,
      currency: 'PLN',
      transferredFrom: [],
      transferredTo: [],
    },
  })
})

const instants: [value: unknown, expected: number | null][] = [
  [1577836800000, 1577836800000],
  [1577836799999, null],
  [4102444800000, 4102444800000],
  [4102444800000.7, 4102444800000],
  [4102444800001, null],
  ['1577836800000', 1577836800000],
  ['4102444800001', null],
  ['1577836800000.5', null],
  ['1.6e12', null],
  [' 1577836800000', null],
  ['', null],
  ['soon', null],
  [0, null],
  [-1600000000000, null],
  [1e9, null],
  [5e12, null],
  [Number.POSITIVE_INFINITY, null],
  [Number.NaN, null],
  [true, null],
  [null, null],
  [[1600000000000], null],
  [{}, null],
]
for (const [value, expected] of instants)
  test(`milliseconds: ${JSON.stringify(value)} → ${expected ?? 'missing'}`, () => {
    const event = read({ expiration_at_ms: value, event_timestamp_ms: value })
    assert.equal(event.expiresAt?.getTime() ?? null, expected)
    assert.equal(event.at.getTime(), expected ?? receivedAt.getTime())
  })

test('an infinite number in the body is a missing field', () => {
  const raw = '{"event":{"id":"a","type":"RENEWAL","expiration_at_ms":1e999,"price":-1e999}}'
  const reading = readWebhookBody(raw, receivedAt)
  assert.ok(reading.kind === 'event')
  assert.deepEqual([reading.event.expiresAt, reading.event.price], [null, null])
})

test('stores: two are known, others are other, none is null', () => {
  const names = ['APP_STORE', 'MAC_APP_STORE', 'PLAY_STORE', 'STRIPE', 'app_store', '', null, undefined, 4]
  assert.deepEqual(
    names.map((store) => read({ store }).store),
    ['app_store', 'app_store', 'play_store', 'other', 'other', null, null, null, null],
  )
})

test('no environment is production', () => {
  const environments = ['SANDBOX', 'PRODUCTION', undefined, null, 'other']
  assert.deepEqual(
    environments.map((environment) => read({ environment }).environment),
    ['SANDBOX', 'PRODUCTION', 'PRODUCTION', 'PRODUCTION', 'PRODUCTION'],
  )
})

test('fields of a wrong form are missing; a product of 200 characters is not', () => {
  const event = read({
    product_id: 5,
    transaction_id: { a: 1 },
    currency: 'P\0N',
    period_type: '\udc00',
    price: '1',
  })
  const { productId, transactionId, currency, periodType, price } = event
  assert.deepEqual([productId, transactionId, currency, periodType, price], [null, null, null, null, null])
  assert.equal(read({ product_id: 'p'.repeat(200) }).productId, 'p'.repeat(200))
  assert.deepEqual([read({ product_id: '' }).productId, read({ product_id: ':p1y' }).productId], [null, null])
  assert.equal(read({ transaction_id: 200001 }).transactionId, '200001')
})

test('a TRANSFER keeps the customers of both sides', () => {
  const event = read({
    type: 'TRANSFER',
    transferred_from: ['7', '7', 8, {}, null],
    transferred_to: 'nobody',
  })
  assert.deepEqual([event.transferredFrom, event.transferredTo], [['7', '8'], []])
})

test(`reading never throws and never makes up a form, seed ${settings.seed}`, () => {
  const names = Object.keys(read({})).map((name) =>
    name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`),
  )
  const keys = [
    ...names,
    'id',
    'aliases',
    'app_user_id',
    'expiration_at_ms',
    'event_timestamp_ms',
    '__proto__',
  ]
  const odd = fc.oneof(fc.jsonValue(), fc.double(), fc.string({ unit: 'binary' }), fc.anything())
  const event = fc.dictionary(fc.constantFrom(...keys), odd)
  const body = fc.oneof(
    odd,
    fc.record({ event: fc.oneof(odd, event) }),
    event.map((more) => ({ event: { id: 'a', type: 'X', ...more } })),
  )
  fc.assert(
    fc.property(body, (value) => {
      const reading = readEvent(value, receivedAt)
      if (reading.kind === 'refused') return
      const { at, price, eventId } = reading.event
      assert.ok(!Number.isNaN(at.getTime()) && (price === null || Number.isFinite(price)))
      assert.ok(eventId !== '' && [...eventId].length <= 255)
      const texts = JSON.stringify(reading)
      assert.ok(!texts.includes(String.raw`\u0000`))
    }),
    settings,
  )
})

test(`reading raw bytes never throws, seed ${settings.seed}`, () => {
  fc.assert(
    fc.property(fc.oneof(fc.uint8Array({ maxLength: 200 }), fc.json(), fc.string()), (raw) => {
      assert.ok(readWebhookBody(raw, receivedAt))
    }),
    settings,
  )
  const deep = '['.repeat(120_000) + ']'.repeat(120_000)
  assert.equal(refusal(readWebhookBody(`{"event":${deep}}`, receivedAt)), 'Missing event object')
})
