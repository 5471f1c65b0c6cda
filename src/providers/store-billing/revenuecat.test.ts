import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import { after, afterEach, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  startRevenueCat,
  type RevenueCatServer,
  type ScriptedAnswer,
} from '../../../test/revenuecat-server.ts'
import { createRevenueCat } from './revenuecat.ts'
import type { StoreBilling, SubscriberReply } from './store-billing.ts'

let server: RevenueCatServer
let billing: StoreBilling
before(async () => {
  server = await startRevenueCat()
  billing = createRevenueCat({ baseUrl: server.url, keys: server.keys, timeoutMs: 1500 })
})
after(() => server.close())
afterEach(() => {
  server.answerAlways(null)
  assert.deepEqual(server.violations, [])
})

const never = new AbortController().signal
const fetchIos = (customerId = '7'): Promise<SubscriberReply> =>
  billing.fetchSubscriber({ customerId, platform: 'ios' }, never)
const nothing = { oneOffPurchases: [], subscriptions: [] }

test('a new customer is 201 with empty books', async () => {
  assert.deepEqual(await fetchIos('501'), { kind: 'ok', subscriber: nothing })
  assert.equal(server.requests.at(-1)?.path, '/v1/subscribers/501')
})

test('packs and subscriptions are read, and nothing else', async () => {
  server.addPack('502', 'credits_10', {
    id: 'o1_abc',
    store_transaction_id: '2000000123',
    purchase_date: '2026-03-01T10:00:00Z',
  })
  server.addPack('502', 'credits_10', { id: 'o1_def', purchase_date: 'yesterday', is_sandbox: true })
  server.setSubscription('502', 'dawnotemu_annual', {
    store_transaction_id: 'GPA.1-2..3',
    purchase_date: '2026-02-01T00:00:00Z',
    original_purchase_date: '2025-02-01T00:00:00Z',
    expires_date: '2027-02-01T00:00:00+01:00',
    grace_period_expires_date: '2027-02-17T00:00:00Z',
    refunded_at: '2026-04-01T00:00:00.250Z',
    store: 'play_store',
  })
  assert.deepEqual(await fetchIos('502'), {
    kind: 'ok',
    subscriber: {
      oneOffPurchases: [
        {
          productId: 'credits_10',
          id: 'o1_abc',
          storeTransactionId: '2000000123',
          purchasedAt: new Date('2026-03-01T10:00:00Z'),
          isSandbox: false,
        },
        {
          productId: 'credits_10',
          id: 'o1_def',
          storeTransactionId: null,
          purchasedAt: null,
          isSandbox: true,
        },
      ],
      subscriptions: [
        {
          productId: 'dawnotemu_annual',
          storeTransactionId: 'GPA.1-2..3',
          purchasedAt: new Date('2026-02-01T00:00:00Z'),
          originalPurchasedAt: new Date('2025-02-01T00:00:00Z'),
          expiresAt: new Date('2027-01-31T23:00:00Z'),
          graceEndsAt: new Date('2027-02-17T00:00:00Z'),
          refundedAt: new Date('2026-04-01T00:00:00.250Z'),
          isSandbox: false,
          store: 'play_store',
        },
      ],
    },
  })
})

test('the platform chooses the key, and the headers are the three agreed ones', async () => {
  await billing.fetchSubscriber({ customerId: '503', platform: 'android' }, never)
  const { platform, authorization, method } = server.requests.at(-1) ?? {}
  assert.deepEqual([method, platform, authorization], ['GET', 'android', `Bearer ${server.keys.android}`])
})

test('any customer id stays one path segment', async () => {
  for (const customerId of ['$RCAnonymousID:a/b?c#d', 'a b%2F', 'żółw🐢', '..a', '../7']) {
    assert.equal((await fetchIos(customerId)).kind, 'ok')
    assert.equal(server.requests.at(-1)?.customerId, customerId)
  }
  const before = server.requests.length
  for (const customerId of ['', '.', '..'])
    assert.deepEqual(await fetchIos(customerId), { kind: 'invalid', alert: false, status: null })
  assert.equal((await fetchIos('\ud800')).kind, 'ok')
  assert.equal(server.requests.length, before + 1)
})

test('a base URL may have a path and a trailing slash', async () => {
  const slashed = createRevenueCat({ baseUrl: `${server.url}/`, keys: server.keys })
  assert.equal((await slashed.fetchSubscriber({ customerId: '504', platform: 'ios' }, never)).kind, 'ok')
})

const html = '<html><body>Bad gateway</body></html>'
const unavailable: [name: string, answer: ScriptedAnswer, status: number | null][] = [
  ['429', { status: 429, headers: { 'retry-after': '1' } }, 429],
  ['500', { status: 500 }, 500],
  ['502 with HTML', { status: 502, body: html }, 502],
  ['HTML 200', { status: 200, body: html }, 200],
  ['HTML 201', { status: 201, body: html }, 201],
  ['an empty 200', { status: 200, body: '' }, 200],
  [
    '200 with half a document',
    { status: 200, body: '{"subscriber": {', contentType: 'application/json' },
    200,
  ],
  ['200 with a JSON list', { status: 200, body: [] }, 200],
  ['200 with a JSON text', { status: 200, body: '"ok"', contentType: 'application/json' }, 200],
  ['200 with 4.5 MB', { status: 200, body: 'x'.repeat(4_500_000) }, 200],
  ['a connection cut before the head', { cut: 'head' }, null],
  ['a connection cut in the body', { cut: 'body' }, null],
  ['an answer after the deadline', { delayMs: 5000 }, null],
]
for (const [name, answer, status] of unavailable)
  test(`unavailable: ${name}, without a second request`, async () => {
    const before = server.requests.length
    server.answer(answer)
    assert.deepEqual(await fetchIos(), { kind: 'unavailable', status })
    assert.equal(server.requests.length, before + 1)
  })

