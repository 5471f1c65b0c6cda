import assert from 'node:assert/strict'
import { after, before, suite, test } from 'node:test'
import { assertRefused, createAccount, rows, setUser } from '../../../test/account-scene.ts'
import { receipt, startPacks, type PacksScene } from '../../../test/packs-scene.ts'

suite('POST /api/credits/grant-addon, before the store is asked', () => {
  let scene: PacksScene
  before(async () => {
    scene = await startPacks({ work: false })
  })
  after(() => scene.close())

  const refusals: [name: string, sent: { json?: unknown; body?: string; type?: string }, error: string][] = [
    ['no body', {}, 'Invalid request body'],
    ['not JSON', { body: '{"receipt_token"' }, 'Invalid request body'],
    ['another type', { body: 'receipt_token=a', type: 'text/plain' }, 'Invalid request body'],
    ['null', { body: 'null' }, 'Invalid request body'],
    ['a list', { json: [receipt('a')] }, 'Invalid request body'],
    ['a number', { body: '7' }, 'Invalid request body'],
    ['an empty object', { json: {} }, 'Invalid request body'],
    ...[
      { ...receipt('a'), receipt_token: undefined },
      { ...receipt('a'), receipt_token: '  ' },
      { ...receipt('a'), receipt_token: 7 },
      { ...receipt('a'), receipt_token: ['a'] },
      { ...receipt('a'), receipt_token: null },
      { ...receipt('a'), product_id: { id: 'credits_10' } },
      { ...receipt('a'), platform: false },
      { other: 1 },
    ].map((json): (typeof refusals)[number] => [
      JSON.stringify(json),
      { json },
      'Missing required fields: receipt_token, product_id, platform',
    ]),
    ['a token with NUL', { json: receipt('a\0b') }, 'Invalid value for receipt_token.'],
    ['a long token', { json: receipt('a'.repeat(513)) }, 'Invalid receipt_token'],
    ['no pack', { json: receipt('a', 'dawnotemu_monthly') }, 'Unknown product: dawnotemu_monthly'],
    ['a long product', { json: receipt('a', 'p'.repeat(300)) }, `Unknown product: ${'p'.repeat(100)}`],
    ['another platform', { json: receipt('a', 'credits_10', 'iOS') }, 'Invalid platform: iOS'],
    [
      'a long platform',
      { json: receipt('a', 'credits_10', 'x'.repeat(101)) },
      `Invalid platform: ${'x'.repeat(100)}`,
    ],
  ]
  for (const [name, sent, error] of refusals)
    test(`${name} is 400 ${error.slice(0, 40)}`, async () => {
      const account = await scene.subscriber()
      const answer = await scene.app.call('POST', '/api/credits/grant-addon', {
        token: account.accessToken,
        ...(sent.json === undefined ? {} : { json: sent.json }),
        ...(sent.body === undefined
          ? {}
          : { body: sent.body, headers: { 'content-type': sent.type ?? 'application/json' } }),
      })
      assertRefused(answer, 400, error)
      assert.equal(scene.store.requests.length, 0, 'the store was not asked')
    })

  test('nobody is 401, whatever the body', async () => {
    const answer = await scene.app.call('POST', '/api/credits/grant-addon', { json: receipt('a') })
    assertRefused(answer, 401, 'Authentication token is missing')
  })
})

