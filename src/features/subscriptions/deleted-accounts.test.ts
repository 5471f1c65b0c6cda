import assert from 'node:assert/strict'
import { after, before, suite, test } from 'node:test'
import { rows } from '../../../test/account-scene.ts'
import type { Account } from '../../../test/app.ts'
import { askForDeletion, finished } from '../../../test/deletion-scene.ts'
import { readBooks, sum } from '../../../test/ledger-fixtures.ts'
import { appleLine, dayMs, purchase, startWebhooks, type WebhookScene } from '../../../test/webhook-scene.ts'

const startMs = Date.now() - 5 * dayMs

suite('purchases of a deleted account', () => {
  let scene: WebhookScene
  before(async () => {
    scene = await startWebhooks({ work: true })
  })
  after(() => scene.close())

  const remove = async (account: Account): Promise<void> => {
    await askForDeletion(scene.app, account)
    await finished(scene.app, account)
  }

  test('no raw store id is left, the books balance at zero', async () => {
    const account = await scene.account()
    const line = appleLine(account)
    await scene.send(purchase(line, 'INITIAL_PURCHASE', { startMs }))
    await scene.send({
      ...appleLine(account, 'credits_10'),
      type: 'NON_RENEWING_PURCHASE',
      transaction_id: `pack-of-${account.id}`,
    })
    await scene.app.app.subscriptions.apply(
      {
        eventId: `rest:read-${account.id}`,
        type: 'RENEWAL',
        at: new Date(startMs - 40 * dayMs),
        origin: 'store_reply',
        productId: 'dawnotemu_monthly',
        newProductId: null,
        transactionId: `read-${account.id}`,
        originalTransactionId: null,
        purchasedAt: new Date(startMs - 40 * dayMs),
        expiresAt: new Date(startMs - 10 * dayMs),
        graceEndsAt: null,
        resumesAt: null,
        periodType: null,
        cancelReason: null,
        expirationReason: null,
        store: 'app_store',
        environment: 'PRODUCTION',
        price: null,
        currency: null,
        transferredFrom: [],
        transferredTo: [],
      },
      account.id,
    )
    assert.equal(await scene.balance(account), 26 + 10 + 26)
    await remove(account)
    const tables = ['store_purchases', 'store_subscriptions', 'webhook_events', 'credit_transactions']
    const dump = await Promise.all(
      tables.map((table) => rows<{ line: string }>(scene.app, `select t::text as line from ${table} t`)),
    )
    const text = JSON.stringify(dump)
    for (const id of [line.original_transaction_id, `pack-of-${account.id}`, `read-${account.id}`])
      assert.ok(!text.includes(id), id)
    const books = await readBooks(scene.app.app.database, account.id)
    assert.equal(books.cached, 0)
    assert.equal(sum(books.transactions.map(({ amount }) => amount)), 0)
  })

  test('its transactions pay nobody else (B-L12)', async () => {
    const [account, other] = [await scene.account(), await scene.account()]
    const bought = purchase(appleLine(account), 'INITIAL_PURCHASE', { startMs })
    await scene.send(bought)
    await remove(account)
    assert.equal(await scene.send({ ...bought, app_user_id: String(account.id) }), 'ignored')
    assert.equal(
      await scene.send({ ...bought, app_user_id: String(other.id), aliases: [String(other.id)] }),
      'processed',
    )
    assert.equal(await scene.balance(other), 0)
    assert.equal((await scene.user(other)).subscription_active, true, 'the store says that they have it now')
  })

  test('a subscription that went to another account before lives on there', async () => {
    const [account, heir] = [await scene.account(), await scene.account()]
    const line = appleLine(account)
    const bought = purchase(line, 'INITIAL_PURCHASE', { startMs })
    await scene.send(bought)
    await scene.send({ ...purchase(line, 'RENEWAL', { n: 1, startMs: startMs + 1 }), price: 1 })
    await scene.send({
      type: 'TRANSFER',
      transferred_from: [String(account.id)],
      transferred_to: [String(heir.id)],
      event_timestamp_ms: startMs + dayMs,
    })
    const before = await scene.user(heir)
    assert.equal(before.subscription_active, true)
    await remove(account)
    const heirs = { ...line, app_user_id: String(heir.id), aliases: [] }
    const named = { ...heirs, transaction_id: bought['transaction_id'] }
    const sent = await scene.send({
      ...named,
      type: 'UNCANCELLATION',
      event_timestamp_ms: startMs + 2 * dayMs,
    })
    assert.equal(sent, 'processed')
    assert.deepEqual(await scene.user(heir), before)
    await scene.send({
      ...named,
      type: 'CANCELLATION',
      cancel_reason: 'CUSTOMER_SUPPORT',
      event_timestamp_ms: startMs + 2 * dayMs,
    })
    await scene.send({ ...named, type: 'REFUND_REVERSED', event_timestamp_ms: startMs + 3 * dayMs })
    await scene.send(purchase(heirs, 'RENEWAL', { n: 2, startMs: startMs + 4 * dayMs }))
    assert.equal(await scene.balance(heir), 26)
    assert.equal(await scene.balance(account), 0, 'nothing comes back to a tombstone')
    const purchases = await rows(scene.app, 'select id from store_purchases where user_id = any ($1)', [
      [account.id, heir.id],
    ])
    assert.equal(purchases.length, 3)
  })
})
