import assert from 'node:assert/strict'
import { after, before, suite, test } from 'node:test'
import { count } from '../../../test/account-scene.ts'
import type { Answer } from '../../../test/app.ts'
import {
  appleLine,
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
})
