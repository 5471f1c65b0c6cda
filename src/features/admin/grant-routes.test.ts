import assert from 'node:assert/strict'
import { after, before, suite, test } from 'node:test'
import { assertRefused, createAccount, rows, setUser } from '../../../test/account-scene.ts'
import { startAdmin, type AdminScene } from '../../../test/admin-scene.ts'
import { startTestApp, type Account } from '../../../test/app.ts'
import { assertBooks, readBooks } from '../../../test/ledger-fixtures.ts'

suite('POST /admin/users/{id}/credits/grant', () => {
  let scene: AdminScene
  let admin: Account
  before(async () => {
    scene = await startAdmin()
    admin = await scene.admin()
  })
  after(() => scene.close())

  test('points are in balance, history and books, with actor and audit entry (B-L31)', async () => {
    const account = await createAccount(scene.app)
    const answer = await scene.grant(admin, account.id, {
      amount: 7,
      reason: ' Przepraszamy ',
      source: ' Event ',
    })
    assert.equal(answer.status, 200, answer.text)
    const transaction = answer.body['transaction'] as { id: number; created_at: string }
    assert.deepEqual(answer.body, {
      message: 'Credits granted',
      user_id: account.id,
      new_balance: 7,
      transaction: {
        id: transaction.id,
        amount: 7,
        type: 'credit',
        reason: 'Przepraszamy',
        created_at: transaction.created_at,
      },
    })
    assert.match(transaction.created_at, /Z$/)
    assert.equal(await scene.balance(account), 7)
    const history = await scene.app.call('GET', '/me/credits/history', { token: account.accessToken })
    assert.deepEqual(
      (history.body['items'] as Record<string, unknown>[]).map((item) => [item['amount'], item['reason']]),
      [[7, 'Przepraszamy']],
    )
    const [row] = await rows(
      scene.app,
      `select t.actor, t.grant_key, l.source from credit_transactions t
       join credit_transaction_allocations a on a.transaction_id = t.id join credit_lots l on l.id = a.lot_id
       where t.id = $1`,
      [transaction.id],
    )
    assert.deepEqual(row, { actor: admin.id, grant_key: null, source: 'event' })
    assertBooks(await readBooks(scene.app.test.database, account.id))
    assert.deepEqual(scene.audited.at(-1), {
      actorId: admin.id,
      action: 'credits.grant',
      targetType: 'user',
      targetId: String(account.id),
      reason: 'Przepraszamy',
      details: { amount: 7, source: 'event', transaction_id: transaction.id, new_balance: 7 },
    })
  })

  test('without reason, source and expiry it is admin_grant, add_on, for ever', async () => {
    const account = await createAccount(scene.app)
    const answer = await scene.grant(admin, account.id, { amount: 1, reason: '  ', expires_at: null })
    assert.equal((answer.body['transaction'] as Record<string, unknown>)['reason'], 'admin_grant')
    const [lot] = await rows(scene.app, 'select source, expires_at from credit_lots where user_id = $1', [
      account.id,
    ])
    assert.deepEqual(lot, { source: 'add_on', expires_at: null })
  })

  for (const [text, instant] of [
    ['2099-07-01T00:30:00+02:00', '2099-06-30T22:30:00.000Z'],
    ['2099-07-01T00:30+0200', '2099-06-30T22:30:00.000Z'],
    ['2099-07-01T00:30:15.250Z', '2099-07-01T00:30:15.250Z'],
    ['2099-07-01T00:30:00-01', '2099-07-01T01:30:00.000Z'],
  ] as const)
    test(`${text} is the instant it names`, async () => {
      const account = await createAccount(scene.app)
      assert.equal((await scene.grant(admin, account.id, { amount: 1, expires_at: text })).status, 200)
      const [lot] = await rows<{ expires_at: Date }>(
        scene.app,
        'select expires_at from credit_lots where user_id = $1',
        [account.id],
      )
      assert.equal(lot?.expires_at.toISOString(), instant)
    })

  const format = 'Invalid expires_at format; use ISO8601'
  const positive = 'amount must be a positive integer'
  const sources = 'source must be one of: event, monthly, referral, add_on, free'
  const long = 'reason must be at most 255 characters'
  const refusals: [body: unknown, error: string][] = [
    [{ amount: 5, expires_at: '2099-01-01' }, format],
    [{ amount: 5, expires_at: '2099-01-01T10:00:00' }, format],
    [{ amount: 5, expires_at: '2099-02-30T10:00:00Z' }, format],
    [{ amount: 5, expires_at: '2099-01-01T24:00:00Z' }, format],
    [{ amount: 5, expires_at: 'tomorrow' }, format],
    [{ amount: 5, expires_at: 4_102_444_800_000 }, format],
    [{ amount: 5, expires_at: false }, format],
    [{ amount: 'x', expires_at: '2001-01-01T00:00:00Z' }, 'expires_at must be in the future'],
    [{}, positive],
    [{ amount: '5', source: 'x' }, positive],
    [{ amount: 5.9 }, positive],
    [{ amount: true }, positive],
    [{ amount: 0 }, positive],
    [{ amount: -5 }, positive],
    [{ amount: null }, positive],
    [{ amount: [5] }, positive],
    [{ amount: 1e300 }, positive],
    [{ amount: 1001 }, 'amount must be at most 1000'],
    [{ amount: 5, source: 'gift', reason: 7 }, sources],
    [{ amount: 5, source: 7 }, sources],
    [{ amount: 5, source: [] }, sources],
    [{ amount: 5, reason: 7 }, long],
    [{ amount: 5, reason: false }, long],
    [{ amount: 5, reason: '🙂'.repeat(256) }, long],
    [{ amount: 5, reason: 'a\0b' }, 'Invalid value for reason.'],
  ]
  for (const [body, error] of refusals)
    test(`${JSON.stringify(body).slice(0, 60)} is 400 (B-L37)`, async () => {
      const account = await createAccount(scene.app)
      assertRefused(await scene.grant(admin, account.id, body), 400, error)
      assert.equal(await scene.balance(account), 0)
    })

  test('255 code points are a reason', async () => {
    const account = await createAccount(scene.app)
    assert.equal((await scene.grant(admin, account.id, { amount: 5, reason: '🙂'.repeat(255) })).status, 200)
  })

  const bodies: [name: string, body: string, type: string, error: string][] = [
    ['a form', 'amount=5', 'application/x-www-form-urlencoded', 'Content-Type must be application/json'],
    ['broken JSON', '{"amount":5', 'application/json', 'Invalid JSON'],
    ['a list', '[5]', 'application/json', 'Invalid request body'],
    ['null', 'null', 'application/json', 'Invalid request body'],
  ]
  for (const [name, body, type, error] of bodies)
    test(`${name} is 400`, async () => {
      const account = await createAccount(scene.app)
      const path = `/admin/users/${account.id}/credits/grant`
      const answer = await scene.ask(admin, 'POST', path, { body, headers: { 'content-type': type } })
      assertRefused(answer, 400, error)
    })

  test('a bad Idempotency-Key is 400, before the user is looked for', async () => {
    for (const key of ['k'.repeat(129), 'zażółć'.normalize('NFC').slice(0, 1) + '\xe9'])
      assertRefused(await scene.grant(admin, 999_999, { amount: 5 }, key), 400, 'Invalid Idempotency-Key')
  })

  test('an unknown and a deleted user are 404', async () => {
    const gone = await createAccount(scene.app)
    await setUser(
      scene.app,
      gone.id,
      `status = 'deleted', email = null, password_hash = null, revenuecat_app_user_id = null`,
    )
    for (const id of [gone.id, 999_999, 'x', '0', '99999999999'])
      assertRefused(await scene.grant(admin, id, { amount: 5 }), 404, 'User not found')
  })

  test('a key repeats its first answer; another request with it is 409; another actor has keys of their own', async () => {
    const [account, other, second] = [
      await createAccount(scene.app),
      await createAccount(scene.app),
      await scene.admin(),
    ]
    const first = await scene.grant(admin, account.id, { amount: 5 }, 'once')
    assert.equal(first.headers.get('idempotent-replay'), null)
    await scene.grant(admin, account.id, { amount: 2 })
    const again = await scene.grant(admin, account.id, { source: 'ADD_ON', amount: 5, reason: '' }, 'once')
    assert.deepEqual([again.status, again.body], [200, first.body])
    assert.equal(again.headers.get('idempotent-replay'), 'true')
    const used = 'Idempotency-Key was used for a different request'
    assertRefused(await scene.grant(admin, account.id, { amount: 6 }, 'once'), 409, used)
    assertRefused(await scene.grant(admin, other.id, { amount: 5 }, 'once'), 409, used)
    assert.equal(await scene.balance(account), 7)
    assert.equal((await scene.grant(second, other.id, { amount: 5 }, 'once')).status, 200)
    const [row] = await rows(scene.app, 'select grant_key from credit_transactions where user_id = $1', [
      other.id,
    ])
    assert.equal(row?.['grant_key'], `admin:${second.id}:once`)
  })

  test('one key at once, for one user and for two: one grant', async () => {
    for (let round = 0; round < 4; round += 1) {
      const accounts = [await createAccount(scene.app), await createAccount(scene.app)]
      const targets = [accounts[0], accounts[0], accounts[1]]
      const answers = await Promise.all(
        targets.map((account) => scene.grant(admin, account?.id ?? 0, { amount: 3 }, `race ${round}`)),
      )
      const points = await Promise.all(accounts.map((account) => scene.balance(account)))
      assert.deepEqual(points.sort(), [0, 3])
      assert.ok(answers.every(({ status }) => status === 200 || status === 409))
    }
  })

  test('it ends no token (B-L1)', async () => {
    const account = await createAccount(scene.app)
    await scene.grant(admin, account.id, { amount: 5 })
    assert.equal((await scene.app.call('GET', '/auth/me', { token: account.accessToken })).status, 200)
  })
})

