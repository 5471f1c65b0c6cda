import assert from 'node:assert/strict'
import { after, before, suite, test } from 'node:test'
import { createScheduler } from '../../platform/jobs/schedules.ts'
import { jobTypes } from '../../app.ts'
import { rows, setUser } from '../../../test/account-scene.ts'
import { until, type Account } from '../../../test/app.ts'
import { manualClock, type ManualClock } from '../../../test/ledger-fixtures.ts'
import { recordingLogger } from '../../../test/logger.ts'
import { appleLine, dayMs, purchase, startWebhooks, type WebhookScene } from '../../../test/webhook-scene.ts'
import { createGrantAnnualMonths } from './grant-annual-months.job.ts'
import { createPruneEvents } from './prune-events.job.ts'

const context = { jobId: 'test', retryCount: 0, signal: new AbortController().signal }

interface Timed {
  scene: WebhookScene
  clock: ManualClock
  /** Lets the scheduler start what is due, and waits for that job's run. */
  run(name: string): Promise<unknown>
  moveTo(instant: string): void
}

const startTimed = async (start: string, env: Record<string, string> = {}): Promise<Timed> => {
  const clock = manualClock(start)
  const scene = await startWebhooks({ env, overrides: { clock }, work: true })
  const { app } = scene
  return {
    scene,
    clock,
    moveTo: (instant) => clock.advance(Date.parse(instant) - clock.now().getTime()),
    run: async (name) => {
      await app.app.scheduler.tick()
      return until(async () => {
        const [row] = await rows<{ result: unknown }>(
          app,
          'select result from job_runs where name = $1 and started_at >= $2',
          [name, clock.now()],
        )
        return row?.result
      }, name)
    },
  }
}

const annualJob = 'subscriptions.grant-annual-months'

