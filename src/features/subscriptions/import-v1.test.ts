import assert from 'node:assert/strict'
import { after, afterEach, before, beforeEach, suite, test } from 'node:test'
import { createAccount, dumpDatabase, rows, signIn } from '../../../test/account-scene.ts'
import { assertBooks, dayMs, readBooks } from '../../../test/ledger-fixtures.ts'
import { startPacks, type PacksScene } from '../../../test/packs-scene.ts'
import { differencesOf, lotsOf, startV1, v1Password, v1Time, type V1Scene } from '../../../test/v1-scene.ts'
import { runImportCommand } from '../../import-command.ts'

let scene: PacksScene
let v1: V1Scene

/** Every row but those of the job queue, which keeps time by itself. */
const dump = async (): Promise<string> => {
  const queue = await rows<{ name: string }>(
    scene.app,
    `select format('%I.%I', table_schema, table_name) as name from information_schema.tables
     where table_schema = 'pgboss'`,
  )
  return dumpDatabase(
    scene.app,
    queue.map(({ name }) => name),
  )
}

suite('accounts and points of v1', () => {
  before(async () => {
    scene = await startPacks({ work: false })
  })
  after(() => scene.close())
  beforeEach(async () => {
    v1 = await startV1()
  })
  afterEach(() => v1.close())

  test('an account comes over with its id, its password and its points', async () => {
    await v1.addUser(1001, { credits_balance: 12 })
    const soon = v1Time(5 * dayMs)
    await v1.addLot(101, 1001, 7, { expires_at: soon })
    await v1.addLot(102, 1001, 5, { source: 'add_on' })
    await v1.addLot(103, 1001, 0)
    const report = await v1.run(scene, true)
    assert.deepEqual(report['users'], { created: 1, known: 0, skipped: [] })
    assert.equal(differencesOf(report, 1001), undefined)
    const account = { email: 'v1-1001@example.test', password: v1Password }
    const { accessToken } = await signIn(scene.app, account)
    const me = await scene.app.call('GET', '/auth/me', { token: accessToken })
    assert.equal(me.body['id'], 1001)
    const [stored] = await rows<{ password_hash: string }>(
      scene.app,
      'select password_hash from users where id = 1001',
    )
    assert.match(stored?.password_hash ?? '', /^\$argon2id\$/)
    assert.deepEqual(await lotsOf(scene, 1001), [
      {
        source: 'monthly',
        amount_remaining: 7,
        expires_at: new Date(`${soon}Z`),
        reason: 'opening_balance',
        grant_key: 'opening:101',
      },
      {
        source: 'add_on',
        amount_remaining: 5,
        expires_at: null,
        reason: 'opening_balance',
        grant_key: 'opening:102',
      },
    ])
    assertBooks(await readBooks(scene.app.test.database, 1001))
  })

  test('a dry run writes nothing and tells what the import then does', async () => {
    await v1.addUser(1101, { credits_balance: 10 })
    await v1.addLot(104, 1101, 4)
    await v1.add('consumed_receipts', { id: 1, receipt_token: 'o1_dry', user_id: 1101, credits_granted: 10 })
    await v1.add('webhook_events', { id: 1, event_id: 'dry', event_type: 'RENEWAL', user_id: 1101 })
    const before = await dump()
    const told = await v1.run(scene, false)
    assert.equal(await dump(), before)
    assert.equal(told['mode'], 'dry_run')
    assert.deepEqual(await v1.run(scene, true), { ...told, mode: 'applied' })
  })

  test('a second run changes nothing, whatever was spent or changed meanwhile', async () => {
    await v1.addUser(1201, {
      credits_balance: 10,
      subscription_active: true,
      subscription_plan: 'dawnotemu_annual',
      subscription_expires_at: v1Time(100 * dayMs),
      subscription_will_renew: true,
    })
    await v1.addLot(105, 1201, 4)
    await v1.add('consumed_receipts', { id: 1, receipt_token: 'o1_two', user_id: 1201, credits_granted: 10 })
    await v1.add('webhook_events', { id: 1, event_id: 'two', event_type: 'RENEWAL', user_id: 1201 })
    await v1.add('credit_transactions', { id: 9, user_id: 1201, type: 'credit', amount: 4 })
    await v1.run(scene, true)
    await rows(scene.app, `update users set email = 'moved@example.test' where id = 1201`)
    await v1.sql('update credit_lots set amount_remaining = 50')
    await v1.sql('update users set credits_balance = 500')
    const before = await dump()
    const report = await v1.run(scene, true)
    assert.equal(await dump(), before)
    assert.deepEqual(report['users'], { created: 0, known: 1, skipped: [] })
    assert.deepEqual(
      [report['subscription_events'], report['archived_rows'], report['points']],
      [0, 0, { v1_cached: 0, from_lots: 0, added: 0 }],
    )
  })

  test('nothing is reduced: a cache above the lots becomes free points, one below changes no lot', async () => {
    await v1.addUser(1301, { credits_balance: 10 })
    await v1.addUser(1302, { credits_balance: 3 })
    await v1.addUser(1303, { credits_balance: -5 })
    await v1.addLot(106, 1302, 8, { source: 'gift' })
    await v1.addLot(107, 1302, 6, { expires_at: v1Time(-dayMs) })
    const report = await v1.run(scene, true)
    assert.deepEqual(differencesOf(report, 1301), [{ kind: 'cache_above_lots', points: 10 }])
    assert.deepEqual(differencesOf(report, 1302), [
      { kind: 'expired_lot_with_points', points: 6 },
      { kind: 'unknown_lot_source', points: 8 },
      { kind: 'cache_below_lots', points: 5 },
    ])
    const shown = async (id: number) =>
      (await lotsOf(scene, id)).map((lot) => [lot['source'], lot['amount_remaining'], lot['grant_key']])
    assert.deepEqual(await shown(1301), [['free', 10, 'opening:cache:1301']])
    assert.deepEqual(await shown(1302), [['free', 8, 'opening:106']])
    assert.deepEqual(await shown(1303), [])
    for (const id of [1301, 1302, 1303]) assertBooks(await readBooks(scene.app.test.database, id))
  })

  test('addresses that are equal in normal form are reported, and neither account is dropped silently', async () => {
    await v1.addUser(1401, { email: ' Mama@Example.Test ' })
    await v1.addUser(1402, { email: 'mama@example.test' })
    await v1.addUser(1403, { email: 'Tata@Example.Test' })
    await v1.addUser(1404, { email: 'not an address' })
    const here = await createAccount(scene.app, 'babcia@example.test')
    await v1.addUser(1405, { email: here.email })
    await v1.addUser(here.id)
    await v1.add('consumed_receipts', { id: 1, receipt_token: 'o1_col', user_id: 1401, credits_granted: 10 })
    const report = await v1.run(scene, true)
    const { skipped, created } = report['users'] as { skipped: { user_id: number }[]; created: number }
    assert.equal(created, 1)
    assert.deepEqual(
      skipped.toSorted((a, b) => a.user_id - b.user_id),
      [
        { user_id: here.id, reason: 'id_taken', collides_with: [] },
        { user_id: 1401, reason: 'address_collision', collides_with: [1402] },
        { user_id: 1402, reason: 'address_collision', collides_with: [1401] },
        { user_id: 1404, reason: 'address_invalid', collides_with: [] },
        { user_id: 1405, reason: 'address_taken', collides_with: [] },
      ].toSorted((a, b) => a.user_id - b.user_id),
    )
    assert.equal(Reflect.get(report['receipts'] as object, 'of_skipped_accounts'), 1)
    const [tata] = await rows(scene.app, 'select email from users where id = 1403')
    assert.equal(tata?.['email'], 'tata@example.test')
    assert.deepEqual(differencesOf(report, 1403), [{ kind: 'address_normalised' }])
    // Once the operator has told them apart, the next run brings both.
    await v1.sql(`update users set email = 'inna@example.test' where id = 1401`)
    const next = await v1.run(scene, true)
    assert.equal(Reflect.get(next['users'] as object, 'created'), 2)
    assert.equal(Reflect.get(next['receipts'] as object, 'added'), 1)
  })

  test('ids of v1 are never given out again, of skipped users neither', async () => {
    await v1.addUser(1501)
    await v1.addUser(1599, { email: 'nowhere' })
    await v1.run(scene, true)
    assert.ok((await createAccount(scene.app)).id > 1599)
  })
})

test('missing tables are told; without users nothing is done', async () => {
  scene = await startPacks({ work: false })
  v1 = await startV1(['consumed_receipts', 'webhook_events'])
  await v1.addUser(1)
  const report = await v1.run(scene, false)
  const missing = (report['tables'] as { table: string; found: boolean }[]).filter(({ found }) => !found)
  assert.deepEqual(missing.map(({ table }) => table).sort(), ['consumed_receipts', 'webhook_events'])
  await v1.sql('drop table users')
  const failed = await runImportCommand(scene.app.app, { from: v1.url, isApplied: true })
  assert.equal(failed.kind, 'failed')
  await v1.close()
  await scene.close()
})
