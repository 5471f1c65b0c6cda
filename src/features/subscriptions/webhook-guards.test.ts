import assert from 'node:assert/strict'
import { createHmac } from 'node:crypto'
import { after, before, suite, test } from 'node:test'
import { count, rows } from '../../../test/account-scene.ts'
import type { Answer } from '../../../test/app.ts'
import {
  appleLine,
  dayMs,
  envelope,
  purchase,
  startWebhooks,
  type WebhookScene,
} from '../../../test/webhook-scene.ts'

const assertRefused = (answer: Answer, status: number, error: string): void => {
  assert.equal(answer.status, status, answer.text)
  assert.deepEqual(answer.body, { error })
}

suite('a failing grant', () => {
  test('row 14: is 500, nothing is stored, and the same id succeeds later', async () => {
    const scene = await startWebhooks()
    scene.app.expectErrors()
    try {
      const account = await scene.account()
      await rows(
        scene.app,
        `create function fail() returns trigger language plpgsql as $$ begin raise exception 'forced'; end $$;
         create trigger fail before insert on credit_lots for each row execute function fail()`,
      )
      const body = envelope(purchase(appleLine(account), 'INITIAL_PURCHASE', { startMs: Date.now() }))
      const failed = await scene.deliver(body)
      assert.equal(failed.status, 500)
      assert.deepEqual(failed.body, {
        error: 'Internal error',
        request_id: failed.headers.get('x-request-id'),
      })
      for (const table of [
        'webhook_events',
        'store_subscriptions',
        'store_purchases',
        'store_purchase_aliases',
      ])
        assert.equal(await count(scene.app, table), 0, table)
      assert.equal((await scene.user(account)).subscription_active, false)
      await rows(scene.app, 'drop trigger fail on credit_lots')
      assert.deepEqual((await scene.deliver(body)).body, { status: 'processed' })
      assert.equal(await scene.balance(account), 26)
    } finally {
      await scene.close()
    }
  })
})

suite('a webhook without secret', () => {
  test('row 1: every delivery is 401', async () => {
    const scene = await startWebhooks({ env: { REVENUECAT_WEBHOOK_SECRET: '' } })
    try {
      for (const authorization of ['', 'null', 'undefined', 'Bearer ', 'Bearer null'])
        assertRefused(
          await scene.deliver({ event: { id: 'a', type: 'TEST' } }, { authorization }),
          401,
          'Unauthorized',
        )
    } finally {
      await scene.close()
    }
  })
})

suite('signed webhooks', () => {
  const secret = 'signing-secret-of-this-test'
  let scene: WebhookScene
  before(async () => {
    scene = await startWebhooks({ env: { REVENUECAT_WEBHOOK_SIGNING_SECRET: secret } })
  })
  after(() => scene.close())

  const body = '{"event": {"id": "signed-1", "type": "TEST", "žółw": "🐢"}}'
  const hmac = (time: number, text: string, key = secret): string =>
    createHmac('sha256', key).update(`${time}.${text}`).digest('hex')
  const now = (): number => Math.floor(Date.now() / 1000)
  const signed = (signature: string): Promise<Answer> =>
    scene.deliver(body, { 'x-revenuecat-webhook-signature': signature })

  test('the right signature over the raw body is taken', async () => {
    const time = now()
    assert.equal((await signed(`t=${time},v1=${hmac(time, body)}`)).status, 200)
  })

  test('any of several v1 may match', async () => {
    const time = now()
    const header = `t=${time},v1=${'0'.repeat(64)},v1=${hmac(time, body)},v0=1`
    assert.equal((await signed(header)).status, 200)
  })

  test('299 s off is taken, 301 s are not, to either side', async () => {
    for (const [shift, status] of [
      [-298, 200],
      [298, 200],
      [-302, 401],
      [302, 401],
    ] as const) {
      const time = now() + shift
      assert.equal((await signed(`t=${time},v1=${hmac(time, body)}`)).status, status, String(shift))
    }
  })

  const time = now()
  for (const [name, header] of [
    ['another body', `t=${time},v1=${hmac(time, body + ' ')}`],
    ['another key', `t=${time},v1=${hmac(time, body, 'other')}`],
    ['another time', `t=${time + 1},v1=${hmac(time, body)}`],
    ['no time', `v1=${hmac(time, body)}`],
    ['no v1', `t=${time}`],
    ['nothing', ''],
    ['nonsense', 'nonsense'],
    ['two times', `t=${time},t=${time + 1},v1=${hmac(time, body)}`],
  ] as const)
    test(`${name} is 401`, async () => assertRefused(await signed(header), 401, 'Unauthorized'))

  test('a bad signature comes before a bad body', async () => {
    assertRefused(await scene.deliver('{', { 'x-revenuecat-webhook-signature': 'no' }), 401, 'Unauthorized')
  })
})

suite('sandbox', () => {
  test('row 11: where it is refused, sandbox events change nothing (B-L20)', async () => {
    const scene = await startWebhooks({ env: { ALLOW_SANDBOX_PURCHASES: 'false' } })
    try {
      const account = await scene.account()
      const event = purchase(appleLine(account), 'INITIAL_PURCHASE', { startMs: Date.now() })
      assert.equal(await scene.send({ ...event, environment: 'SANDBOX' }), 'ignored')
      assert.equal((await scene.user(account)).subscription_active, false)
      assert.deepEqual(await scene.ledger(account), [])
      assert.equal((await scene.storedEvents())[0]?.outcome, 'sandbox_refused')
      assert.equal(await scene.send({ ...event, environment: undefined }), 'processed')
      assert.equal(await scene.balance(account), 26)
    } finally {
      await scene.close()
    }
  })

  test('where it is allowed it counts', async () => {
    const scene = await startWebhooks()
    try {
      const account = await scene.account()
      const event = purchase(appleLine(account), 'INITIAL_PURCHASE', { startMs: Date.now() - dayMs })
      assert.equal(await scene.send({ ...event, environment: 'SANDBOX' }), 'processed')
      assert.equal(await scene.balance(account), 26)
    } finally {
      await scene.close()
    }
  })
})

suite('limits', () => {
  let scene: WebhookScene
  before(async () => {
    scene = await startWebhooks({ env: { RATELIMIT_ENABLED: 'true' } })
  })
  after(() => scene.close())

  test('200 valid deliveries in a burst get no 429 (B-L27); nor do they after a flood of failures', async () => {
    const account = await scene.account()
    const line = appleLine(account)
    const event = (n: number) =>
      envelope({ ...line, type: 'CANCELLATION', transaction_id: `t${n}`, event_timestamp_ms: Date.now() })
    const failures = await Promise.all(
      Array.from({ length: 40 }, () => scene.deliver('{}', { authorization: 'wrong' })),
    )
    const statuses = failures.map(({ status }) => status).sort()
    assert.deepEqual(statuses, [
      ...Array.from({ length: 30 }, () => 401),
      ...Array.from({ length: 10 }, () => 429),
    ])
    const refused = failures.find(({ status }) => status === 429)
    assert.ok(Number(refused?.headers.get('retry-after')) >= 1)
    assert.equal((await scene.deliver('{')).status, 429, 'an unreadable body counts as a failure')
    const answers = await Promise.all(Array.from({ length: 200 }, (_, n) => scene.deliver(event(n))))
    assert.deepEqual([...new Set(answers.map(({ status }) => status))], [200])
  })
})
