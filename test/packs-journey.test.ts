import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import path from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { count, createAccount, rows } from './account-scene.ts'
import { until } from './app.ts'
import { createAppClient } from './app-client.ts'
import { startPacks } from './packs-scene.ts'
import { createV1Database } from './v1-database.ts'

const dayMs = 86_400_000

test('the shipped app: a purchase whose claim came too early is paid after the next link (§16, B-L40)', async () => {
  const scene = await startPacks()
  const account = await createAccount(scene.app)
  const client = createAppClient(scene.app.url)
  assert.equal((await client.login(account.email, account.password)).isSuccess, true)
  const customer = String(account.id)
  scene.store.addPack(customer, 'credits_20', { id: 'o1_early', store_transaction_id: 'E-1' })
  const claim = { receipt_token: 'o1_early', product_id: 'credits_20', platform: 'ios' }
  const early = await client.request('POST', '/api/credits/grant-addon', claim)
  assert.deepEqual([early.status, early.code], [403, 'FORBIDDEN'])
  scene.store.setSubscription(customer, 'dawnotemu_monthly', {
    store_transaction_id: 'S-1',
    purchase_date: new Date(Date.now() - dayMs).toISOString(),
    original_purchase_date: new Date(Date.now() - dayMs).toISOString(),
    expires_date: new Date(Date.now() + 29 * dayMs).toISOString(),
  })
  const linked = await client.request('POST', '/api/user/link-revenuecat', {
    revenuecat_app_user_id: customer,
  })
  assert.equal(linked.isSuccess, true)
  // 26 points of the renewal that no webhook told of, 20 of the pack.
  await until(async () => ((await scene.balance(account)) === 46 ? true : null), 'the points')
  const status = await client.request('GET', '/api/user/subscription-status')
  assert.equal(typeof status.data['can_generate'], 'boolean')
  assert.ok(status.data['trial'])
  assert.equal(Reflect.get(status.data['subscription'] as object, 'active'), true)
  const again = await client.request('POST', '/api/credits/grant-addon', claim)
  assert.deepEqual(again.data, { credits_granted: 20, new_balance: 46 })
  await scene.close()
})

test('the deletion of an account takes along what the archive holds of it, and what was written about a grant', async () => {
  const scene = await startPacks()
  const account = await scene.subscriber()
  const admin = await createAccount(scene.app)
  await rows(
    scene.app,
    `insert into v1_archive values ('credit_transactions', '1', $1, '{"reason": "Hania"}', now())`,
    [account.id],
  )
  await rows(
    scene.app,
    `insert into waiting_grants (user_id, amount, source, reason, requested_by, requested_at, expires_at)
     values ($1, 300, 'free', 'Dla Hani', $2, now(), now() + interval '7 days')`,
    [account.id, admin.id],
  )
  const asked = await scene.app.call('DELETE', '/auth/me', {
    token: account.accessToken,
    json: { current_password: account.password },
  })
  assert.ok(asked.status < 300, asked.text)
  await until(
    async () => ((await count(scene.app, 'v1_archive where user_id = $1', [account.id])) === 0 ? true : null),
    'the archive to be emptied',
  )
  await until(async () => {
    const [grant] = await rows(scene.app, 'select reason from waiting_grants where user_id = $1', [
      account.id,
    ])
    return grant?.['reason'] === 'admin_grant' ? true : null
  }, 'the words to go')
  await scene.close()
})

test('the command line: wrong use is 2, a dry run prints one JSON document', async () => {
  const [scene, v1] = [await startPacks({ work: false }), await createV1Database()]
  await v1.add('users', { id: 501, email: 'v1@example.test', credits_balance: 3 })
  const run = (...words: string[]) =>
    promisify(execFile)(process.execPath, [path.join(import.meta.dirname, '../src/cli.ts'), ...words], {
      env: { ...scene.app.env, PATH: process.env['PATH'] ?? '', DATABASE_URL: scene.app.databaseUrl },
    })
  await assert.rejects(run('import-v1', '--json'), { code: 2 })
  const { stdout } = await run('import-v1', '--from', v1.url, '--json')
  const report = JSON.parse(stdout) as Record<string, unknown>
  assert.deepEqual([report['mode'], report['users']], ['dry_run', { created: 1, known: 0, skipped: [] }])
  await run('import-v1', '--from', v1.url, '--apply', '--json')
  assert.equal(await count(scene.app, `users where id = 501 and credits_balance = 3`), 1)
  await v1.close()
  await scene.close()
})
