import assert from 'node:assert/strict'
import { after, before, suite, test } from 'node:test'
import { rows } from '../../../test/account-scene.ts'
import { appleLine, purchase, startWebhooks, type WebhookScene } from '../../../test/webhook-scene.ts'

suite('whom an event is about', () => {
  let scene: WebhookScene
  before(async () => {
    scene = await startWebhooks()
  })
  after(() => scene.close())

  const buy = (ids: Record<string, unknown>) =>
    purchase(
      { ...appleLine({ id: 0 }), original_app_user_id: undefined, aliases: undefined, ...ids },
      'INITIAL_PURCHASE',
      {
        startMs: Date.now(),
      },
    )

  test('own id, original id, each of the aliases, also as numbers (B-L19)', async () => {
    for (const name of ['app_user_id', 'original_app_user_id', 'aliases', 'number']) {
      const account = await scene.account()
      const ids = { app_user_id: '$RCAnonymousID:a' }
      const id = String(account.id)
      await scene.send(
        buy(
          name === 'aliases'
            ? { ...ids, aliases: ['$RCAnonymousID:b', account.id] }
            : name === 'number'
              ? { app_user_id: account.id }
              : { ...ids, [name]: id },
        ),
      )
      assert.equal(await scene.balance(account), 26, name)
    }
  })

  test('a user without link is found by number, one with another link is not', async () => {
    const [never, other] = [await scene.account(), await scene.account()]
    await rows(scene.app, 'update users set revenuecat_app_user_id = null where id = $1', [never.id])
    await rows(scene.app, `update users set revenuecat_app_user_id = 'old-link' where id = $1`, [other.id])
    await scene.send(buy({ app_user_id: String(never.id) }))
    assert.equal(await scene.balance(never), 26)
    await scene.send(buy({ app_user_id: 'old-link' }))
    assert.equal(await scene.balance(other), 26)
    const answer = await scene.deliver({
      event: { ...buy({ app_user_id: String(other.id) }), id: 'by-number' },
    })
    assert.equal(answer.status, 404)
  })

  test('the first id that names a user wins', async () => {
    const [first, second] = [await scene.account(), await scene.account()]
    await scene.send(buy({ app_user_id: String(first.id), aliases: [String(second.id)] }))
    assert.deepEqual([await scene.balance(first), await scene.balance(second)], [26, 0])
  })

  test('thousands of aliases are no 500', async () => {
    const account = await scene.account()
    const aliases = Array.from({ length: 20_000 }, (_, n) => String(5_000_000 + n))
    await scene.send(buy({ app_user_id: '$RCAnonymousID:c', aliases: [...aliases, String(account.id)] }))
    assert.equal(await scene.balance(account), 26)
  })
})
