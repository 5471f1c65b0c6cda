import assert from 'node:assert/strict'
import { after, before, suite, test } from 'node:test'
import { count, rows, setUser } from '../../../test/account-scene.ts'
import { until, type Account } from '../../../test/app.ts'
import { manualClock } from '../../../test/ledger-fixtures.ts'
import { recordingLogger } from '../../../test/logger.ts'
import { startRevenueCat, type RevenueCatServer } from '../../../test/revenuecat-server.ts'
import { appleLine, dayMs, purchase, startWebhooks, type WebhookScene } from '../../../test/webhook-scene.ts'
import { createReconcileDue } from './reconcile-due.job.ts'
import { createReconcile } from './reconcile.job.ts'
import { createRevenueCat } from '../../providers/store-billing/revenuecat.ts'

const context = { jobId: 'test', retryCount: 0, signal: new AbortController().signal }
const startsAt = '2027-03-01T08:00:00.000Z'
const startMs = Date.parse(startsAt)
const iso = (ms: number): string => new Date(ms).toISOString().replace('.000', '')

suite('reconciling with the store', () => {
  let store: RevenueCatServer
  let scene: WebhookScene
  const clock = manualClock(startsAt)
  before(async () => {
    store = await startRevenueCat()
    scene = await startWebhooks({
      overrides: { clock },
      work: true,
      env: {
        REVENUECAT_API_BASE_URL: store.url,
        REVENUECAT_IOS_PUBLIC_KEY: store.keys.ios,
        REVENUECAT_ANDROID_PUBLIC_KEY: store.keys.android,
      },
    })
  })
  after(async () => {
    await scene.close()
    await store.close()
    assert.deepEqual(store.violations, [])
  })

  const queue = (account: Account): Promise<void> =>
    scene.app.app.database.transaction((tx) => scene.app.app.queueReconcile(tx, account.id))

  const finished = (account: Account): Promise<unknown> =>
    until(async () => {
      const jobs = await rows<{ state: string }>(
        scene.app,
        `select state from pgboss.job where name = 'subscriptions.reconcile' and data = $1`,
        [{ user_id: account.id }],
      )
      return jobs.length > 0 && jobs.every(({ state }) => state === 'completed') ? jobs.length : null
    }, 'the reconcile')

  const reconcile = async (account: Account): Promise<void> => {
    await queue(account)
    await finished(account)
  }

  /** What the books say of the `n`-th transaction of an Apple line. */
  const listed = (account: Account, line: Record<string, unknown>, n: number, ms: number, days = 30) => {
    store.setSubscription(String(account.id), String(line['product_id']), {
      store_transaction_id: `${String(line['original_transaction_id'])}${n}`,
      purchase_date: iso(ms),
      original_purchase_date: iso(startMs),
      expires_date: iso(ms + days * dayMs),
    })
  }

  test('a purchase that no webhook told of: access and points, once', async () => {
    const account = await scene.account()
    listed(account, appleLine(account), 0, startMs)
    await reconcile(account)
    await reconcile(account)
    const user = await scene.user(account)
    assert.equal(user.subscription_active, true)
    assert.equal(user.subscription_source, 'app_store')
    assert.deepEqual(user.subscription_expires_at, new Date(startMs + 30 * dayMs))
    assert.deepEqual(
      (await scene.ledger(account)).map(({ amount, reason }) => [amount, reason]),
      [[26, 'subscription_renewal']],
    )
  })

  test('RENEWAL never delivered: the daily job finds it (B-L40)', async () => {
    const account = await scene.account()
    const line = appleLine(account)
    const boughtMs = clock.now().getTime()
    await scene.send(purchase(line, 'INITIAL_PURCHASE', { startMs: boughtMs }))
    clock.advance(31 * dayMs)
    listed(account, line, 1, boughtMs + 30 * dayMs)
    const { database, subscriptions, queueReconcile } = scene.app.app
    const { settlePurchase } = subscriptions
    const due = createReconcileDue({
      database,
      clock,
      logger: recordingLogger(),
      queueReconcile,
      settlePurchase,
    })
    await due.run({}, context)
    await finished(account)
    await due.run({}, context)
    assert.deepEqual((await scene.user(account)).subscription_expires_at, new Date(boughtMs + 60 * dayMs))
    assert.equal(await scene.balance(account), 52)
    // The event arrives after all: nothing more is paid, and its word counts.
    await scene.send(purchase(line, 'RENEWAL', { n: 1, startMs: boughtMs + 30 * dayMs, days: 31 }))
    assert.equal(await scene.balance(account), 52)
    assert.deepEqual((await scene.user(account)).subscription_expires_at, new Date(boughtMs + 61 * dayMs))
    assert.equal(await count(scene.app, 'store_subscriptions where owner_user_id = $1', [account.id]), 1)
  })

  test('what was read first joins the line that the webhook makes', async () => {
    const account = await scene.account()
    const line = appleLine(account)
    listed(account, line, 0, startMs)
    await reconcile(account)
    await scene.send({
      ...line,
      type: 'CANCELLATION',
      transaction_id: `${line.original_transaction_id}0`,
      event_timestamp_ms: startMs + dayMs,
    })
    const user = await scene.user(account)
    assert.deepEqual([user.subscription_active, user.subscription_will_renew], [true, false])
    await scene.send(purchase(line, 'INITIAL_PURCHASE', { startMs }))
    assert.equal(await scene.balance(account), 26)
    assert.equal(await count(scene.app, 'store_subscriptions where owner_user_id = $1', [account.id]), 1)
  })

  test('a refund in the books takes the points back', async () => {
    const account = await scene.account()
    const line = appleLine(account)
    await scene.send(purchase(line, 'INITIAL_PURCHASE', { startMs }))
    store.setSubscription(String(account.id), 'dawnotemu_monthly', {
      store_transaction_id: `${line.original_transaction_id}0`,
      purchase_date: iso(startMs),
      expires_date: iso(startMs + 30 * dayMs),
      refunded_at: iso(startMs + dayMs),
    })
    await reconcile(account)
    assert.equal(await scene.balance(account), 0)
  })

  test('an unpaid pack is granted once its subscription is known', async () => {
    const account = await scene.account()
    store.addPack(String(account.id), 'credits_10', {
      id: `o1_${account.id}`,
      store_transaction_id: `pack-${account.id}`,
      purchase_date: iso(startMs + dayMs),
    })
    listed(account, appleLine(account), 0, startMs)
    await scene.send({
      type: 'NON_RENEWING_PURCHASE',
      app_user_id: String(account.id),
      product_id: 'credits_10',
      transaction_id: `pack-${account.id}`,
      purchased_at_ms: startMs + dayMs,
    })
    await finished(account)
    assert.equal(await scene.balance(account), 36)
  })

  test('the known receiver of a TRANSFER is compared', async () => {
    const [from, to] = [await scene.account(), await scene.account()]
    listed(to, appleLine(to), 0, startMs)
    await scene.send({
      type: 'TRANSFER',
      transferred_from: [String(from.id)],
      transferred_to: [String(to.id)],
    })
    await finished(to)
    assert.equal(await scene.balance(to), 26)
  })

  test('a deleted user is not asked about', async () => {
    const account = await scene.account()
    await setUser(scene.app, account.id, `status = 'deleting'`)
    listed(account, appleLine(account), 0, startMs)
    await reconcile(account)
    assert.ok(!store.requests.some(({ customerId }) => customerId === String(account.id)))
    assert.deepEqual(await scene.ledger(account), [])
  })

  test('points that came back to a refunded purchase are taken', async () => {
    const account = await scene.account()
    const line = appleLine(account)
    const bought = purchase(line, 'INITIAL_PURCHASE', { startMs })
    await scene.send(bought)
    const { credits, database, subscriptions, queueReconcile } = scene.app.app
    const { transactionId } = await database.transaction((tx) =>
      credits.debit(tx, { userId: account.id, amount: 5, reason: 'audio_synthesis:1' }),
    )
    await scene.send({
      ...line,
      type: 'CANCELLATION',
      transaction_id: bought['transaction_id'],
      cancel_reason: 'CUSTOMER_SUPPORT',
      event_timestamp_ms: startMs + 1,
    })
    await database.transaction((tx) => credits.refund(tx, transactionId, 'synthesis_failed'))
    assert.equal(await scene.balance(account), 5)
    const { settlePurchase } = subscriptions
    const logger = recordingLogger()
    await createReconcileDue({ database, clock, logger, queueReconcile, settlePurchase }).run({}, context)
    assert.equal(await scene.balance(account), 0)
  })

  suite('by hand', () => {
    const job = (
      own: { allowsSandbox?: boolean; keys?: { ios: string | null; android: string | null } } = {},
    ) => {
      const logger = recordingLogger()
      const { database, subscriptions, packs } = scene.app.app
      const reconciling = createReconcile({
        database,
        clock,
        logger,
        store: createRevenueCat({ baseUrl: store.url, keys: own.keys ?? store.keys }),
        apply: subscriptions.apply,
        reconcilePacks: packs.reconcilePacks,
        allowsSandbox: own.allowsSandbox ?? true,
      })
      return { logger, run: (account: Account) => reconciling.run({ user_id: account.id }, context) }
    }

    test('unavailable is tried again, a refused key is reported, no key asks nothing', async () => {
      const account = await scene.account()
      store.answer({ status: 503 })
      await assert.rejects(job().run(account), /unavailable/)
      const refused = job()
      store.answer({ status: 401 })
      await refused.run(account)
      assert.deepEqual(
        refused.logger.lines.map(({ level }) => level),
        ['error'],
      )
      const asked = store.requests.length
      await job({ keys: { ios: null, android: null } }).run(account)
      assert.equal(store.requests.length, asked)
    })

    test('the key of the subscription’s store is used, else the one that is set', async () => {
      const account = await scene.account()
      await setUser(scene.app, account.id, `subscription_source = 'play_store'`)
      await job().run(account)
      assert.equal(store.requests.at(-1)?.platform, 'android')
      await job({ keys: { ios: store.keys.ios, android: null } }).run(account)
      assert.equal(store.requests.at(-1)?.platform, 'ios')
    })

    test('sandbox entries count only where they may (B-L20)', async () => {
      const account = await scene.account()
      store.setSubscription(String(account.id), 'dawnotemu_monthly', {
        store_transaction_id: `sandbox-${account.id}`,
        purchase_date: iso(startMs),
        expires_date: iso(startMs + 30 * dayMs),
        is_sandbox: true,
      })
      await job({ allowsSandbox: false }).run(account)
      assert.equal(await scene.balance(account), 0)
      await job().run(account)
      assert.equal(await scene.balance(account), 26)
    })
  })
})
