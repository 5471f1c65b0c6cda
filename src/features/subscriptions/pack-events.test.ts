import assert from 'node:assert/strict'
import { after, before, suite, test } from 'node:test'
import { rows } from '../../../test/account-scene.ts'
import type { Account } from '../../../test/app.ts'
import {
  appleLine,
  dayMs,
  purchase,
  startWebhooks,
  type EventFields,
  type WebhookScene,
} from '../../../test/webhook-scene.ts'

const start = Date.now() - 5 * dayMs

suite('packs in the webhook', () => {
  let scene: WebhookScene
  before(async () => {
    scene = await startWebhooks()
  })
  after(() => scene.close())

  let serial = 0
  const pack = (account: Account, productId = 'credits_20') => {
    serial += 1
    const shared = {
      ...appleLine(account, productId),
      transaction_id: `pack-${serial}`,
      original_transaction_id: `pack-${serial}`,
    }
    const event = (type: string, day: number, more: Record<string, unknown> = {}): EventFields => ({
      ...shared,
      type,
      event_timestamp_ms: start + day * dayMs,
      ...more,
    })
    return {
      buy: event('NON_RENEWING_PURCHASE', 1, { purchased_at_ms: start + dayMs }),
      refund: event('CANCELLATION', 2, { cancel_reason: 'CUSTOMER_SUPPORT', price: -9.99 }),
      plainCancellation: event('CANCELLATION', 2),
      reverse: event('REFUND_REVERSED', 3),
    }
  }

  /** A subscriber; the 26 points of the subscription are left out of `points`. */
  const subscriber = async () => {
    const account = await scene.account()
    await scene.send(purchase(appleLine(account), 'INITIAL_PURCHASE', { startMs: start }))
    return { account, points: async () => (await scene.balance(account)) - 26 }
  }

  test('a pack is granted once, and the store is asked about others', async () => {
    const { account, points } = await subscriber()
    const { buy } = pack(account, 'credits_30:base')
    assert.equal(await scene.send(buy), 'processed')
    assert.equal(await scene.send(buy), 'processed')
    assert.equal(await points(), 30)
    const ledger = await scene.ledger(account)
    assert.equal(ledger.at(-1)?.reason, 'addon:credits_30')
    const jobs = await rows(
      scene.app,
      `select 1 from pgboss.job where name = 'subscriptions.reconcile' and data = $1`,
      [{ user_id: account.id }],
    )
    assert.equal(jobs.length, 1, 'one job serves both')
  })

  test('no event of a pack touches the subscription (B-L21)', async () => {
    const { account } = await subscriber()
    const before = await scene.user(account)
    const { buy, refund, plainCancellation, reverse } = pack(account)
    for (const event of [buy, plainCancellation, refund, reverse]) await scene.send(event)
    assert.deepEqual(await scene.user(account), before)
  })

  test('any CANCELLATION of a pack takes back the unspent part only (B-L21)', async () => {
    const { account, points } = await subscriber()
    const { buy, plainCancellation } = pack(account)
    await scene.send(buy)
    const { credits, database } = scene.app.app
    await database.transaction((tx) =>
      credits.debit(tx, { userId: account.id, amount: 31, reason: 'audio_synthesis:1' }),
    )
    assert.equal(await points(), -11)
    await scene.send(plainCancellation)
    assert.equal(await points(), -26)
  })

  test('a refund before the purchase: never granted', async () => {
    const { account, points } = await subscriber()
    const { buy, refund } = pack(account)
    await scene.send(refund)
    await scene.send(buy)
    assert.equal(await points(), 0)
    assert.deepEqual((await scene.ledger(account)).length, 1)
  })

  test('a refund without product before the purchase: never granted', async () => {
    const { account, points } = await subscriber()
    const { buy, refund } = pack(account)
    await scene.send({ ...refund, product_id: undefined, original_transaction_id: undefined })
    await scene.send(buy)
    assert.equal(await points(), 0)
  })

  test('a refund without product after the purchase is the pack’s', async () => {
    const { account, points } = await subscriber()
    const { buy, refund } = pack(account)
    await scene.send(buy)
    await scene.send({ ...refund, product_id: undefined })
    assert.equal(await points(), 0)
    assert.equal((await scene.user(account)).subscription_will_renew, true)
  })

  const orders = [
    ['buy', 'refund', 'reverse'],
    ['buy', 'reverse', 'refund'],
    ['refund', 'buy', 'reverse'],
    ['refund', 'reverse', 'buy'],
    ['reverse', 'buy', 'refund'],
    ['reverse', 'refund', 'buy'],
  ] as const
  for (const order of orders)
    test(`${order.join(', ')}: the last by the store's clock is the reversal`, async () => {
      const { account, points } = await subscriber()
      const events = pack(account)
      for (const name of order) await scene.send(events[name])
      assert.equal(await points(), 20)
    })

  test('paid but not entitled is kept without points', async () => {
    const account = await scene.account()
    const { buy } = pack(account)
    assert.equal(await scene.send(buy), 'processed')
    assert.deepEqual(await scene.ledger(account), [])
    const purchases = await rows(
      scene.app,
      'select kind, product_id, points, not_granted_reason from store_purchases where user_id = $1',
      [account.id],
    )
    assert.deepEqual(purchases, [
      { kind: 'pack', product_id: 'credits_20', points: null, not_granted_reason: 'not_entitled' },
    ])
  })

  test('a pack of another account is not paid again', async () => {
    const [first, second] = [await subscriber(), await subscriber()]
    const { buy } = pack(first.account)
    await scene.send(buy)
    await scene.send({ ...buy, app_user_id: String(second.account.id), aliases: [] })
    assert.deepEqual([await first.points(), await second.points()], [20, 0])
  })

  test('a purchase event without transaction id', async () => {
    const { account, points } = await subscriber()
    const { buy } = pack(account)
    await scene.send({ ...buy, transaction_id: undefined, original_transaction_id: undefined })
    assert.equal(await points(), 20)
  })
})
