import assert from 'node:assert/strict'
import { after, before, suite, test } from 'node:test'
import { assertRefused, createAccount, setUser } from '../../../test/account-scene.ts'
import { startTestApp, type Account, type TestApp } from '../../../test/app.ts'

let app: TestApp

const status = async (account: Account): Promise<Record<string, unknown>> => {
  const answer = await app.call('GET', '/api/user/subscription-status', { token: account.accessToken })
  assert.equal(answer.status, 200, answer.text)
  return answer.body
}

suite('GET /api/user/subscription-status', () => {
  before(async () => {
    app = await startTestApp({ work: false })
  })
  after(() => app.close())

  test('a new user is on trial and may generate; every key is there', async () => {
    const account = await createAccount(app)
    const body = await status(account)
    const trial = Reflect.get(body, 'trial') as { expires_at: string }
    assert.deepEqual(body, {
      trial: { active: true, expires_at: trial.expires_at, days_remaining: 13 },
      subscription: {
        active: false,
        plan: null,
        expires_at: null,
        will_renew: false,
        pending_plan: null,
        billing_issue: false,
      },
      can_generate: true,
      initial_credits: 10,
    })
    assert.match(trial.expires_at, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
    const days = (Date.parse(trial.expires_at) - Date.now()) / 86_400_000
    assert.ok(days > 13.9 && days <= 14, String(days))
  })

  const trials: [end: string, active: boolean, days: number][] = [
    [`now() + interval '5 days 1 hour'`, true, 5],
    [`now() + interval '4 days 23 hours'`, true, 4],
    [`now() + interval '3 hours'`, true, 0],
    [`now() - interval '1 second'`, false, 0],
    ['null', false, 0],
  ]
  for (const [end, active, days] of trials)
    test(`a trial that ends at ${end}`, async () => {
      const account = await createAccount(app)
      await setUser(app, account.id, `trial_expires_at = ${end}`)
      const { trial, can_generate: canGenerate } = await status(account)
      const { active: isActive, days_remaining: left } = trial as Record<string, unknown>
      assert.deepEqual([isActive, left, canGenerate], [active, days, active])
    })

  const subscriptions: [columns: string, active: boolean][] = [
    [`subscription_active = true, subscription_expires_at = now() + interval '1 hour'`, true],
    [`subscription_active = true, subscription_expires_at = now() - interval '1 second'`, false],
    [`subscription_active = true, subscription_expires_at = null`, false],
    [`subscription_active = false, subscription_expires_at = now() + interval '1 hour'`, false],
  ]
  for (const [columns, active] of subscriptions)
    test(`${columns} is ${active ? 'active' : 'over'}; plan and date stay (I17)`, async () => {
      const account = await createAccount(app)
      await setUser(
        app,
        account.id,
        `${columns}, trial_expires_at = null, subscription_plan = 'dawnotemu_annual',
         subscription_pending_plan = 'dawnotemu_monthly', subscription_will_renew = true, billing_issue_at = now()`,
      )
      const { subscription, can_generate: canGenerate } = await status(account)
      const { expires_at: expiresAt, ...rest } = subscription as Record<string, unknown>
      assert.deepEqual(rest, {
        active,
        plan: 'dawnotemu_annual',
        will_renew: true,
        pending_plan: 'dawnotemu_monthly',
        billing_issue: true,
      })
      assert.equal(expiresAt === null, columns.endsWith('= null'))
      assert.equal(canGenerate, active)
    })

  test('nobody is 401', async () => {
    const answer = await app.call('GET', '/api/user/subscription-status')
    assertRefused(answer, 401, 'Authentication token is missing')
  })
})

test('30 a minute; the welcome is the setting', async () => {
  app = await startTestApp({ work: false, env: { RATELIMIT_ENABLED: 'true', INITIAL_CREDITS: '4' } })
  const account = await createAccount(app)
  assert.equal((await status(account))['initial_credits'], 4)
  const answers = await Promise.all(
    Array.from({ length: 30 }, () =>
      app.call('GET', '/api/user/subscription-status', { token: account.accessToken }),
    ),
  )
  assert.deepEqual(answers.map((answer) => answer.status).sort(), [...Array(29).fill(200), 429])
  await app.close()
})
