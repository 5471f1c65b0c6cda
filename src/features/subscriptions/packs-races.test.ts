import assert from 'node:assert/strict'
import { after, before, suite, test } from 'node:test'
import fc from 'fast-check'
import { createAccount, rows, setUser } from '../../../test/account-scene.ts'
import { assertBooks, readBooks } from '../../../test/ledger-fixtures.ts'
import { receipt, startPacks, type PacksScene } from '../../../test/packs-scene.ts'
import { propertySettings } from '../../../test/property-settings.ts'

suite('packs claimed at once', () => {
  let scene: PacksScene
  before(async () => {
    scene = await startPacks({ work: false })
  })
  after(() => scene.close())

  test('one pack by both its identifiers pays once (B-L2)', async () => {
    for (let round = 0; round < 5; round += 1) {
      const account = await scene.subscriber()
      const [id, storeId] = [`o1_${account.id}`, `S-${account.id}`]
      scene.store.addPack(String(account.id), 'credits_10', { id, store_transaction_id: storeId })
      const answers = await Promise.all([
        scene.grantAddon(account, receipt(id)),
        scene.grantAddon(account, receipt(storeId)),
      ])
      for (const { body } of answers) assert.deepEqual(body, { credits_granted: 10, new_balance: 10 })
      assert.equal(await scene.balance(account), 10)
      assert.equal((await scene.purchases(account)).length, 1)
    }
  })

  test('four equal claims: one grant, four equal answers', async () => {
    const account = await scene.subscriber()
    scene.store.addPack(String(account.id), 'credits_30', { id: 'o1_four', store_transaction_id: 'F-4' })
    const answers = await Promise.all(
      Array.from({ length: 4 }, () => scene.grantAddon(account, receipt('o1_four', 'credits_30'))),
    )
    for (const { body } of answers) assert.deepEqual(body, { credits_granted: 30, new_balance: 30 })
  })

  test('two receipts of one user: both 200, no deadlock (B-L4)', async () => {
    for (let round = 0; round < 5; round += 1) {
      const account = await scene.subscriber()
      const [a, b] = [`o1_a${account.id}`, `o1_b${account.id}`]
      scene.store.addPack(String(account.id), 'credits_10', { id: a, store_transaction_id: `A${account.id}` })
      scene.store.addPack(String(account.id), 'credits_20', { id: b, store_transaction_id: `B${account.id}` })
      const answers = await Promise.all([
        scene.grantAddon(account, receipt(a)),
        scene.grantAddon(account, receipt(b, 'credits_20')),
      ])
      assert.deepEqual(
        answers.map(({ status, body }) => [status, body['credits_granted']]),
        [
          [200, 10],
          [200, 20],
        ],
      )
      assert.equal(await scene.balance(account), 30)
      assertBooks(await readBooks(scene.app.test.database, account.id))
    }
  })

  test('one receipt that two accounts claim goes to one of them', async () => {
    for (let round = 0; round < 5; round += 1) {
      const accounts = [await scene.subscriber(), await scene.subscriber()]
      const id = `o1_shared${accounts[0]?.id}`
      for (const { id: customer } of accounts) scene.store.addPack(String(customer), 'credits_10', { id })
      const answers = await Promise.all(accounts.map((account) => scene.grantAddon(account, receipt(id))))
      assert.deepEqual(answers.map(({ status }) => status).sort(), [200, 409])
    }
  })

  test('what one account was not entitled to goes to the one under whom the store lists it now', async () => {
    const [first, second] = [await createAccount(scene.app), await scene.subscriber()]
    scene.store.addPack(String(first.id), 'credits_10', { id: 'o1_moved' })
    assert.equal((await scene.grantAddon(first, receipt('o1_moved'))).status, 403)
    scene.store.addPack(String(second.id), 'credits_10', { id: 'o1_moved' })
    const answer = await scene.grantAddon(second, receipt('o1_moved'))
    assert.deepEqual(answer.body, { credits_granted: 10, new_balance: 10 })
    await setUser(
      scene.app,
      first.id,
      `subscription_active = true, subscription_expires_at = now() + interval '1 day'`,
    )
    assert.equal((await scene.grantAddon(first, receipt('o1_moved'))).status, 409)
  })

  test('each pack pays at most once, over users, identifiers and ways in (I13)', async () => {
    const action = fc.record({
      user: fc.nat({ max: 1 }),
      pack: fc.nat({ max: 2 }),
      by: fc.constantFrom('id' as const, 'store' as const, 'reconcile' as const),
      isDown: fc.boolean(),
    })
    await fc.assert(
      fc.asyncProperty(fc.array(action, { minLength: 2, maxLength: 6 }), async (actions) => {
        const accounts = [await scene.subscriber(), await scene.subscriber()]
        const key = accounts[0]?.id
        const packs = [10, 20, 30].map((points) => ({
          points,
          product: `credits_${points}`,
          id: `o1_${key}_${points}`,
          store: `T_${key}_${points}`,
        }))
        for (const { id: customer } of accounts)
          for (const { product, id, store } of packs)
            scene.store.addPack(String(customer), product, { id, store_transaction_id: store })
        await Promise.all(
          actions.map(async ({ user, pack, by, isDown }) => {
            const [account, named] = [accounts[user], packs[pack]]
            assert.ok(account && named)
            if (isDown) scene.store.answer({ status: 404 })
            if (by !== 'reconcile') {
              const { status } = await scene.grantAddon(account, receipt(named[by], named.product))
              assert.ok([200, 403, 409].includes(status), String(status))
              return
            }
            const oneOffPurchases = packs.map(({ product, id, store }) => ({
              productId: product,
              id,
              storeTransactionId: store,
              purchasedAt: new Date(),
              isSandbox: false,
            }))
            await scene.app.app.packs.reconcilePacks(account.id, { oneOffPurchases, subscriptions: [] })
          }),
        )
        const paid = await rows<{ reason: string; n: number }>(
          scene.app,
          `select reason, count(*)::int as n from credit_transactions
           where user_id = any($1) and reason like 'addon:%' group by reason`,
          [accounts.map(({ id }) => id)],
        )
        for (const { reason, n } of paid) assert.equal(n, 1, reason)
        for (const { id } of accounts) assertBooks(await readBooks(scene.app.test.database, id))
      }),
      propertySettings(6),
    )
  })
})

