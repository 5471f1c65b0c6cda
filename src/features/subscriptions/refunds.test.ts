import assert from 'node:assert/strict'
import { after, before, suite, test } from 'node:test'
import { rows } from '../../../test/account-scene.ts'
import {
  appleLine,
  dayMs,
  purchase,
  startWebhooks,
  type EventFields,
  type WebhookScene,
} from '../../../test/webhook-scene.ts'

const start = Date.now() - 5 * dayMs

/** All orders of the items. */
const permutations = <T>(items: readonly T[]): T[][] =>
  items.length < 2
    ? [[...items]]
    : items.flatMap((item, at) => permutations(items.toSpliced(at, 1)).map((rest) => [item, ...rest]))

suite('refunds of subscriptions', () => {
  let scene: WebhookScene
  before(async () => {
    scene = await startWebhooks()
  })
  after(() => scene.close())

  const life = (line: Record<string, unknown>): Record<'buy' | 'refund' | 'reverse', EventFields> => {
    const buy = purchase(line, 'INITIAL_PURCHASE', { startMs: start })
    const named = { ...line, transaction_id: buy['transaction_id'] }
    const support = { cancel_reason: 'CUSTOMER_SUPPORT', price: -29.99 }
    return {
      buy,
      refund: { ...named, ...support, type: 'CANCELLATION', event_timestamp_ms: start + dayMs },
      reverse: {
        ...named,
        type: 'REFUND_REVERSED',
        expiration_at_ms: buy['expiration_at_ms'],
        event_timestamp_ms: start + 2 * dayMs,
      },
    }
  }

  for (const order of permutations(['buy', 'refund'] as const))
    test(`${order.join(', ')}: no points are left`, async () => {
      const account = await scene.account()
      const events = life(appleLine(account))
      for (const name of order) assert.equal(await scene.send(events[name]), 'processed')
      assert.equal(await scene.balance(account), 0)
      const user = await scene.user(account)
      assert.deepEqual([user.subscription_active, user.subscription_will_renew], [true, true])
      const ledger = await scene.ledger(account)
      assert.deepEqual(
        ledger.map(({ type, amount, reason }) => [type, amount, reason]),
        order[0] === 'buy'
          ? [
              ['credit', 26, 'subscription_initial_purchase'],
              ['expire', -26, 'store_refund'],
            ]
          : [],
      )
    })

  for (const order of permutations(['buy', 'refund', 'reverse'] as const))
    test(`${order.join(', ')}: the points are there`, async () => {
      const account = await scene.account()
      const events = life(appleLine(account))
      for (const name of order) assert.equal(await scene.send(events[name]), 'processed')
      assert.equal(await scene.balance(account), 26)
      assert.equal((await scene.user(account)).subscription_active, true)
    })

  test('a price below zero is a refund whatever the reason', async () => {
    const account = await scene.account()
    const { buy, refund } = life(appleLine(account))
    await scene.send(buy)
    await scene.send({ ...refund, cancel_reason: 'UNKNOWN' })
    assert.equal(await scene.balance(account), 0)
    assert.equal((await scene.user(account)).subscription_will_renew, false)
  })

  test('what was spent stays spent, the balance never goes below zero', async () => {
    const account = await scene.account()
    const { buy, refund, reverse } = life(appleLine(account))
    await scene.send(buy)
    const { credits, database } = scene.app.app
    await database.transaction((tx) =>
      credits.debit(tx, { userId: account.id, amount: 20, reason: 'audio_synthesis:1' }),
    )
    await scene.send(refund)
    assert.equal(await scene.balance(account), 0)
    await scene.send(reverse)
    assert.equal(await scene.balance(account), 6)
  })

  test('a refund told in another line than the purchase takes the points back', async () => {
    const account = await scene.account()
    const line = appleLine(account)
    const { buy, refund } = life(line)
    await scene.send({ ...buy, original_transaction_id: undefined })
    assert.equal(await scene.balance(account), 26)
    await scene.send(refund)
    assert.equal(await scene.balance(account), 0)
  })

  test('the refund of an older transaction leaves the current one', async () => {
    const account = await scene.account()
    const line = appleLine(account)
    const { buy, refund } = life(line)
    await scene.send(buy)
    await scene.send(purchase(line, 'RENEWAL', { n: 1, startMs: start + dayMs }))
    await scene.send({ ...refund, event_timestamp_ms: start + 3 * dayMs })
    assert.equal(await scene.balance(account), 26)
  })
})