suite('annual months', () => {
  let timed: Timed
  before(async () => {
    timed = await startTimed('2027-01-31T10:00:00.000Z')
  })
  after(() => timed.scene.close())

  const buyAnnual = async (account: Account) => {
    const line = appleLine(account, 'dawnotemu_annual')
    const startMs = timed.clock.now().getTime()
    const bought = purchase(line, 'INITIAL_PURCHASE', { startMs, days: 365 })
    await timed.scene.send(bought)
    return { line: { ...line, transaction_id: bought['transaction_id'] }, startMs, bought }
  }

  test('bought on the 31st: a month at each clamped anniversary, missed ones made up, 360 in a year (B-L15)', async () => {
    const { scene, moveTo, run } = timed
    const account = await scene.account()
    const { line, startMs } = await buyAnnual(account)
    assert.equal(await scene.balance(account), 30)
    moveTo('2027-02-28T09:40:00.000Z')
    await run(annualJob)
    assert.equal(await scene.balance(account), 30, 'not before the hour it was bought at')
    moveTo('2027-02-28T10:40:00.000Z')
    await run(annualJob)
    assert.equal(await scene.balance(account), 60)
    // Nothing ran for weeks; a webhook shares the keys with the scheduler.
    moveTo('2027-06-01T00:40:00.000Z')
    await scene.send({ ...line, type: 'UNCANCELLATION', event_timestamp_ms: startMs + 121 * dayMs })
    assert.equal(await scene.balance(account), 150)
    await run(annualJob)
    assert.equal(await scene.balance(account), 150)
    // Other monthly points suppress nothing (B-L16).
    const { credits, database } = scene.app.app
    await database.transaction((tx) =>
      credits.grant(tx, { userId: account.id, amount: 7, source: 'monthly', reason: 'admin_grant' }),
    )
    moveTo('2028-01-30T10:40:00.000Z')
    await run(annualJob)
    assert.equal(await scene.balance(account), 360 + 7)
    await scene.send(
      purchase({ ...line, app_user_id: String(account.id) }, 'RENEWAL', {
        n: 1,
        startMs: startMs + 365 * dayMs,
        days: 365,
      }),
    )
    moveTo('2028-02-10T10:40:00.000Z')
    await run(annualJob)
    assert.equal(await scene.balance(account), 360 + 7 + 30)
    const reasons = (await scene.ledger(account)).map(({ reason }) => reason)
    assert.equal(reasons.filter((reason) => reason === 'yearly_subscription_monthly_grant').length, 11)
  })

  test('a deactivated account’s months wait for its return', async () => {
    const { scene, clock, run } = timed
    const account = await scene.account()
    await buyAnnual(account)
    await setUser(scene.app, account.id, `status = 'deactivated'`)
    clock.advance(65 * dayMs)
    await run(annualJob)
    assert.equal(await scene.balance(account), 30)
    await setUser(scene.app, account.id, `status = 'active'`)
    clock.advance(dayMs / 24)
    await run(annualJob)
    assert.equal(await scene.balance(account), 90)
  })

  test('monthly, refunded, ended and already paid ones get nothing', async () => {
    const { scene, clock, run } = timed
    const [monthly, refunded, ended] = [await scene.account(), await scene.account(), await scene.account()]
    const startMs = clock.now().getTime()
    await scene.send(purchase(appleLine(monthly), 'INITIAL_PURCHASE', { startMs, days: 365 }))
    const back = await buyAnnual(refunded)
    await scene.send({
      ...back.line,
      type: 'CANCELLATION',
      cancel_reason: 'CUSTOMER_SUPPORT',
      event_timestamp_ms: startMs + 1,
    })
    const over = await buyAnnual(ended)
    await scene.send({ ...over.line, type: 'EXPIRATION', event_timestamp_ms: startMs + 2 })
    clock.advance(100 * dayMs)
    await run(annualJob)
    assert.deepEqual(
      await Promise.all([monthly, refunded, ended].map((account) => scene.balance(account))),
      [26, 0, 30],
    )
  })

  test('after a TRANSFER the months go to the new owner', async () => {
    const { scene, clock, run } = timed
    const [from, to] = [await scene.account(), await scene.account()]
    const { startMs } = await buyAnnual(from)
    await scene.send({
      type: 'TRANSFER',
      transferred_from: [String(from.id)],
      transferred_to: [String(to.id)],
      event_timestamp_ms: startMs + dayMs,
    })
    clock.advance(40 * dayMs)
    await run(annualJob)
    assert.deepEqual([await scene.balance(from), await scene.balance(to)], [30, 30])
  })

  test('overlapping runs, and a webhook beside them, pay once (B-L6)', async () => {
    const { scene, clock } = timed
    const accounts = await Promise.all(Array.from({ length: 5 }, () => scene.account()))
    const lines = await Promise.all(accounts.map(buyAnnual))
    clock.advance(45 * dayMs)
    const { database, subscriptions } = scene.app.app
    const logger = recordingLogger()
    const job = createGrantAnnualMonths({
      database,
      clock,
      logger,
      settlePurchase: subscriptions.settlePurchase,
    })
    await Promise.all([
      job.run({}, context),
      job.run({}, context),
      job.run({}, context),
      ...lines.map(({ line, startMs }) =>
        scene.send({ ...line, type: 'UNCANCELLATION', event_timestamp_ms: startMs + 3 }),
      ),
    ])
    const balances = await Promise.all(accounts.map((account) => scene.balance(account)))
    assert.deepEqual(balances, [60, 60, 60, 60, 60])
    assert.deepEqual(logger.lines, [])
  })

  test('two schedulers at once start one run', async () => {
    const { scene, clock } = timed
    clock.advance(3 * dayMs)
    const { database, jobs } = scene.app.app
    const logger = recordingLogger()
    const types = jobTypes.filter(({ name }) => name === annualJob)
    const schedulers = [1, 2].map(() => createScheduler({ database, jobs, clock, logger, types }))
    const started = await Promise.all(schedulers.map((scheduler) => scheduler.tick()))
    assert.deepEqual(started.flat(), [annualJob])
  })
})

