import assert from 'node:assert/strict'
import { after, before, suite, test } from 'node:test'
import { createRevenueCat } from '../../providers/store-billing/revenuecat.ts'
import type { StoreBilling } from '../../providers/store-billing/store-billing.ts'
import { createAccount, rows } from '../../../test/account-scene.ts'
import type { Answer } from '../../../test/app.ts'
import { receipt, startPacks, type PacksScene } from '../../../test/packs-scene.ts'
import type { ScriptedAnswer } from '../../../test/revenuecat-server.ts'

/** A 5xx carries the request's id as well. */
const assertFault = (answer: Answer, status: number, error: string): void => {
  assert.equal(answer.status, status, answer.text)
  assert.deepEqual(answer.body, { error, request_id: answer.headers.get('x-request-id') })
}

suite('the store cannot be asked', () => {
  let scene: PacksScene
  let impatient: StoreBilling
  before(async () => {
    const overrides = {
      storeBilling: {
        name: 'revenuecat',
        hasKey: () => true,
        fetchSubscriber: (...request: Parameters<StoreBilling['fetchSubscriber']>) =>
          impatient.fetchSubscriber(...request),
      },
    }
    scene = await startPacks({ work: false, overrides })
    impatient = createRevenueCat({ baseUrl: scene.store.url, keys: scene.store.keys, timeoutMs: 300 })
  })
  after(async () => {
    scene.app.expectErrors()
    await scene.close()
  })

  const unavailable = 'Receipt validation temporarily unavailable, please retry'
  const faults: [name: string, answer: ScriptedAnswer][] = [
    ['a timeout', { delayMs: 2000 }],
    ['a cut before the head', { cut: 'head' }],
    ['a cut in the body', { cut: 'body' }],
    ['500', { status: 500 }],
    ['503 of a proxy', { status: 503, body: '<html></html>' }],
    ['429', { status: 429, headers: { 'retry-after': '9' } }],
    ['200 with HTML', { status: 200, body: '<html>maintenance</html>' }],
    ['200 with a list', { status: 200, body: [] }],
  ]
  for (const [name, answer] of faults)
    test(`${name} is 503, changes nothing, and the next try succeeds`, async () => {
      const account = await scene.subscriber()
      scene.store.addPack(String(account.id), 'credits_10', { id: `o1_${account.id}` })
      scene.store.answer(answer)
      const failed = await scene.grantAddon(account, receipt(`o1_${account.id}`))
      assertFault(failed, 503, unavailable)
      assert.equal(failed.headers.get('retry-after'), '30')
      assert.deepEqual(await scene.purchases(account), [])
      const next = await scene.grantAddon(account, receipt(`o1_${account.id}`))
      assert.deepEqual(next.body, { credits_granted: 10, new_balance: 10 })
    })

  for (const status of [302, 400, 401, 403, 404])
    test(`${status} is 403`, async () => {
      const account = await scene.subscriber()
      scene.store.addPack(String(account.id), 'credits_10', { id: `o1_${account.id}` })
      scene.store.answer({ status, headers: status === 302 ? { location: 'http://127.0.0.1:9/' } : {} })
      const answer = await scene.grantAddon(account, receipt(`o1_${account.id}`))
      assert.equal(answer.status, 403, answer.text)
      assert.deepEqual(answer.body, { error: 'Receipt validation failed' })
      const alerts = scene.app.lines.filter(({ message }) => message === 'the store refuses our key')
      assert.equal(
        alerts.some(({ fields }) => fields['status'] === status),
        [401, 403].includes(status),
      )
    })

  test('a customer the service has not seen is answered 201, and accepted', async () => {
    const account = await scene.subscriber()
    scene.store.addPack(String(account.id), 'credits_10', { id: 'o1_new' })
    scene.store.answer({ status: 201 })
    assert.equal((await scene.grantAddon(account, receipt('o1_new'))).status, 200)
  })

  test('levels and entries of other shapes are no packs', async () => {
    const account = await scene.subscriber()
    for (const body of [
      {},
      { subscriber: null },
      { subscriber: { non_subscriptions: [] } },
      { subscriber: { non_subscriptions: { credits_10: 'o1_x' } } },
      { subscriber: { non_subscriptions: { credits_10: [null, 'o1_x', { id: { o1_x: 1 } }, {}] } } },
    ]) {
      scene.store.answer({ status: 200, body })
      assert.equal((await scene.grantAddon(account, receipt('o1_x'))).status, 403)
    }
    assert.deepEqual(await scene.purchases(account), [])
  })

  test('a replay whose question fails answers as before', async () => {
    const account = await scene.subscriber()
    scene.store.addPack(String(account.id), 'credits_10', { id: 'o1_again' })
    assert.equal((await scene.grantAddon(account, receipt('o1_again'))).status, 200)
    for (const answer of [{ status: 500 }, { status: 403 }, { cut: 'head' as const }]) {
      scene.store.answer(answer)
      const replay = await scene.grantAddon(account, receipt('o1_again'))
      assert.deepEqual(replay.body, { credits_granted: 10, new_balance: 10 })
    }
    const queued = await rows(
      scene.app,
      `select data from pgboss.job where name = 'subscriptions.reconcile' and data ->> 'user_id' = $1`,
      [String(account.id)],
    )
    assert.ok(queued.length > 0, 'what the failed question would have found is left to the job')
  })

  test('an unexpected failure of the check is 500', async () => {
    const account = await scene.subscriber()
    const kept = impatient
    impatient = { ...kept, fetchSubscriber: () => Promise.reject(new TypeError('broken')) }
    const answer = await scene.grantAddon(account, receipt('o1_broken'))
    impatient = kept
    assertFault(answer, 500, 'Receipt validation failed')
  })

  test('a grant that fails is 500 and leaves no claim; the same receipt succeeds later', async () => {
    const account = await scene.subscriber()
    scene.store.addPack(String(account.id), 'credits_10', { id: 'o1_fails' })
    await rows(
      scene.app,
      `create function refuse_pack() returns trigger language plpgsql as
         $$ begin if new.reason like 'addon:%' then raise exception 'refused'; end if; return new; end $$`,
    )
    await rows(
      scene.app,
      `create trigger refuse_pack before insert on credit_transactions for each row execute function refuse_pack()`,
    )
    const failed = await scene.grantAddon(account, receipt('o1_fails'))
    assertFault(failed, 500, 'Failed to grant credits')
    assert.deepEqual(await scene.purchases(account), [])
    await rows(scene.app, 'drop function refuse_pack() cascade')
    assert.equal((await scene.grantAddon(account, receipt('o1_fails'))).status, 200)
  })
})

