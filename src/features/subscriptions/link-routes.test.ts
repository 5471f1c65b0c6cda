import assert from 'node:assert/strict'
import { after, before, suite, test } from 'node:test'
import {
  advanceClock,
  assertRefused,
  createAccount,
  rows,
  setUser,
  signIn,
} from '../../../test/account-scene.ts'
import { startTestApp, type Account, type Answer, type TestApp } from '../../../test/app.ts'

let app: TestApp

const link = (account: Account, json?: unknown): Promise<Answer> =>
  app.call('POST', '/api/user/link-revenuecat', {
    token: account.accessToken,
    ...(json === undefined ? {} : { json }),
  })

const linked = async (account: Account): Promise<unknown> =>
  (await rows(app, 'select revenuecat_app_user_id as id from users where id = $1', [account.id]))[0]?.['id']

const queued = async (account: Account): Promise<number> =>
  (
    await rows(
      app,
      `select 1 from pgboss.job where name = 'subscriptions.reconcile' and data ->> 'user_id' = $1`,
      [String(account.id)],
    )
  ).length

suite('POST /api/user/link-revenuecat', () => {
  before(async () => {
    app = await startTestApp({ work: false })
  })
  after(() => app.close())

  const accepted: [name: string, body: (id: number) => unknown][] = [
    ['no body', () => undefined],
    ['an empty object', () => ({})],
    ['null', () => ({ revenuecat_app_user_id: null })],
    ['blank', () => ({ revenuecat_app_user_id: '  ' })],
    ['the own id', (id) => ({ revenuecat_app_user_id: String(id) })],
    ['the own id with blanks', (id) => ({ revenuecat_app_user_id: ` ${id} ` })],
    ['the own id as a number', (id) => ({ revenuecat_app_user_id: id })],
  ]
  for (const [name, body] of accepted)
    test(`${name} links the own id, from none or an older one`, async () => {
      const account = await createAccount(app)
      for (const before of ['null', `'old-${account.id}'`]) {
        await setUser(app, account.id, `revenuecat_app_user_id = ${before}`)
        const answer = await link(account, body(account.id))
        assert.equal(answer.status, 200, answer.text)
        assert.deepEqual(answer.body, { status: 'linked', revenuecat_app_user_id: String(account.id) })
        assert.equal(await linked(account), String(account.id))
      }
    })

  const refused: [name: string, value: (id: number) => unknown][] = [
    ['another id', (id) => String(id + 1)],
    ['another number', (id) => id + 1],
    ['an object', (id) => ({ id })],
    ['a list', (id) => [id]],
    ['an empty list', () => []],
    ['true', () => true],
    ['false', () => false],
    ['zero', () => 0],
    ['a long id', () => '1'.repeat(300)],
  ]
  for (const [name, value] of refused)
    test(`${name} is 400 and links nothing (B-L26, I15)`, async () => {
      const account = await createAccount(app)
      await setUser(app, account.id, 'revenuecat_app_user_id = null')
      assertRefused(
        await link(account, { revenuecat_app_user_id: value(account.id) }),
        400,
        'revenuecat_app_user_id must match authenticated user',
      )
      assert.equal(await linked(account), null)
    })

  test('a body that is no object is 400', async () => {
    const account = await createAccount(app)
    for (const json of [null, [], [{ revenuecat_app_user_id: account.id }], account.id, String(account.id)])
      assertRefused(await link(account, json), 400, 'Invalid request body')
    const broken = await app.call('POST', '/api/user/link-revenuecat', {
      token: account.accessToken,
      body: '{',
      headers: { 'content-type': 'application/json' },
    })
    assertRefused(broken, 400, 'Invalid JSON')
  })

  test('nobody is 401', async () => {
    const answer = await app.call('POST', '/api/user/link-revenuecat', { json: {} })
    assertRefused(answer, 401, 'Authentication token is missing')
  })

  test('the own id held by another account is 409', async () => {
    const [account, other] = [await createAccount(app), await createAccount(app)]
    await setUser(app, account.id, 'revenuecat_app_user_id = null')
    await setUser(app, other.id, `revenuecat_app_user_id = '${account.id}'`)
    assertRefused(await link(account), 409, 'RevenueCat ID already linked to another account')
    assert.equal(await linked(account), null)
  })

  test('linking again writes nothing and ends no token (B-L1)', async () => {
    const account = await createAccount(app)
    const version = () => rows(app, 'select xmin::text from users where id = $1', [account.id])
    assert.equal((await link(account)).status, 200)
    const first = await version()
    assert.equal((await link(account)).status, 200)
    assert.deepEqual(await version(), first)
    assert.equal((await app.call('GET', '/auth/me', { token: account.accessToken })).status, 200)
  })

  test('a user without subscription is compared with the store, once in six hours', async () => {
    const account = await createAccount(app)
    await link(account)
    await link(account)
    assert.equal(await queued(account), 1)
    await rows(app, `delete from pgboss.job where name = 'subscriptions.reconcile'`)
    await advanceClock(app, 6 * 3600 - 5)
    Object.assign(account, await signIn(app, account))
    await link(account)
    assert.equal(await queued(account), 0)
    await advanceClock(app, 10)
    await link(account)
    assert.equal(await queued(account), 1)
  })

  test('a subscriber is not', async () => {
    const account = await createAccount(app)
    await setUser(
      app,
      account.id,
      `subscription_active = true, subscription_expires_at = now() + interval '9 days'`,
    )
    assert.equal((await link(account)).status, 200)
    assert.equal(await queued(account), 0)
  })
})

test('a failure is 500 and links nothing', async () => {
  app = await startTestApp({ work: false })
  app.expectErrors()
  const account = await createAccount(app)
  await setUser(app, account.id, 'revenuecat_app_user_id = null')
  await rows(
    app,
    `create function refuse_link() returns trigger language plpgsql as
       $$ begin if new.revenuecat_app_user_id is not null then raise exception 'refused'; end if; return new; end $$`,
  )
  await rows(
    app,
    'create trigger refuse_link before update on users for each row execute function refuse_link()',
  )
  const answer = await link(account)
  assert.equal(answer.status, 500)
  assert.deepEqual(answer.body, {
    error: 'Failed to link account',
    request_id: answer.headers.get('x-request-id'),
  })
  assert.equal(await linked(account), null)
  await app.close()
})

test('five a minute', async () => {
  app = await startTestApp({ work: false, env: { RATELIMIT_ENABLED: 'true' } })
  const account = await createAccount(app)
  const answers = []
  for (let n = 0; n < 6; n += 1) answers.push((await link(account)).status)
  assert.deepEqual(answers, [200, 200, 200, 200, 200, 429])
  await app.close()
})
