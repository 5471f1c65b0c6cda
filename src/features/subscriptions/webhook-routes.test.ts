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
  webhookSecret,
  type WebhookScene,
} from '../../../test/webhook-scene.ts'

const assertRefused = (answer: Answer, status: number, error: string): void => {
  assert.equal(answer.status, status, answer.text)
  assert.deepEqual(answer.body, { error })
}

suite('the webhook, row by row', () => {
  let scene: WebhookScene
  before(async () => {
    scene = await startWebhooks()
  })
  after(() => scene.close())

  const test1 = { event: { id: 'e-test', type: 'TEST' } }

  for (const [name, authorization] of [
    ['no header', undefined],
    ['an empty one', ''],
    ['another secret', 'webhook-secret-of-this-tesT'],
    ['a longer one', `${webhookSecret}x`],
    ['`bearer` in lower case', `bearer ${webhookSecret}`],
    ['two blanks', `Bearer  ${webhookSecret}`],
    ['Basic', `Basic ${webhookSecret}`],
    ['not ASCII', `${webhookSecret}ą`],
    ['`Bearer` alone', 'Bearer '],
  ] as const)
    test(`row 1: ${name} is 401 and changes nothing`, async () => {
      const account = await scene.account()
      const event = purchase(appleLine(account), 'INITIAL_PURCHASE', { startMs: Date.now() })
      const answer = await scene.app.call('POST', '/api/webhooks/revenuecat', {
        body: JSON.stringify(envelope(event)),
        headers:
          authorization === undefined ? {} : { authorization: Buffer.from(authorization).toString('latin1') },
      })
      assertRefused(answer, 401, 'Unauthorized')
      assert.deepEqual(await scene.ledger(account), [])
      assert.equal(await count(scene.app, 'webhook_events where user_id = $1', [account.id]), 0)
    })

  for (const authorization of [webhookSecret, `Bearer ${webhookSecret}`, `  ${webhookSecret} `])
    test(`the secret is taken as ${JSON.stringify(authorization.replace(webhookSecret, '…'))}`, async () => {
      const answer = await scene.deliver(test1, { authorization })
      assert.deepEqual([answer.status, answer.body], [200, { status: 'ok' }])
    })

  test('row 1 comes before all others', async () => {
    const headers = { authorization: 'wrong' }
    assertRefused(await scene.deliver('x'.repeat(300_000), headers), 401, 'Unauthorized')
    assertRefused(await scene.deliver('{', headers), 401, 'Unauthorized')
  })

  test('row 2: 256 KiB are read, more is 413', async () => {
    const padded = (size: number): string => {
      const empty = JSON.stringify({ ...test1, pad: '' })
      return JSON.stringify({ ...test1, pad: 'x'.repeat(size - empty.length) })
    }
    assert.equal((await scene.deliver(padded(256 * 1024))).status, 200)
    assert.equal((await scene.deliver(padded(256 * 1024 + 1))).status, 413)
  })

  for (const body of ['', '{', 'null x', '\u0000', '{"event": NaN}', 'event=1', '\ufeff{"event":'])
    for (const type of ['application/json', 'text/plain', ''])
      test(`row 3: ${JSON.stringify(body)} as ${type || 'no type'}`, async () => {
        assertRefused(await scene.deliver(body, { 'content-type': type }), 400, 'Invalid JSON payload')
      })

  test('row 3: valid JSON is read whatever its content type', async () => {
    for (const type of [
      'text/plain',
      'application/x-www-form-urlencoded',
      'application/json; charset=utf-8',
      'x',
    ])
      assert.equal((await scene.deliver(test1, { 'content-type': type })).status, 200, type)
  })

  for (const body of ['null', 'false', '0', '""', '[]', '{}', '"text"', '7', '[{"event":{}}]'])
    test(`row 4: ${body}`, async () => assertRefused(await scene.deliver(body), 400, 'Invalid payload'))

  for (const body of ['{"a":1}', '{"event":null}', '{"event":[]}', '{"event":"x"}', '{"event":0}'])
    test(`row 5: ${body}`, async () => assertRefused(await scene.deliver(body), 400, 'Missing event object'))

  for (const [event, error] of [
    [{ type: 'RENEWAL' }, 'Missing event id'],
    [{ type: 'RENEWAL', id: '' }, 'Missing event id'],
    [{ type: 'RENEWAL', id: 7 }, 'Invalid event id'],
    [{ type: 'RENEWAL', id: { a: 1 } }, 'Invalid event id'],
    [{ type: 'RENEWAL', id: 'x'.repeat(300) }, 'Invalid event id'],
    [{ id: 'a' }, 'Invalid event type'],
    [{ id: 'a', type: null }, 'Invalid event type'],
    [{ id: 'a', type: '' }, 'Invalid event type'],
    [{ id: 'a', type: ['RENEWAL'] }, 'Invalid event type'],
    [{ id: 'a', type: 'x'.repeat(51) }, 'Invalid event type'],
  ] as const)
    test(`rows 6 and 7: ${JSON.stringify(event).slice(0, 60)}`, async () =>
      assertRefused(await scene.deliver({ event }), 400, error))

  test('row 8: TEST needs no user and stores nothing, repeated too', async () => {
    for (const _ of [1, 2]) assert.equal(await scene.send({ type: 'TEST', id: 'test-1' }), 'ok')
    assert.equal(await count(scene.app, "webhook_events where event_type = 'TEST'"), 0)
  })

  test('row 9: an unknown user is 404, leaves no row, and the same id works once they exist', async () => {
    const [{ next }] = (await rows<{ next: number }>(scene.app, 'select max(id) + 1 as next from users')) as [
      { next: number },
    ]
    const event = purchase(appleLine({ id: next }), 'INITIAL_PURCHASE', { startMs: Date.now() })
    const body = envelope(event)
    assertRefused(await scene.deliver(body), 404, 'user_not_found')
    assert.equal(await count(scene.app, 'webhook_events where event_id = $1', [body.event['id']]), 0)
    const account = await scene.account()
    assert.equal(account.id, next)
    assert.equal((await scene.deliver(body)).body['status'], 'processed')
    assert.equal(await scene.balance(account), 26)
  })

  test('rows 10 and 13: the second delivery of an id does nothing', async () => {
    const account = await scene.account()
    const body = envelope(purchase(appleLine(account), 'INITIAL_PURCHASE', { startMs: Date.now() }))
    assert.deepEqual((await scene.deliver(body)).body, { status: 'processed' })
    assert.deepEqual((await scene.deliver(body)).body, { status: 'already_processed' })
    assert.equal(await scene.balance(account), 26)
  })

  test('six deliveries at once pay once', async () => {
    const account = await scene.account()
    const body = envelope(purchase(appleLine(account), 'INITIAL_PURCHASE', { startMs: Date.now() }))
    const answers = await Promise.all(Array.from({ length: 6 }, () => scene.deliver(body)))
    assert.deepEqual(answers.map((answer) => answer.body['status']).sort(), [
      ...Array.from({ length: 5 }, () => 'already_processed'),
      'processed',
    ])
    assert.deepEqual(
      (await scene.ledger(account)).map(({ amount, reason }) => [amount, reason]),
      [[26, 'subscription_initial_purchase']],
    )
  })

  test('six event ids of one transaction at once pay once (B-L11)', async () => {
    const account = await scene.account()
    const event = purchase(appleLine(account), 'INITIAL_PURCHASE', { startMs: Date.now() })
    const statuses = await Promise.all(Array.from({ length: 6 }, () => scene.send(event)))
    assert.deepEqual([...new Set(statuses)], ['processed'])
    assert.equal(await scene.balance(account), 26)
  })

  test('row 12: an unknown type is stored without purchase data', async () => {
    const account = await scene.account()
    const event = { ...purchase(appleLine(account), 'RENEWAL', { startMs: Date.now() }), id: 'odd-1' }
    assert.equal(await scene.send({ ...event, type: 'VIRTUAL_CURRENCY_TRANSACTION' }), 'ignored')
    const stored = (await scene.storedEvents()).find(({ event_id: id }) => id === 'odd-1')
    assert.deepEqual(stored, {
      event_id: 'odd-1',
      event_type: 'VIRTUAL_CURRENCY_TRANSACTION',
      outcome: 'ignored',
      fields: {},
    })
    assert.equal(await scene.send({ ...event, type: 'RENEWAL' }), 'already_processed')
    assert.deepEqual(await scene.ledger(account), [])
  })

  for (const [name, event] of [
    ['a pack id in a subscription event', { type: 'RENEWAL', product_id: 'credits_10' }],
    ['another one-off product', { type: 'NON_RENEWING_PURCHASE', product_id: 'sticker_book' }],
    ['a pack refund without transaction', { type: 'CANCELLATION', product_id: 'credits_10' }],
  ] as const)
    test(`row 12: ${name} is ignored`, async () => {
      const account = await scene.account()
      assert.equal(await scene.send({ ...event, app_user_id: String(account.id) }), 'ignored')
      assert.deepEqual(await scene.ledger(account), [])
    })

  for (const status of ['deleting', 'deleted'])
    test(`row 12: a user who is ${status}`, async () => {
      const account = await scene.account()
      await rows(
        scene.app,
        `update users set status = $2::text, email = case when $2 = 'deleted' then null else email end,
           password_hash = case when $2 = 'deleted' then null else password_hash end,
           revenuecat_app_user_id = case when $2 = 'deleted' then null else revenuecat_app_user_id end
         where id = $1`,
        [account.id, status],
      )
      const event = purchase(appleLine(account), 'INITIAL_PURCHASE', { startMs: Date.now() })
      assert.equal(await scene.send(event), 'ignored')
      assert.deepEqual(await scene.ledger(account), [])
      const stored = await rows(scene.app, 'select outcome, fields from webhook_events where user_id = $1', [
        account.id,
      ])
      assert.deepEqual(stored, [{ outcome: 'ignored', fields: {} }])
    })

  test('nothing of the attributes is stored (B-L39)', async () => {
    const account = await scene.account()
    await scene.send(purchase(appleLine(account), 'INITIAL_PURCHASE', { startMs: Date.now() }))
    assert.ok(!JSON.stringify(await scene.storedEvents()).includes('ktos@example.com'))
  })

  test('a long product id is no 500 (B-L17)', async () => {
    scene.app.expectErrors()
    const account = await scene.account()
    const event = purchase(appleLine(account, 'x'.repeat(200)), 'INITIAL_PURCHASE', { startMs: Date.now() })
    assert.equal(await scene.send({ ...event, transaction_id: 't'.repeat(20_000) }), 'processed')
    assert.equal(await scene.balance(account), 26)
    assert.ok(scene.app.lines.some(({ message }) => message.startsWith('unknown subscription product')))
  })
})

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