suite('without a key of the store', () => {
  const noKeys = { REVENUECAT_IOS_PUBLIC_KEY: '', REVENUECAT_ANDROID_PUBLIC_KEY: '' }

  test('packs are refused', async () => {
    const scene = await startPacks({ work: false, env: noKeys })
    const account = await scene.subscriber()
    assert.equal((await scene.grantAddon(account, receipt('o1_a'))).status, 403)
    await scene.close()
  })

  test('a claim is taken unchecked where that is allowed, of subscribers only', async () => {
    const scene = await startPacks({
      work: false,
      env: { ...noKeys, ALLOW_UNVERIFIED_PURCHASES: 'true' },
    })
    const [account, onTrial] = [await scene.subscriber(), await createAccount(scene.app)]
    const answer = await scene.grantAddon(account, receipt('o1_a', 'credits_20'))
    assert.deepEqual(answer.body, { credits_granted: 20, new_balance: 20 })
    assert.equal((await scene.grantAddon(onTrial, receipt('o1_b'))).status, 403)
    assert.equal((await scene.grantAddon(onTrial, receipt('o1_a'))).status, 409)
    await scene.close()
  })
})

test('sandbox purchases count nothing where they are refused, and neither does a sandbox subscription (B-L20)', async () => {
  const scene = await startPacks({ work: false, env: { ALLOW_SANDBOX_PURCHASES: 'false' } })
  const [account, other] = [await scene.subscriber(), await createAccount(scene.app)]
  scene.store.addPack(String(account.id), 'credits_10', { id: 'o1_sand', is_sandbox: true })
  scene.store.addPack(String(account.id), 'credits_20', { id: 'o1_real' })
  assert.equal((await scene.grantAddon(account, receipt('o1_sand'))).status, 403)
  const granted = await scene.grantAddon(account, receipt('o1_real', 'credits_20'))
  assert.deepEqual(granted.body, { credits_granted: 20, new_balance: 20 })
  scene.store.setSubscription(String(other.id), 'dawnotemu_monthly', {
    original_purchase_date: new Date(Date.now() - 1e6).toISOString(),
    expires_date: new Date(Date.now() + 1e9).toISOString(),
    is_sandbox: true,
  })
  scene.store.addPack(String(other.id), 'credits_10', { id: 'o1_other' })
  assert.equal((await scene.grantAddon(other, receipt('o1_other'))).status, 403)
  await scene.close()
})

test('ten a minute and user; others behind the same proxy have their own (B-L27)', async () => {
  const scene = await startPacks({ work: false, env: { RATELIMIT_ENABLED: 'true' } })
  const [account, other] = [await scene.subscriber(), await scene.subscriber()]
  const answers = await Promise.all(
    Array.from({ length: 11 }, () => scene.grantAddon(account, receipt('o1_none'))),
  )
  assert.deepEqual(answers.map(({ status }) => status).sort(), [...Array(10).fill(403), 429])
  const refused = answers.find(({ status }) => status === 429)
  assert.equal(typeof refused?.body['retry_after'], 'number')
  assert.equal((await scene.grantAddon(other, receipt('o1_none'))).status, 403)
  await scene.close()
})
