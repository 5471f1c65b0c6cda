import assert from 'node:assert/strict'
import { after, afterEach, before, beforeEach, suite, test } from 'node:test'
import { login, rows, signIn } from '../../../test/account-scene.ts'
import { dayMs } from '../../../test/ledger-fixtures.ts'
import { receipt, startPacks, type PacksScene } from '../../../test/packs-scene.ts'
import { differencesOf, lotsOf, startV1, v1Password, v1Time, type V1Scene } from '../../../test/v1-scene.ts'

let scene: PacksScene
let v1: V1Scene

suite('purchases, events and the archive of v1', () => {
  before(async () => {
    scene = await startPacks({ work: false })
  })
  after(() => scene.close())
  beforeEach(async () => {
    v1 = await startV1()
  })
  afterEach(() => v1.close())

  test('used receipts stay used: a replay for their owner, 409 for others, also of accounts v1 has deleted', async () => {
    await v1.addUser(1601)
    await v1.add('consumed_receipts', {
      id: 1,
      receipt_token: 'o1_used',
      user_id: 1601,
      product_id: 'credits_20',
      platform: 'ios',
      credits_granted: 20,
    })
    await v1.add('consumed_receipts', { id: 2, receipt_token: 'o1_gone', user_id: 1650 })
    await v1.add('consumed_receipts', { id: 3, receipt_token: 'o1_nobody', user_id: null })
    const report = await v1.run(scene, true)
    assert.deepEqual(report['receipts'], {
      added: 2,
      known: 0,
      of_deleted_accounts: 1,
      of_skipped_accounts: 0,
      without_owner: 1,
    })
    const owner = { id: 1601, email: 'v1-1601@example.test', password: v1Password }
    const account = { ...owner, ...(await signIn(scene.app, owner)) }
    scene.store.addPack('1601', 'credits_20', { id: 'o1_used', store_transaction_id: 'U-1' })
    const replay = await scene.grantAddon(account, receipt('o1_used', 'credits_20'))
    assert.deepEqual(replay.body, { credits_granted: 20, new_balance: 0 })
    const other = await scene.subscriber()
    for (const token of ['o1_used', 'o1_gone'])
      assert.equal((await scene.grantAddon(other, receipt(token, 'credits_20'))).status, 409)
    const [tombstone] = await rows(scene.app, 'select status, email from users where id = 1650')
    assert.deepEqual(tombstone, { status: 'deleted', email: null })
  })

  test('a subscription is shown as v1 had it and pays nothing for the past', async () => {
    const subscription = {
      subscription_active: true,
      subscription_plan: 'dawnotemu_annual:p1y',
      subscription_expires_at: v1Time(100 * dayMs),
      subscription_will_renew: true,
      subscription_source: 'app_store',
    }
    await v1.addUser(1701, subscription)
    await v1.addUser(1702, {
      ...subscription,
      subscription_plan: 'dawnotemu_monthly',
      subscription_will_renew: false,
    })
    await v1.addUser(1703, { ...subscription, subscription_active: false })
    await v1.addUser(1704, { ...subscription, subscription_expires_at: null })
    const report = await v1.run(scene, true)
    assert.deepEqual(differencesOf(report, 1704), [{ kind: 'subscription_without_end' }])
    const shown = await rows(
      scene.app,
      `select id, subscription_active as active, subscription_plan as plan, subscription_will_renew as renews,
         subscription_source as source from users where id between 1701 and 1704 order by id`,
    )
    assert.deepEqual(shown, [
      { id: 1701, active: true, plan: 'dawnotemu_annual', renews: true, source: 'app_store' },
      { id: 1702, active: true, plan: 'dawnotemu_monthly', renews: false, source: 'app_store' },
      { id: 1703, active: false, plan: 'dawnotemu_annual', renews: false, source: 'app_store' },
      { id: 1704, active: false, plan: null, renews: false, source: null },
    ])
    for (const id of [1701, 1702, 1703, 1704]) assert.deepEqual(await lotsOf(scene, id), [])
    const [annual] = await rows<{ next_grant_at: Date; purchased_at: Date }>(
      scene.app,
      'select next_grant_at, purchased_at from store_purchases where user_id = 1701',
    )
    assert.ok(annual && annual.next_grant_at.getTime() > Date.now(), 'the next month is still to come')
    assert.ok(annual.next_grant_at.getTime() < Date.now() + 32 * dayMs)
  })

  test('known events have no effect; missing trial and link are made; inactive accounts stay so', async () => {
    await v1.addUser(1801, {
      trial_expires_at: null,
      revenuecat_app_user_id: null,
      created_at: v1Time(-dayMs),
    })
    await v1.addUser(1802, { is_active: false, last_login: v1Time(-dayMs) })
    await v1.addUser(1803, { is_active: false })
    await v1.addUser(1804, { password_hash: 'pbkdf2:sha256:1$a$b', is_admin: true })
    await v1.add('webhook_events', { id: 1, event_id: 'done-by-v1', event_type: 'RENEWAL', user_id: 1801 })
    const report = await v1.run(scene, true)
    assert.deepEqual(differencesOf(report, 1801), [{ kind: 'trial_missing' }, { kind: 'link_missing' }])
    assert.deepEqual(differencesOf(report, 1804), [{ kind: 'password_hash_unknown' }, { kind: 'is_admin' }])
    const [user] = await rows<{ trial_expires_at: Date; link: string }>(
      scene.app,
      'select trial_expires_at, revenuecat_app_user_id as link from users where id = 1801',
    )
    assert.equal(user?.link, '1801')
    assert.ok(Math.abs((user?.trial_expires_at.getTime() ?? 0) - Date.now() - 13 * dayMs) < 60_000)
    assert.equal(
      (await login(scene.app, { email: 'v1-1802@example.test', password: v1Password })).status,
      403,
    )
    const statuses = await rows(
      scene.app,
      'select status from users where id between 1802 and 1803 order by id',
    )
    assert.deepEqual(
      statuses.map((row) => row['status']),
      ['deactivated', 'pending'],
    )
    const [known] = await rows(scene.app, 'select outcome from webhook_events where event_id = $1', [
      'done-by-v1',
    ])
    assert.equal(known?.['outcome'], 'ignored')
  })

  test('v1’s ledger rows are kept, without free texts, and cannot be changed', async () => {
    await v1.addUser(1901)
    await v1.add('credit_transactions', {
      id: 77,
      user_id: 1901,
      type: 'debit',
      amount: -3,
      metadata: '{"a":"b"}',
    })
    await v1.run(scene, true)
    const [row] = await rows<{ content: Record<string, unknown> }>(
      scene.app,
      `select content from v1_archive where table_name = 'credit_transactions' and row_id = '77'`,
    )
    assert.deepEqual([row?.content['amount'], 'metadata' in (row?.content ?? {})], [-3, false])
    for (const text of [
      `update v1_archive set row_id = 'x' where row_id = '77'`,
      `delete from v1_archive where row_id = '77'`,
      'truncate v1_archive',
    ])
      await assert.rejects(rows(scene.app, text), { constraint: 'v1_archive_read_only' })
  })
})
