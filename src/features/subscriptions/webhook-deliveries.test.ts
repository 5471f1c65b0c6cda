import assert from 'node:assert/strict'
import { after, before, suite, test } from 'node:test'
import { count, rows } from '../../../test/account-scene.ts'
import type { Answer } from '../../../test/app.ts'
import {
  appleLine,
  envelope,
  purchase,
  startWebhooks,
  type WebhookScene,
} from '../../../test/webhook-scene.ts'

const assertRefused = (answer: Answer, status: number, error: string): void => {
  assert.equal(answer.status, status, answer.text)
  assert.deepEqual(answer.body, { error })
}

suite('what a delivery does', () => {
  let scene: WebhookScene
  before(async () => {
    scene = await startWebhooks()
  })
  after(() => scene.close())

  test('row 8: TEST needs no user and stores nothing, repeated too', async () => {
    for (const _ of [1, 2]) assert.equal(await scene.send({ type: 'TEST', id: 'test-1' }), 'ok')
    assert.equal(await count(scene.app, "webhook_events where event_type = 'TEST'"), 0)
  })

  test('row 9: an unknown user is 404, leaves no row, and the same id works once they exist', async () => {
    const [{ next }] = (await rows<{ next: number }>(
      scene.app,
      'select coalesce(max(id), 0) + 1 as next from users',
    )) as [{ next: number }]
    const event = purchase(appleLine({ id: next }), 'INITIAL_PURCHASE', { startMs: Date.now() })
    const body = envelope(event)
    assertRefused(await scene.deliver(body), 404, 'user_not_found')
    assert.equal(await count(scene.app, 'webhook_events where event_id = $1', [body.event['id']]), 0)
    const account = await scene.account()
    assert.equal(account.id, next)
    assert.equal((await scene.deliver(body)).body['status'], 'processed')
    assert.equal(await scene.balance(account), 26)
  })

  test('rows 10 and 13: the second delivery of an id does nothing', async () => {
    const account = await scene.account()
    const body = envelope(purchase(appleLine(account), 'INITIAL_PURCHASE', { startMs: Date.now() }))
    assert.deepEqual((await scene.deliver(body)).body, { status: 'processed' })
    assert.deepEqual((await scene.deliver(body)).body, { status: 'already_processed' })
    assert.equal(await scene.balance(account), 26)
  })

  test('six deliveries at once pay once', async () => {
    const account = await scene.account()
    const body = envelope(purchase(appleLine(account), 'INITIAL_PURCHASE', { startMs: Date.now() }))
    const answers = await Promise.all(Array.from({ length: 6 }, () => scene.deliver(body)))
    assert.deepEqual(answers.map((answer) => answer.body['status']).sort(), [
      ...Array.from({ length: 5 }, () => 'already_processed'),
      'processed',
    ])
    assert.deepEqual(
      (await scene.ledger(account)).map(({ amount, reason }) => [amount, reason]),
      [[26, 'subscription_initial_purchase']],
    )
  })

  test('six event ids of one transaction at once pay once (B-L11)', async () => {
    const account = await scene.account()
    const event = purchase(appleLine(account), 'INITIAL_PURCHASE', { startMs: Date.now() })
    const statuses = await Promise.all(Array.from({ length: 6 }, () => scene.send(event)))
    assert.deepEqual([...new Set(statuses)], ['processed'])
    assert.equal(await scene.balance(account), 26)
  })

  test('row 12: an unknown type is stored without purchase data', async () => {
    const account = await scene.account()
    const event = { ...purchase(appleLine(account), 'RENEWAL', { startMs: Date.now() }), id: 'odd-1' }
    assert.equal(await scene.send({ ...event, type: 'VIRTUAL_CURRENCY_TRANSACTION' }), 'ignored')
    const stored = (await scene.storedEvents()).find(({ event_id: id }) => id === 'odd-1')
    assert.deepEqual(stored, {
      event_id: 'odd-1',
      event_type: 'VIRTUAL_CURRENCY_TRANSACTION',
      outcome: 'ignored',
      fields: {},
    })
    assert.equal(await scene.send({ ...event, type: 'RENEWAL' }), 'already_processed')
    assert.deepEqual(await scene.ledger(account), [])
  })

  for (const [name, event] of [
    ['a pack id in a subscription event', { type: 'RENEWAL', product_id: 'credits_10' }],
    ['another one-off product', { type: 'NON_RENEWING_PURCHASE', product_id: 'sticker_book' }],
    ['a pack refund without transaction', { type: 'CANCELLATION', product_id: 'credits_10' }],
  ] as const)
    test(`row 12: ${name} is ignored`, async () => {
      const account = await scene.account()
      assert.equal(await scene.send({ ...event, app_user_id: String(account.id) }), 'ignored')
      assert.deepEqual(await scene.ledger(account), [])
    })

  for (const status of ['deleting', 'deleted'])
    test(`row 12: a user who is ${status}`, async () => {
      const account = await scene.account()
      await rows(
        scene.app,
        `update users set status = $2::text, email = case when $2 = 'deleted' then null else email end,
           password_hash = case when $2 = 'deleted' then null else password_hash end,
           revenuecat_app_user_id = case when $2 = 'deleted' then null else revenuecat_app_user_id end
         where id = $1`,
        [account.id, status],
      )
      const event = purchase(appleLine(account), 'INITIAL_PURCHASE', { startMs: Date.now() })
      assert.equal(await scene.send(event), 'ignored')
      assert.deepEqual(await scene.ledger(account), [])
      const stored = await rows(scene.app, 'select outcome, fields from webhook_events where user_id = $1', [
        account.id,
      ])
      assert.deepEqual(stored, [{ outcome: 'ignored', fields: {} }])
    })

  test('nothing of the attributes is stored (B-L39)', async () => {
    const account = await scene.account()
    await scene.send(purchase(appleLine(account), 'INITIAL_PURCHASE', { startMs: Date.now() }))
    assert.ok(!JSON.stringify(await scene.storedEvents()).includes('ktos@example.com'))
  })

  test('a long product id is no 500 (B-L17)', async () => {
    scene.app.expectErrors()
    const account = await scene.account()
    const event = purchase(appleLine(account, 'x'.repeat(200)), 'INITIAL_PURCHASE', { startMs: Date.now() })
    assert.equal(await scene.send({ ...event, transaction_id: 't'.repeat(20_000) }), 'processed')
    assert.equal(await scene.balance(account), 26)
    assert.ok(scene.app.lines.some(({ message }) => message.startsWith('unknown subscription product')))
  })
})