suite('POST /api/credits/grant-addon, the books of the store', () => {
  let scene: PacksScene
  before(async () => {
    scene = await startPacks({ work: false })
  })
  after(() => scene.close())

  test('a pack is granted by the id of the SDK: 20 points, a purchase with both identifiers', async () => {
    const account = await scene.subscriber()
    scene.store.addPack(String(account.id), 'credits_20', { id: 'o1_a', store_transaction_id: 'A-1' })
    const answer = await scene.grantAddon(account, receipt('o1_a', 'credits_20'))
    assert.equal(answer.status, 200, answer.text)
    assert.deepEqual(answer.body, { credits_granted: 20, new_balance: 20 })
    assert.equal(await scene.aliases(account), 2)
    const [lot] = await rows(
      scene.app,
      `select l.source, l.expires_at, t.reason, t.grant_key, t.purchase_id from credit_lots l
       join credit_transaction_allocations a on a.lot_id = l.id
       join credit_transactions t on t.id = a.transaction_id where l.user_id = $1`,
      [account.id],
    )
    const [purchase] = await scene.purchases(account)
    assert.deepEqual(lot, {
      source: 'add_on',
      expires_at: null,
      reason: 'addon:credits_20',
      grant_key: `pack:${purchase?.id}`,
      purchase_id: purchase?.id,
    })
  })

  test('the other identifier of a granted pack answers the same and pays nothing', async () => {
    const account = await scene.subscriber()
    scene.store.addPack(String(account.id), 'credits_10', { id: 'o1_b', store_transaction_id: 'B-1' })
    const first = await scene.grantAddon(account, receipt('B-1'))
    const second = await scene.grantAddon(account, receipt(' o1_b '))
    assert.deepEqual([first.body, second.body], [first.body, first.body])
    assert.equal(await scene.balance(account), 10)
  })

  test('a replay ignores product and platform, and needs no entitlement any more', async () => {
    const account = await scene.subscriber()
    scene.store.addPack(String(account.id), 'credits_30', { id: 'o1_c', store_transaction_id: 'C-1' })
    assert.equal((await scene.grantAddon(account, receipt('o1_c', 'credits_30'))).status, 200)
    await setUser(scene.app, account.id, 'subscription_active = false')
    const answer = await scene.grantAddon(account, receipt('o1_c', 'credits_10', 'android'))
    assert.deepEqual(answer.body, { credits_granted: 30, new_balance: 30 })
  })

  test('a receipt of another account is 409', async () => {
    const [owner, other] = [await scene.subscriber(), await scene.subscriber()]
    scene.store.addPack(String(owner.id), 'credits_10', { id: 'o1_d', store_transaction_id: 'D-1' })
    assert.equal((await scene.grantAddon(owner, receipt('o1_d'))).status, 200)
    assertRefused(
      await scene.grantAddon(other, receipt('o1_d')),
      409,
      'Transaction already consumed by another account',
    )
    // The other identifier is known from the books alone: row 11.
    scene.store.addPack(String(other.id), 'credits_10', { id: 'o1_dd', store_transaction_id: 'D-1' })
    assertRefused(
      await scene.grantAddon(other, receipt('o1_dd')),
      409,
      'Transaction already consumed by another account',
    )
    assert.equal(await scene.balance(other), 0)
  })

  test('a receipt of a deleted account is 409 (B-L12)', async () => {
    const [gone, other] = [await scene.subscriber(), await scene.subscriber()]
    scene.store.addPack(String(gone.id), 'credits_10', { id: 'o1_e', store_transaction_id: 'E-1' })
    assert.equal((await scene.grantAddon(gone, receipt('o1_e'))).status, 200)
    await setUser(scene.app, gone.id, `status = 'deleting'`)
    await scene.app.test.database.transaction((tx) => scene.app.app.credits.closeAccount(tx, gone.id))
    await setUser(
      scene.app,
      gone.id,
      `status = 'deleted', email = null, password_hash = null, revenuecat_app_user_id = null`,
    )
    scene.store.addPack(String(other.id), 'credits_10', { id: 'o1_e', store_transaction_id: 'E-1' })
    assertRefused(
      await scene.grantAddon(other, receipt('E-1')),
      409,
      'Transaction already consumed by another account',
    )
  })

  test('a token that the books do not list under its product is 403, even if another bucket has it', async () => {
    const account = await scene.subscriber()
    assertRefused(await scene.grantAddon(account, receipt('o1_none')), 403, 'Receipt validation failed')
    scene.store.addPack(String(account.id), 'credits_10', { id: 'o1_f', store_transaction_id: 'F-1' })
    scene.store.addPack(String(account.id), 'credits_30', { id: 'o1_g', store_transaction_id: 'G-1' })
    assertRefused(
      await scene.grantAddon(account, receipt('o1_f', 'credits_30')),
      403,
      'Receipt validation failed',
    )
    assert.equal(await scene.balance(account), 0)
  })

  test('a refunded pack is 403', async () => {
    const account = await scene.subscriber()
    scene.store.addPack(String(account.id), 'credits_10', { id: 'o1_h', store_transaction_id: 'H-1' })
    // The store told of the refund before anybody claimed the pack.
    await rows(
      scene.app,
      `with p as (
         insert into store_purchases (kind, user_id, product_id, purchased_at, is_refunded, refund_changed_at,
           created_at, updated_at)
         values ('pack', $1, 'credits_10', now(), true, now(), now(), now()) returning id)
       insert into store_purchase_aliases select sha256('H-1'::bytea), id from p`,
      [account.id],
    )
    assertRefused(await scene.grantAddon(account, receipt('o1_h')), 403, 'Receipt validation failed')
    assert.equal(await scene.balance(account), 0)
  })

  test('a user on trial is 403; the pack is kept, and paid once the books show a subscription', async () => {
    const account = await createAccount(scene.app)
    const bought = new Date(Date.now() - 3_600_000)
    const customer = String(account.id)
    scene.store.addPack(customer, 'credits_10', {
      id: 'o1_i',
      store_transaction_id: 'I-1',
      purchase_date: bought.toISOString(),
    })
    assertRefused(await scene.grantAddon(account, receipt('o1_i')), 403, 'Active subscription required')
    assert.deepEqual(
      (await scene.purchases(account)).map((row) => [row.points, row.not_granted_reason]),
      [[null, 'not_entitled']],
    )
    scene.store.setSubscription(customer, 'dawnotemu_monthly', {
      original_purchase_date: new Date(bought.getTime() - 1000).toISOString(),
      expires_date: new Date(bought.getTime() + 1000).toISOString(),
    })
    const answer = await scene.grantAddon(account, receipt('o1_i'))
    assert.deepEqual(answer.body, { credits_granted: 10, new_balance: 10 })
    assert.deepEqual(
      (await scene.purchases(account)).map((row) => [row.points, row.not_granted_reason]),
      [[10, null]],
    )
  })

  test('a pack bought while subscribed and claimed after the lapse is granted; one bought after it is not (B-L18)', async () => {
    const account = await createAccount(scene.app)
    const customer = String(account.id)
    const hour = 3_600_000
    const at = (hours: number): string => new Date(Date.now() + hours * hour).toISOString()
    scene.store.setSubscription(customer, 'dawnotemu_monthly', {
      original_purchase_date: at(-100),
      expires_date: at(-50),
      grace_period_expires_date: at(-40),
    })
    scene.store.addPack(customer, 'credits_10', { id: 'o1_in', purchase_date: at(-45) })
    scene.store.addPack(customer, 'credits_20', { id: 'o1_out', purchase_date: at(-39) })
    scene.store.addPack(customer, 'credits_30', { id: 'o1_early', purchase_date: at(-101) })
    const [late, early, within] = [
      await scene.grantAddon(account, receipt('o1_out', 'credits_20')),
      await scene.grantAddon(account, receipt('o1_early', 'credits_30')),
      await scene.grantAddon(account, receipt('o1_in')),
    ]
    assertRefused(late, 403, 'Active subscription required')
    assertRefused(early, 403, 'Active subscription required')
    assert.deepEqual(within.body, { credits_granted: 10, new_balance: 10 })
  })

  test('a refunded subscription entitles to nothing', async () => {
    const account = await createAccount(scene.app)
    scene.store.setSubscription(String(account.id), 'dawnotemu_monthly', {
      original_purchase_date: new Date(Date.now() - 1e6).toISOString(),
      expires_date: new Date(Date.now() + 1e9).toISOString(),
      refunded_at: new Date().toISOString(),
    })
    scene.store.addPack(String(account.id), 'credits_10', { id: 'o1_k' })
    assertRefused(await scene.grantAddon(account, receipt('o1_k')), 403, 'Active subscription required')
  })

  test('Google: equal ids, the Android key, a base plan in the product', async () => {
    const account = await scene.subscriber()
    scene.store.addPack(String(account.id), 'credits_30:p1', { id: 'GPA.1', store_transaction_id: 'GPA.1' })
    const answer = await scene.grantAddon(account, receipt('GPA.1', 'credits_30:p1', 'android'))
    assert.deepEqual(answer.body, { credits_granted: 30, new_balance: 30 })
    assert.equal(await scene.aliases(account), 1)
    const asked = scene.store.requests.at(-1)
    assert.deepEqual(
      [asked?.platform, asked?.authorization, asked?.customerId],
      ['android', `Bearer ${scene.store.keys.android}`, String(account.id)],
    )
  })

  test('every other pack of the answer that is owed is granted too; the answer tells of the named one (B-L34)', async () => {
    const account = await scene.subscriber()
    const customer = String(account.id)
    scene.store.addPack(customer, 'credits_10', { id: 'o1_l', store_transaction_id: 'L-1' })
    scene.store.addPack(customer, 'credits_10', { id: 'o1_m', store_transaction_id: 'M-1' })
    const first = await scene.grantAddon(account, receipt('o1_l'))
    assert.deepEqual(first.body, { credits_granted: 10, new_balance: 20 })
    const again = await scene.grantAddon(account, receipt('o1_l'))
    assert.deepEqual(again.body, { credits_granted: 10, new_balance: 20 })
  })

  test('a replay finds what was bought since', async () => {
    const account = await scene.subscriber()
    scene.store.addPack(String(account.id), 'credits_10', { id: 'o1_n' })
    assert.equal((await scene.grantAddon(account, receipt('o1_n'))).status, 200)
    scene.store.addPack(String(account.id), 'credits_30', { id: 'o1_o' })
    const replay = await scene.grantAddon(account, receipt('o1_n'))
    assert.deepEqual(replay.body, { credits_granted: 10, new_balance: 40 })
  })

  test('B-L1: claiming ends no token', async () => {
    const account = await scene.subscriber()
    scene.store.addPack(String(account.id), 'credits_10', { id: 'o1_p' })
    assert.equal((await scene.grantAddon(account, receipt('o1_p'))).status, 200)
    assert.equal((await scene.app.call('GET', '/auth/me', { token: account.accessToken })).status, 200)
  })
})