test('unavailable: nobody listens', async () => {
  const gone = createRevenueCat({ baseUrl: 'http://127.0.0.1:1', keys: server.keys })
  const answer = await gone.fetchSubscriber({ customerId: '7', platform: 'ios' }, never)
  assert.deepEqual(answer, { kind: 'unavailable', status: null })
})

test('unavailable: a body that never ends is left at the deadline', async () => {
  const dripping = createServer((_request, response) => {
    response.writeHead(200, { 'content-type': 'application/json' }).write('{"subscriber":')
  })
  await new Promise<void>((resolve) => dripping.listen(0, '127.0.0.1', resolve))
  const address = dripping.address()
  assert.ok(typeof address === 'object' && address)
  const slow = createRevenueCat({
    baseUrl: `http://127.0.0.1:${address.port}`,
    keys: server.keys,
    timeoutMs: 100,
  })
  const answer = await slow.fetchSubscriber({ customerId: '7', platform: 'ios' }, never)
  assert.deepEqual(answer, { kind: 'unavailable', status: null })
  dripping.closeAllConnections()
  await new Promise((done) => dripping.close(done))
})

for (const [status, alert] of [
  [400, false],
  [401, true],
  [403, true],
  [404, false],
  [204, false],
  [410, false],
] as const)
  test(`invalid: ${status}${alert ? ', with an alert' : ''}`, async () => {
    server.answer({ status, ...(status === 204 ? { body: '' } : {}) })
    assert.deepEqual(await fetchIos(), { kind: 'invalid', alert, status })
  })

for (const status of [301, 302, 307, 308])
  test(`invalid: a redirect ${status} is not followed`, async () => {
    const before = server.requests.length
    server.answer({ status, headers: { location: '/v1/subscribers/1' } })
    assert.deepEqual(await fetchIos(), { kind: 'invalid', alert: false, status })
    assert.equal(server.requests.length, before + 1)
  })

test('invalid: no key for the platform, no request', async () => {
  const onlyIos = createRevenueCat({ baseUrl: server.url, keys: { ios: server.keys.ios, android: null } })
  const before = server.requests.length
  const answer = await onlyIos.fetchSubscriber({ customerId: '7', platform: 'android' }, never)
  assert.deepEqual(answer, { kind: 'invalid', alert: false, status: null })
  assert.deepEqual([onlyIos.hasKey('ios'), onlyIos.hasKey('android')], [true, false])
  assert.equal(server.requests.length, before)
})

const oddShapes: [name: string, body: object][] = [
  ['nothing', {}],
  ['a null subscriber', { subscriber: null }],
  ['a list for a subscriber', { subscriber: [] }],
  ['levels of other types', { subscriber: { non_subscriptions: [], subscriptions: 'none' } }],
  ['a bucket that is no list', { subscriber: { non_subscriptions: { credits_10: { id: 'a' } } } }],
  ['entries that are no objects', { subscriber: { non_subscriptions: { credits_10: [null, 1, []] } } }],
  ['a subscription that is no object', { subscriber: { subscriptions: { dawnotemu_monthly: 5 } } }],
]
for (const [name, body] of oddShapes)
  test(`other shapes are empty: ${name}`, async () => {
    server.answer({ status: 200, body })
    assert.deepEqual(await fetchIos(), { kind: 'ok', subscriber: nothing })
  })

test('fields of other types are missing, numeric ids are text', async () => {
  const entry = { id: 12, store_transaction_id: {}, purchase_date: 1234, is_sandbox: 'no' }
  const period = {
    store: 'stripe',
    expires_date: null,
    purchase_date: '2026-01-01',
    refunded_at: '2026-13-01T00:00:00Z',
  }
  server.answer({
    status: 200,
    body: { subscriber: { non_subscriptions: { credits_20: [entry] }, subscriptions: { x: period } } },
  })
  const answer = await fetchIos()
  assert.ok(answer.kind === 'ok')
  const { oneOffPurchases, subscriptions } = answer.subscriber
  assert.deepEqual(oneOffPurchases, [
    { productId: 'credits_20', id: '12', storeTransactionId: null, purchasedAt: null, isSandbox: false },
  ])
  assert.deepEqual(new Set(Object.values(subscriptions[0] ?? {})), new Set(['x', null, false]))
})

test('the caller’s abort rejects with its reason, before and during the call', async () => {
  const reason = new Error('shutting down')
  const request = { customerId: '7', platform: 'ios' } as const
  await assert.rejects(billing.fetchSubscriber(request, AbortSignal.abort(reason)), reason)
  server.answer({ delayMs: 2000 })
  const controller = new AbortController()
  const pending = billing.fetchSubscriber(request, controller.signal)
  await sleep(50)
  controller.abort(reason)
  await assert.rejects(pending, reason)
})

test('by default the deadline is 10 s', async (t) => {
  const limits: number[] = []
  const timeout = AbortSignal.timeout.bind(AbortSignal)
  t.mock.method(AbortSignal, 'timeout', (ms: number) => {
    limits.push(ms)
    return timeout(ms)
  })
  const standard = createRevenueCat({ baseUrl: server.url, keys: server.keys })
  assert.equal((await standard.fetchSubscriber({ customerId: '7', platform: 'ios' }, never)).kind, 'ok')
  assert.deepEqual(limits, [10_000])
})