test('a reconcile grants what is stored without points, once the user is entitled', async () => {
  const scene = await startPacks({ work: false })
  const account = await createAccount(scene.app)
  // As a webhook of a user without subscription leaves it.
  await rows(
    scene.app,
    `with p as (
       insert into store_purchases (kind, user_id, product_id, purchased_at, not_granted_reason, created_at, updated_at)
       values ('pack', $1, 'credits_20', now(), 'not_entitled', now(), now()) returning id)
     insert into store_purchase_aliases select sha256('stored'::bytea), id from p`,
    [account.id],
  )
  const { packs } = scene.app.app
  const nothing = { oneOffPurchases: [], subscriptions: [] }
  assert.deepEqual(await packs.reconcilePacks(account.id, nothing), { points: 0 })
  await setUser(
    scene.app,
    account.id,
    `subscription_active = true, subscription_expires_at = now() + interval '1 day'`,
  )
  assert.deepEqual(await packs.reconcilePacks(account.id, nothing), { points: 20 })
  assert.deepEqual(await packs.reconcilePacks(account.id, nothing), { points: 0 })
  assert.equal(await scene.balance(account), 20)
  await scene.close()
})

test('a deleted account gets nothing from a reconcile that comes late', async () => {
  const scene = await startPacks({ work: false })
  const account = await scene.subscriber()
  await setUser(scene.app, account.id, `status = 'deleting'`)
  const purchasedAt = new Date()
  const entry = {
    productId: 'credits_10',
    id: 'o1_late',
    storeTransactionId: null,
    purchasedAt,
    isSandbox: false,
  }
  const books = { oneOffPurchases: [entry], subscriptions: [] }
  assert.deepEqual(await scene.app.app.packs.reconcilePacks(account.id, books), { points: 0 })
  assert.deepEqual(await scene.purchases(account), [])
  await scene.close()
})