suite('pruning', () => {
  const pruneJob = 'subscriptions.prune-events'

  const storedIds = async ({ scene }: Timed): Promise<string[]> =>
    (await scene.storedEvents()).map(({ event_id: id }) => id)

  /** A year of monthly renewals, each told of by three events. */
  const liveAYear = async ({ scene, clock }: Timed, account: Account) => {
    const line = appleLine(account)
    const send = async (id: string, event: Record<string, unknown> & { type: string }): Promise<void> => {
      assert.equal(await scene.send({ ...event, id }), 'processed')
    }
    for (let n = 0; n < 6; n += 1) {
      const startMs = clock.now().getTime()
      const bought = purchase(line, n === 0 ? 'INITIAL_PURCHASE' : 'RENEWAL', { n, startMs })
      await send(`buy-${n}`, bought)
      const named = { ...line, transaction_id: bought['transaction_id'] }
      await send(`cancel-${n}`, { ...named, type: 'CANCELLATION', event_timestamp_ms: startMs + 1 })
      if (n % 2 === 1)
        await send(`refund-${n}`, {
          ...named,
          type: 'CANCELLATION',
          cancel_reason: 'CUSTOMER_SUPPORT',
          event_timestamp_ms: startMs + 2,
        })
      clock.advance(30 * dayMs)
    }
    return line
  }

  test('old events go, the state and what follows from it stays', async () => {
    const timed = await startTimed('2027-01-01T12:00:00.000Z')
    const { scene, clock, run } = timed
    try {
      const [account, other] = [await scene.account(), await scene.account()]
      await scene.send({
        id: 'transfer-0',
        type: 'TRANSFER',
        transferred_from: [String(other.id)],
        transferred_to: [String(account.id)],
      })
      await scene.send({ id: 'odd-0', type: 'NEW_TYPE', app_user_id: String(account.id) })
      const line = await liveAYear(timed, account)
      await scene.send({
        id: 'pack-0',
        type: 'NON_RENEWING_PURCHASE',
        product_id: 'credits_10',
        transaction_id: 'pack-0',
        app_user_id: String(account.id),
      })
      const before = [await scene.user(account), await scene.balance(account)]
      clock.advance(89 * dayMs)
      await run(pruneJob)
      const young = await storedIds(timed)
      assert.ok(young.includes('buy-5') && young.includes('cancel-5'))
      assert.ok(young.includes('pack-0'), 'not yet 90 days old')
      for (const id of ['buy-0', 'cancel-0', 'refund-3', 'buy-4', 'odd-0']) assert.ok(!young.includes(id), id)
      assert.ok(young.includes('transfer-0'))
      clock.advance(30 * dayMs)
      await run(pruneJob)
      // Whether a renewal names its product decides whether the first purchase is needed.
      assert.deepEqual(await storedIds(timed), ['transfer-0', 'buy-5', 'cancel-5', 'refund-5'])
      assert.deepEqual([await scene.user(account), await scene.balance(account)], before)
      // A late reversal of a pruned refund still finds its purchase.
      await scene.send({
        ...line,
        type: 'REFUND_REVERSED',
        transaction_id: `${line.original_transaction_id}1`,
        event_timestamp_ms: clock.now().getTime(),
      })
      assert.equal(await scene.balance(account), Number(before[1]) + 26)
      // A duplicate of a pruned purchase pays nothing.
      await scene.send(
        purchase(line, 'INITIAL_PURCHASE', { n: 0, startMs: Date.parse('2027-01-01T12:00:00Z') }),
      )
      assert.equal(await scene.balance(account), Number(before[1]) + 26)
      assert.deepEqual(
        (await scene.user(account)).subscription_expires_at,
        (before[0] as { subscription_expires_at: Date }).subscription_expires_at,
      )
    } finally {
      await scene.close()
    }
  })

  test('0 keeps everything, another retention counts', async () => {
    const timed = await startTimed('2027-01-01T12:00:00.000Z')
    const { scene, clock } = timed
    try {
      await liveAYear(timed, await scene.account())
      clock.advance(40 * dayMs)
      const { database, credits } = scene.app.app
      const prune = (retentionDays: number): Promise<void> =>
        createPruneEvents({ database, clock, logger: recordingLogger(), credits, retentionDays }).run(
          {},
          context,
        )
      await prune(0)
      assert.equal((await storedIds(timed)).length, 15)
      await prune(150)
      // The first three months are older than that.
      assert.equal((await storedIds(timed)).length, 8)
    } finally {
      await scene.close()
    }
  })
})
