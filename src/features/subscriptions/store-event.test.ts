import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { received } from '../../../test/line-fixtures.ts'
import { propertySettings } from '../../../test/property-settings.ts'
import { storeLives } from '../../../test/store-lives.ts'
import { fromFields, toFields } from './event-fields.ts'
import { foldLine } from './fold.ts'
import { baseProductId, isKnownSubscription, packPoints, planKind } from './products.ts'
import { eventsOfReply } from './store-reply-events.ts'
import { targetOf } from './store-event.ts'

const settings = propertySettings(500)
const yearly = ['dawnotemu_annual', 'dawnotemu_yearly']

test('a product id is cut at its first colon', () => {
  const ids = ['dawnotemu_annual:p1y', 'a:b:c', 'dawnotemu_monthly', ':p1y', '', null]
  assert.deepEqual(ids.map(baseProductId), ['dawnotemu_annual', 'a', 'dawnotemu_monthly', null, null, null])
})

test('packs pay by our table, plans by the list of yearly products', () => {
  assert.deepEqual(
    ['credits_10', 'credits_20', 'credits_30', 'credits_5', 'constructor', null].map(packPoints),
    [10, 20, 30, null, null, null],
  )
  const plans = ['dawnotemu_annual', 'dawnotemu_yearly', 'dawnotemu_monthly', 'unknown', null]
  assert.deepEqual(
    plans.map((plan) => [planKind(plan, yearly), isKnownSubscription(plan, yearly)]),
    [
      ['yearly', true],
      ['yearly', true],
      ['monthly', true],
      ['monthly', false],
      ['monthly', false],
    ],
  )
})

test('what an event is about depends on type and product', () => {
  const cases: [type: string, productId: string | null, target: string][] = [
    ['TEST', null, 'test'],
    ['TRANSFER', null, 'transfer'],
    ['RENEWAL', 'dawnotemu_monthly', 'subscription'],
    ['RENEWAL', null, 'subscription'],
    ['RENEWAL', 'credits_10', 'ignored'],
    ['BILLING_ISSUE', 'credits_10', 'ignored'],
    ['NON_RENEWING_PURCHASE', 'credits_30', 'pack'],
    ['NON_RENEWING_PURCHASE', 'credits_40', 'ignored'],
    ['NON_RENEWING_PURCHASE', '__proto__', 'ignored'],
    ['CANCELLATION', 'credits_20', 'pack'],
    ['REFUND_REVERSED', 'credits_20', 'pack'],
    ['CANCELLATION', 'dawnotemu_annual', 'subscription'],
    ['VIRTUAL_CURRENCY_TRANSACTION', null, 'ignored'],
    ['renewal', null, 'ignored'],
    ['constructor', null, 'ignored'],
  ]
  for (const [type, productId, target] of cases) assert.equal(targetOf({ type, productId }), target, type)
})

test(`a stored event comes back as it was, seed ${settings.seed}`, () => {
  fc.assert(
    fc.property(storeLives({ isGappy: true }), (life) => {
      for (const [place, { body }] of life.events.entries()) {
        const event = received(body, place)
        const { receiptOrder, eventId, type, at, userId, purchaseId } = event
        const fields: unknown = JSON.parse(JSON.stringify(toFields(event)))
        assert.deepEqual(fromFields({ receiptOrder, eventId, type, at, userId, purchaseId, fields }), event)
      }
    }),
    settings,
  )
})

test('stored fields of another form are not guessed at', () => {
  const row = { receiptOrder: 4, eventId: 'a', type: 'RENEWAL', at: new Date(), userId: 1, purchaseId: null }
  for (const fields of [{}, null, [], { origin: 'webhook' }])
    assert.throws(() => fromFields({ ...row, fields }), /event 4/)
})

const entry = {
  productId: 'dawnotemu_annual',
  storeTransactionId: 'GPA.1..4',
  purchasedAt: new Date('2026-03-01T00:00:00Z'),
  originalPurchasedAt: new Date('2025-03-01T00:00:00Z'),
  expiresAt: new Date('2027-03-01T00:00:00Z'),
  graceEndsAt: new Date('2027-03-17T00:00:00Z'),
  refundedAt: new Date('2026-05-01T00:00:00Z'),
  isSandbox: true,
  store: 'play_store' as const,
}

test('a reply stands for a renewal, and for a refund where there was one', () => {
  const events = eventsOfReply({ oneOffPurchases: [], subscriptions: [entry] })
  assert.deepEqual(
    events.map(({ eventId, type, at, environment }) => [eventId, type, at.toISOString(), environment]),
    [
      ['rest:GPA.1..4', 'RENEWAL', '2026-03-01T00:00:00.000Z', 'SANDBOX'],
      ['rest:GPA.1..4:refund', 'CANCELLATION', '2026-05-01T00:00:00.000Z', 'SANDBOX'],
    ],
  )
  const place = { userId: 11, purchaseId: null, fromUserIds: [], toUserId: null }
  const line = foldLine(events.map((event, receiptOrder) => ({ ...event, ...place, receiptOrder })))
  assert.deepEqual(line.accessEndsAt, entry.expiresAt)
  assert.deepEqual(line.refunds.get('GPA.1..4'), { isRefunded: true, changedAt: entry.refundedAt })
  assert.equal(line.willRenew, true)
})

test('a reply’s entry without transaction or date stands for nothing', () => {
  const entries = [
    { ...entry, storeTransactionId: null },
    { ...entry, purchasedAt: null },
    { ...entry, storeTransactionId: 'x'.repeat(201) },
  ]
  assert.deepEqual(eventsOfReply({ oneOffPurchases: [], subscriptions: entries }), [])
})