suite('TRANSFER', () => {
  let scene: WebhookScene
  before(async () => {
    scene = await startWebhooks()
  })
  after(() => scene.close())

  const transfer = (from: string[], to: string[], day: number, store?: string): EventFields => ({
    type: 'TRANSFER',
    transferred_from: from,
    transferred_to: to,
    event_timestamp_ms: start + day * dayMs,
    ...(store === undefined ? {} : { store }),
  })

  test('moves the subscription, not the points; renewals go to the new owner (B-L23)', async () => {
    const [from, to] = [await scene.account(), await scene.account()]
    const line = appleLine(from)
    const bought = purchase(line, 'INITIAL_PURCHASE', { startMs: start })
    await scene.send(bought)
    assert.equal(
      await scene.send(transfer([String(from.id)], ['$RCAnonymousID:x', String(to.id)], 1, 'APP_STORE')),
      'processed',
    )
    assert.equal((await scene.user(from)).subscription_active, false)
    assert.equal((await scene.user(from)).subscription_plan, null)
    assert.equal((await scene.user(to)).subscription_active, true)
    assert.deepEqual([await scene.balance(from), await scene.balance(to)], [26, 0])
    // The same transaction under the new owner's name pays nobody again.
    await scene.send({ ...bought, type: 'RENEWAL', app_user_id: String(to.id) })
    assert.deepEqual([await scene.balance(from), await scene.balance(to)], [26, 0])
    const renewed = purchase({ ...line, app_user_id: String(to.id) }, 'RENEWAL', {
      n: 1,
      startMs: start + 2 * dayMs,
    })
    await scene.send(renewed)
    assert.deepEqual([await scene.balance(from), await scene.balance(to)], [26, 26])
    const jobs = await rows(
      scene.app,
      `select 1 from pgboss.job where name = 'subscriptions.reconcile' and data = $1`,
      [{ user_id: to.id }],
    )
    assert.equal(jobs.length, 1)
  })

  test('of one store leaves lines of the other; without a store it takes all', async () => {
    const [from, to] = [await scene.account(), await scene.account()]
    const apple = appleLine(from)
    const google = { ...appleLine(from), store: 'PLAY_STORE' }
    await scene.send(purchase(apple, 'INITIAL_PURCHASE', { startMs: start }))
    await scene.send(purchase(google, 'INITIAL_PURCHASE', { startMs: start, days: 40 }))
    await scene.send(transfer([String(from.id)], [String(to.id)], 1, 'PLAY_STORE'))
    assert.equal((await scene.user(from)).subscription_source, 'app_store')
    assert.equal((await scene.user(to)).subscription_source, 'play_store')
    await scene.send(transfer([String(from.id)], [String(to.id)], 2))
    assert.equal((await scene.user(from)).subscription_active, false)
  })

  test('to somebody unknown and on to a user, in either order of arrival', async () => {
    for (const isReversed of [false, true]) {
      const [from, to] = [await scene.account(), await scene.account()]
      const between = `$RCAnonymousID:${from.id}`
      await scene.send(purchase(appleLine(from), 'INITIAL_PURCHASE', { startMs: start }))
      const moves = [transfer([String(from.id)], [between], 1), transfer([between], [String(to.id)], 2)]
      for (const move of isReversed ? moves.toReversed() : moves)
        assert.equal(await scene.send(move), 'processed')
      assert.equal((await scene.user(from)).subscription_active, false)
      assert.equal((await scene.user(to)).subscription_active, true, `reversed: ${isReversed}`)
    }
  })

  test('between strangers is 404 and stores nothing', async () => {
    const event = { ...transfer(['$RCAnonymousID:p'], ['$RCAnonymousID:q'], 1), id: 'strangers' }
    const answer = await scene.deliver({ event })
    assert.deepEqual([answer.status, answer.body], [404, { error: 'user_not_found' }])
    assert.ok(!(await scene.storedEvents()).some(({ event_id: id }) => id === 'strangers'))
  })

  test('a TRANSFER that arrives before the purchase it follows', async () => {
    const [from, to] = [await scene.account(), await scene.account()]
    await scene.send(transfer([String(from.id)], [String(to.id)], 1))
    await scene.send(purchase(appleLine(from), 'INITIAL_PURCHASE', { startMs: start }))
    assert.equal((await scene.user(to)).subscription_active, true)
    assert.deepEqual([await scene.balance(from), await scene.balance(to)], [26, 0])
  })

  test('a refund after a TRANSFER takes back what the first owner got', async () => {
    const [from, to] = [await scene.account(), await scene.account()]
    const line = appleLine(from)
    const bought = purchase(line, 'INITIAL_PURCHASE', { startMs: start })
    await scene.send(bought)
    await scene.send(transfer([String(from.id)], [String(to.id)], 1))
    await scene.send({
      ...line,
      type: 'CANCELLATION',
      app_user_id: String(to.id),
      transaction_id: bought['transaction_id'],
      cancel_reason: 'CUSTOMER_SUPPORT',
      event_timestamp_ms: start + 2 * dayMs,
    })
    assert.deepEqual([await scene.balance(from), await scene.balance(to)], [0, 0])
  })

  test('no customer id is kept in clear', async () => {
    const from = await scene.account()
    await scene.send(transfer([String(from.id)], ['$RCAnonymousID:secret'], 1))
    assert.ok(!JSON.stringify(await scene.storedEvents()).includes('RCAnonymousID:secret'))
  })

  test('opposite events at once neither deadlock nor fail (I21)', async () => {
    const [a, b] = [await scene.account(), await scene.account()]
    const [ours, theirs] = [appleLine(a), appleLine(b)]
    await Promise.all([
      ...Array.from({ length: 6 }, (_, n) =>
        scene.send(purchase(ours, 'RENEWAL', { n, startMs: start + n })),
      ),
      ...Array.from({ length: 6 }, (_, n) =>
        scene.send(purchase(theirs, 'RENEWAL', { n, startMs: start + n })),
      ),
      scene.send(transfer([String(a.id)], [String(b.id)], 2)),
      scene.send(transfer([String(b.id)], [String(a.id)], 3)),
    ])
    assert.equal((await scene.balance(a)) + (await scene.balance(b)), 12 * 26)
  })
})
