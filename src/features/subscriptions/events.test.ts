import assert from 'node:assert/strict'
import { after, before, suite, test } from 'node:test'
import type { Account } from '../../../test/app.ts'
import { rows } from '../../../test/account-scene.ts'
import { appleLine, dayMs, purchase, startWebhooks, type WebhookScene } from '../../../test/webhook-scene.ts'

suite('each event of a subscription', () => {
  let scene: WebhookScene
  before(async () => {
    scene = await startWebhooks()
  })
  after(() => scene.close())

  const start = Date.now() - 10 * dayMs

  /** An account with a running subscription, bought 10 days ago. */
  const subscriber = async (productId = 'dawnotemu_monthly', days = 30) => {
    const account = await scene.account()
    const line = appleLine(account, productId)
    const bought = purchase(line, 'INITIAL_PURCHASE', { startMs: start, days })
    assert.equal(await scene.send(bought), 'processed')
    const { transaction_id, expiration_at_ms } = bought
    return { account, line: { ...line, transaction_id, expiration_at_ms }, endMs: start + days * dayMs }
  }
  const at = (day: number): { event_timestamp_ms: number } => ({ event_timestamp_ms: start + day * dayMs })

  const canGenerate = async (account: Account): Promise<unknown> => {
    await rows(scene.app, 'update users set trial_expires_at = null where id = $1', [account.id])
    const { body } = await scene.app.call('GET', '/api/user/subscription-status', {
      token: account.accessToken,
    })
    return body['can_generate']
  }

  test('INITIAL_PURCHASE sets everything and pays', async () => {
    const { account, endMs } = await subscriber()
    assert.deepEqual(await scene.user(account), {
      subscription_active: true,
      subscription_plan: 'dawnotemu_monthly',
      subscription_pending_plan: null,
      subscription_expires_at: new Date(endMs),
      subscription_will_renew: true,
      subscription_source: 'app_store',
      billing_issue_at: null,
    })
    assert.equal(await scene.balance(account), 26)
    assert.equal(await canGenerate(account), true)
  })

  test('an annual plan pays 30, with a base plan in its id too (B-L17)', async () => {
    const { account } = await subscriber('dawnotemu_annual:p1y', 365)
    assert.equal((await scene.user(account)).subscription_plan, 'dawnotemu_annual')
    assert.equal(await scene.balance(account), 30)
  })

  test('an empty product is a null plan and pays as monthly', async () => {
    scene.app.expectErrors()
    const { account } = await subscriber('')
    assert.equal((await scene.user(account)).subscription_plan, null)
    assert.equal(await scene.balance(account), 26)
  })

  for (const [store, source] of [
    ['MAC_APP_STORE', 'app_store'],
    ['PLAY_STORE', 'play_store'],
    ['AMAZON', null],
    ['app_store', null],
    ['', null],
  ] as const)
    test(`store ${JSON.stringify(store)} is ${source}`, async () => {
      const account = await scene.account()
      await scene.send({ ...purchase(appleLine(account), 'INITIAL_PURCHASE', { startMs: start }), store })
      assert.equal((await scene.user(account)).subscription_source, source)
    })

  for (const [end, expected] of [
    [0, start + 35 * dayMs],
    [-5, start + 35 * dayMs],
    ['soon', start + 35 * dayMs],
    [null, start + 35 * dayMs],
    [1e9, start + 35 * dayMs],
    [5e12, start + 35 * dayMs],
    [String(start + dayMs), start + dayMs],
    [start + dayMs + 0.7, start + dayMs],
  ] as const)
    test(`an end of ${JSON.stringify(end)}`, async () => {
      const account = await scene.account()
      const event = purchase(appleLine(account), 'INITIAL_PURCHASE', { startMs: start })
      await scene.send({ ...event, expiration_at_ms: end })
      assert.deepEqual((await scene.user(account)).subscription_expires_at, new Date(expected))
    })

  test('RENEWAL extends and pays; with another plan it sets plan and source (B-L13)', async () => {
    const { account, line, endMs } = await subscriber()
    await scene.send(purchase(line, 'RENEWAL', { n: 1, startMs: start + 5 * dayMs }))
    assert.deepEqual((await scene.user(account)).subscription_expires_at, new Date(endMs + 5 * dayMs))
    const annual = { ...line, product_id: 'dawnotemu_annual', store: 'PLAY_STORE' }
    await scene.send(purchase(annual, 'RENEWAL', { n: 2, startMs: start + 6 * dayMs, days: 365 }))
    const user = await scene.user(account)
    assert.equal(user.subscription_plan, 'dawnotemu_annual')
    assert.equal(user.subscription_source, 'play_store')
    assert.deepEqual(
      (await scene.ledger(account)).map(({ amount, reason }) => [amount, reason]),
      [
        [26, 'subscription_initial_purchase'],
        [26, 'subscription_renewal'],
        [30, 'subscription_renewal'],
      ],
    )
  })

  test('CANCELLATION keeps access, UNCANCELLATION restores renewal', async () => {
    const { account, line, endMs } = await subscriber()
    await scene.send({ ...line, type: 'CANCELLATION', cancel_reason: 'UNSUBSCRIBE', price: 0, ...at(1) })
    const cancelled = await scene.user(account)
    assert.equal(cancelled.subscription_will_renew, false)
    assert.equal(cancelled.subscription_active, true)
    assert.deepEqual(cancelled.subscription_expires_at, new Date(endMs))
    await scene.send({ ...line, type: 'UNCANCELLATION', ...at(2) })
    assert.equal((await scene.user(account)).subscription_will_renew, true)
    assert.equal(await scene.balance(account), 26)
  })

  test('BILLING_ISSUE keeps access until the end of grace, RENEWAL clears it (B-L23)', async () => {
    const { account, line, endMs } = await subscriber()
    const grace = endMs + 16 * dayMs
    await scene.send({
      ...line,
      type: 'BILLING_ISSUE',
      grace_period_expiration_at_ms: grace,
      ...at(3),
    })
    const issue = await scene.user(account)
    assert.deepEqual(issue.billing_issue_at, new Date(at(3).event_timestamp_ms))
    assert.deepEqual(issue.subscription_expires_at, new Date(grace))
    const status = await scene.app.call('GET', '/api/user/subscription-status', {
      token: account.accessToken,
    })
    assert.equal(JSON.parse(status.text).subscription.billing_issue, true)
    await scene.send(purchase(line, 'RENEWAL', { n: 1, startMs: start + 4 * dayMs }))
    assert.equal((await scene.user(account)).billing_issue_at, null)
  })

  test('EXPIRATION ends access and keeps plan and points', async () => {
    const { account, line } = await subscriber('dawnotemu_monthly', 5)
    await scene.send({ ...line, type: 'EXPIRATION', expiration_reason: 'UNSUBSCRIBE', ...at(5) })
    const user = await scene.user(account)
    assert.equal(user.subscription_active, false)
    assert.equal(user.subscription_plan, 'dawnotemu_monthly')
    assert.equal(await scene.balance(account), 26)
    assert.equal(await canGenerate(account), false)
  })

  test('a late EXPIRATION after RENEWAL leaves access (B-L10)', async () => {
    const { account, line } = await subscriber('dawnotemu_monthly', 5)
    await scene.send(purchase(line, 'RENEWAL', { n: 1, startMs: start + 6 * dayMs }))
    assert.equal(await scene.send({ ...line, type: 'EXPIRATION', ...at(5) }), 'processed')
    const user = await scene.user(account)
    assert.equal(user.subscription_active, true)
    assert.deepEqual(user.subscription_expires_at, new Date(start + 36 * dayMs))
  })

  test('a late older RENEWAL is paid, and shortens nothing (B-L10)', async () => {
    const { account, line } = await subscriber('dawnotemu_monthly', 3)
    const annual = { ...line, product_id: 'dawnotemu_annual' }
    await scene.send(purchase(annual, 'RENEWAL', { n: 2, startMs: start + 6 * dayMs, days: 365 }))
    await scene.send(purchase(line, 'RENEWAL', { n: 1, startMs: start + 3 * dayMs, days: 3 }))
    const user = await scene.user(account)
    assert.equal(user.subscription_plan, 'dawnotemu_annual')
    assert.deepEqual(user.subscription_expires_at, new Date(start + 371 * dayMs))
    assert.equal(await scene.balance(account), 26 + 30 + 26)
  })

  test('EXPIRATION of another line leaves the current one', async () => {
    const { account } = await subscriber()
    const other = appleLine(account)
    await scene.send(purchase(other, 'INITIAL_PURCHASE', { startMs: start - 40 * dayMs }))
    await scene.send({
      ...other,
      type: 'EXPIRATION',
      transaction_id: `${other.original_transaction_id}0`,
      expiration_at_ms: start - 10 * dayMs,
      ...at(1),
    })
    assert.equal((await scene.user(account)).subscription_active, true)
  })

  test('SUBSCRIPTION_EXTENDED raises the end', async () => {
    const { account, line, endMs } = await subscriber()
    await scene.send({
      ...line,
      type: 'SUBSCRIPTION_EXTENDED',
      expiration_at_ms: endMs + 9 * dayMs,
      ...at(1),
    })
    assert.deepEqual((await scene.user(account)).subscription_expires_at, new Date(endMs + 9 * dayMs))
  })

  test('PRODUCT_CHANGE is pending until the next purchase (B-L14)', async () => {
    const { account, line, endMs } = await subscriber()
    await scene.send({ ...line, type: 'PRODUCT_CHANGE', new_product_id: 'dawnotemu_annual:p1y', ...at(1) })
    const pending = await scene.user(account)
    assert.equal(pending.subscription_plan, 'dawnotemu_monthly')
    assert.equal(pending.subscription_pending_plan, 'dawnotemu_annual')
    assert.deepEqual(pending.subscription_expires_at, new Date(endMs))
    assert.equal(await scene.balance(account), 26)
    const annual = { ...line, product_id: 'dawnotemu_annual:p1y' }
    await scene.send(purchase(annual, 'RENEWAL', { n: 1, startMs: start + 2 * dayMs, days: 365 }))
    const changed = await scene.user(account)
    assert.deepEqual(
      [changed.subscription_plan, changed.subscription_pending_plan],
      ['dawnotemu_annual', null],
    )
    assert.equal(await scene.balance(account), 56)
  })

  test('SUBSCRIPTION_PAUSED keeps access until EXPIRATION, a purchase resumes', async () => {
    const { account, line } = await subscriber('dawnotemu_monthly', 5)
    await scene.send({ ...line, type: 'SUBSCRIPTION_PAUSED', ...at(1) })
    const paused = await scene.user(account)
    assert.deepEqual([paused.subscription_active, paused.subscription_will_renew], [true, false])
    await scene.send({ ...line, type: 'EXPIRATION', ...at(5) })
    assert.equal((await scene.user(account)).subscription_active, false)
    await scene.send(purchase(line, 'RENEWAL', { n: 1, startMs: start + 9 * dayMs }))
    const resumed = await scene.user(account)
    assert.deepEqual([resumed.subscription_active, resumed.subscription_will_renew], [true, true])
  })

  test('TEMPORARY_ENTITLEMENT_GRANT gives a day and no points', async () => {
    const account = await scene.account()
    const line = appleLine(account)
    const now = Date.now()
    await scene.send({ ...line, type: 'TEMPORARY_ENTITLEMENT_GRANT', event_timestamp_ms: now })
    const user = await scene.user(account)
    assert.equal(user.subscription_active, true)
    assert.equal(user.subscription_will_renew, false)
    assert.deepEqual(user.subscription_expires_at, new Date(now + dayMs))
    assert.deepEqual(await scene.ledger(account), [])
    await scene.send(purchase(line, 'INITIAL_PURCHASE', { startMs: now + 1 }))
    assert.equal(await scene.balance(account), 26)
  })

  test('events without ids and times work in sequence', async () => {
    const account = await scene.account()
    const bare = { app_user_id: String(account.id), product_id: 'dawnotemu_monthly', store: 'PLAY_STORE' }
    await scene.send({ ...bare, type: 'INITIAL_PURCHASE' })
    await scene.send({ ...bare, type: 'CANCELLATION' })
    assert.equal((await scene.user(account)).subscription_will_renew, false)
    await scene.send({ ...bare, type: 'RENEWAL' })
    const user = await scene.user(account)
    assert.deepEqual([user.subscription_active, user.subscription_will_renew], [true, true])
    assert.equal(await scene.balance(account), 52)
    await scene.send({ ...bare, type: 'EXPIRATION' })
    assert.equal((await scene.user(account)).subscription_active, false)
  })

  test('no event ends a session (I20)', async () => {
    const { account, line } = await subscriber()
    await scene.send({ ...line, type: 'CANCELLATION', cancel_reason: 'CUSTOMER_SUPPORT', ...at(1) })
    const answer = await scene.app.call('GET', '/me/credits', { token: account.accessToken })
    assert.equal(answer.status, 200)
    assert.equal(answer.body['balance'], 0)
  })
})