test('what cannot be written down is not done: 500, no points', async () => {
  const scene = await startAdmin()
  scene.app.expectErrors()
  const [admin, account] = [await scene.admin(), await createAccount(scene.app)]
  scene.refuseAudit(true)
  const answer = await scene.grant(admin, account.id, { amount: 5 }, 'k')
  assert.equal(answer.status, 500)
  assert.deepEqual(answer.body, {
    error: 'Failed to grant credits',
    request_id: answer.headers.get('x-request-id'),
  })
  assert.equal(await scene.balance(account), 0)
  scene.refuseAudit(false)
  assert.equal((await scene.grant(admin, account.id, { amount: 5 }, 'k')).status, 200)
  await scene.close()
})

test('while nobody is an administrator every admin route is 401, whoever asks', async () => {
  const app = await startTestApp({ work: false })
  const account = await createAccount(app)
  await setUser(app, account.id, 'is_admin = true')
  for (const [method, path] of [
    ['POST', `/admin/users/${account.id}/credits/grant`],
    ['GET', '/admin/waiting-grants'],
    ['POST', '/admin/waiting-grants/1/approve'],
    ['POST', '/admin/waiting-grants/1/reject'],
  ] as const)
    assertRefused(
      await app.call(method, path, {
        token: account.accessToken,
        ...(method === 'GET' ? {} : { json: { amount: 5 } }),
      }),
      401,
      'Authentication token is missing',
    )
  await app.close()
})

test('30 a minute and administrator', async () => {
  const scene = await startAdmin({ RATELIMIT_ENABLED: 'true' })
  const [admin, second, account] = [await scene.admin(), await scene.admin(), await createAccount(scene.app)]
  const answers = await Promise.all(
    Array.from({ length: 31 }, () => scene.grant(admin, account.id, { amount: 1 })),
  )
  assert.deepEqual(answers.map(({ status }) => status).sort(), [...Array(30).fill(200), 429])
  assert.equal((await scene.grant(second, account.id, { amount: 1 })).status, 200)
  await scene.close()
})
