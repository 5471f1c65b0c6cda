import assert from 'node:assert/strict'
import { after, before, suite, test } from 'node:test'
import { rows, setUser } from '../../../test/account-scene.ts'
import { startScene, type Scene } from '../../../test/narration-scene.ts'

suite('money actions of an administrator', () => {
  let scene: Scene
  before(async () => {
    scene = await startScene()
  })
  after(() => scene.close())

  const money = () => scene.app.app.adminMoney
  const action = (id: number) => ({ actorId: 1, id, reason: 'Zgłoszenie' })
  const refusedAs = (code: string) => ({ name: 'AppError', code })

  const narrationOf = async (userId: number): Promise<number> => {
    const [row] = await rows<{ id: number }>(scene.app, 'select id from narrations where user_id = $1', [
      userId,
    ])
    return row?.id ?? 0
  }

  test('a paid attempt under way is cancelled and refunded, once', async () => {
    const cast = await scene.cast()
    const release = scene.speech.hold('speak')
    assert.equal((await scene.ask(cast)).status, 202)
    const id = await narrationOf(cast.account.id)
    const [one, two] = await Promise.allSettled([
      money().refundNarration(action(id)),
      money().refundNarration(action(id)),
    ])
    assert.deepEqual([one.status, two.status].sort(), ['fulfilled', 'rejected'])
    await assert.rejects(money().refundNarration(action(id)), refusedAs('nothing_to_refund'))
    assert.deepEqual(
      (await scene.moves(cast)).map(({ reason, amount }) => [reason, amount]),
      [
        [`audio_synthesis:${cast.storyId}`, -3],
        ['admin_refund', 3],
      ],
    )
    assert.equal(await scene.balance(cast), 10)
    const { status, error } = (await scene.status(cast, id)).body
    assert.deepEqual([status, error], ['error', 'Narration was cancelled'])
    release()
    assert.equal((await scene.ask(cast)).status, 202)
    assert.equal((await scene.ended(cast))['status'], 'ready')
    assert.equal(await scene.balance(cast), 7)
  })

  test('a READY narration is never refunded', async () => {
    const cast = await scene.cast()
    await scene.ask(cast)
    assert.equal((await scene.ended(cast))['status'], 'ready')
    const id = await narrationOf(cast.account.id)
    await assert.rejects(money().refundNarration(action(id)), refusedAs('narration_ready'))
    assert.equal(await scene.balance(cast), 7)
    await assert.rejects(money().refundNarration(action(999_999)), refusedAs('narration_not_found'))
  })

  test('a lot is written off, and again nothing', async () => {
    const cast = await scene.cast()
    const [lot] = await rows<{ id: number }>(scene.app, 'select id from credit_lots where user_id = $1', [
      cast.account.id,
    ])
    assert.deepEqual(await money().expireLot(action(lot?.id ?? 0)), { points: 10 })
    assert.deepEqual(await money().expireLot(action(lot?.id ?? 0)), { points: 0 })
    assert.equal(await scene.balance(cast), 0)
    const expired = await rows(
      scene.app,
      `select amount, reason from credit_transactions where user_id = $1 and type = 'expire'`,
      [cast.account.id],
    )
    assert.deepEqual(expired, [{ amount: -10, reason: 'admin_expire' }])
    await assert.rejects(money().expireLot(action(999_999)), refusedAs('lot_not_found'))
  })

  test('a wrong cache is repaired from the lots', async () => {
    const cast = await scene.cast()
    await setUser(scene.app, cast.account.id, 'credits_balance = 99')
    assert.deepEqual(await money().fixBalance(action(cast.account.id)), { before: 99, after: 10 })
    assert.deepEqual(await money().fixBalance(action(cast.account.id)), { before: 10, after: 10 })
    await assert.rejects(money().fixBalance(action(999_999)), refusedAs('account_not_found'))
  })

  test('comparing with the store is queued; a replay of an unknown event is refused', async () => {
    const cast = await scene.cast()
    await money().reconcile(action(cast.account.id))
    const queued = await rows(
      scene.app,
      `select 1 from pgboss.job where name = 'subscriptions.reconcile' and data ->> 'user_id' = $1`,
      [String(cast.account.id)],
    )
    assert.equal(queued.length, 1)
    await assert.rejects(money().reconcile(action(999_999)), refusedAs('account_not_found'))
    await assert.rejects(money().replayEvent(action(999_999)), refusedAs('event_not_found'))
  })
})
