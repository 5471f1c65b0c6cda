import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { after, before, describe, test } from 'node:test'
import { deleteAccountJob } from '../src/features/auth/auth.ts'
import { until } from './app.ts'
import { count, createAccount, rows } from './account-scene.ts'
import { askForDeletion, finished, itemsOf, queuedJobs, statusOf, tracesOf } from './deletion-scene.ts'
import { startScene, type Cast, type Scene } from './narration-scene.ts'

describe('a deleted account', () => {
  let scene: Scene
  before(async () => {
    scene = await startScene()
  })
  after(() => scene.close())

  const narrated = async (cast: Cast) => {
    assert.equal((await scene.ask(cast)).status, 202)
    assert.equal((await scene.ended(cast))['status'], 'ready')
  }

  const objectsOf = async ({ account, voiceId }: Cast): Promise<string[]> => [
    ...(await scene.keys(`voice_samples/${account.id}/`)),
    ...(await scene.keys(`audio_stories/${voiceId}/`)),
    ...(await scene.keys(`exports/${account.id}/`)),
  ]

  test('leaves no voice, narration, session, object, remote voice or row; another account keeps all of its', async () => {
    const { app, speech } = scene
    const [cast, other] = [await scene.cast(), await scene.cast()]
    await narrated(cast)
    await narrated(other)
    const { account } = cast
    const exported = await app.call('POST', '/auth/me/export', {
      token: account.accessToken,
      json: { current_password: account.password },
    })
    assert.equal(exported.status, 202, exported.text)
    await until(
      async () => ((await scene.keys(`exports/${account.id}/`)).length > 0 ? true : null),
      'the archive',
    )
    // A second voice that no provider knows, and one that was deleted before.
    await scene.addVoice(account)
    const earlier = await scene.addVoice(account)
    assert.equal((await app.call('DELETE', `/voices/${earlier}`, { token: account.accessToken })).status, 200)
    const before = await objectsOf(other)
    assert.ok((await objectsOf(cast)).length >= 5 && before.length >= 3)
    assert.equal(speech.voices.size, 2)

    await askForDeletion(app, account, 'Dziecko już duże')
    await finished(app, account)

    assert.equal(await statusOf(app, account), 'deleted')
    assert.deepEqual(await tracesOf(app, account), [])
    assert.deepEqual(await objectsOf(cast), [])
    assert.equal(speech.voices.size, 1)
    assert.deepEqual(await queuedJobs(app), [])
    assert.deepEqual(
      (await itemsOf(app, account)).filter((item) => item.verified_at === null || item.last_failure !== null),
      [],
    )
    const events = await rows<{ metadata: Record<string, unknown> }>(
      app,
      `select metadata from voice_slot_events where user_id is null and voice_id is null`,
    )
    assert.ok(events.length > 0, 'slot events stay, without the account')
    assert.doesNotMatch(JSON.stringify(events), /voice_samples|external_voice_id|"voice_id"/)
    // Nothing of the other account moved.
    assert.deepEqual(await objectsOf(other), before)
    assert.equal((await app.call('GET', '/voices', { token: other.account.accessToken })).status, 200)
    assert.deepEqual(await count(app, 'narrations where user_id = $1', [other.account.id]), 1)
  })

  test('the ledger still sums up: unfinished debits were refunded, finished ones were not (A-L27)', async () => {
    const { app, speech } = scene
    const cast = await scene.cast()
    await narrated(cast)
    const unfinished = { ...cast, storyId: await scene.addStory() }
    const open = speech.hold('speak')
    assert.equal((await scene.ask(unfinished)).status, 202)
    await until(async () => (speech.inFlight() > 0 ? true : null), 'speech to begin')
    const { account } = cast
    await askForDeletion(app, account)
    open()
    await finished(app, account, 40_000)

    const ledger = await rows(
      app,
      `select type, status, amount, reason, metadata from credit_transactions where user_id = $1 order by id`,
      [account.id],
    )
    const story = (id: number) => `audio_synthesis:${id}`
    const metadata = {}
    assert.deepEqual(ledger, [
      { type: 'credit', status: 'applied', amount: 10, reason: 'initial_grant', metadata },
      { type: 'debit', status: 'applied', amount: -3, reason: story(cast.storyId), metadata },
      { type: 'debit', status: 'refunded', amount: -3, reason: story(unfinished.storyId), metadata },
      { type: 'refund', status: 'applied', amount: 3, reason: 'account_deleted', metadata },
      { type: 'expire', status: 'applied', amount: -7, reason: 'account_deleted', metadata },
    ])
    const sums = await rows(
      app,
      `select (select sum(amount) from credit_transactions where user_id = $1)::int as moved,
         (select sum(amount_remaining) from credit_lots where user_id = $1)::int as left,
         (select credits_balance from users where id = $1) as balance`,
      [account.id],
    )
    assert.deepEqual(sums, [{ moved: 0, left: 0, balance: 0 }])
  })

  test('receipts stay as hashes, and words of people go (A-L26)', async () => {
    const { app } = scene
    const account = await createAccount(app)
    const hash = randomBytes(32)
    await rows(
      app,
      `with line as (
         insert into store_subscriptions (line_hash, original_transaction_id, current_transaction_id, owner_user_id,
           created_at, updated_at) values ($2, 'GPA.1', 'GPA.1..0', $1, now(), now()) returning id),
       bought as (
         insert into store_purchases (kind, user_id, subscription_id, product_id, purchased_at, points, transaction_id,
           original_transaction_id, created_at, updated_at)
         select 'period', $1, id, 'dawnotemu_monthly', now(), 26, 'GPA.1..0', 'GPA.1', now(), now() from line
         returning id)
       insert into store_purchase_aliases (alias_hash, purchase_id) select $2, id from bought`,
      [account.id, hash],
    )
    await rows(
      app,
      `insert into webhook_events (event_id, event_type, event_at, processed_at, user_id, outcome, fields)
       values ('e1', 'RENEWAL', now(), now(), $1, 'processed',
         '{"transaction_id": "GPA.1..0", "original_transaction_id": "GPA.1", "product_id": "dawnotemu_monthly"}')`,
      [account.id],
    )
    await app.test.database.transaction((tx) =>
      app.app.credits.grant(tx, {
        userId: account.id,
        amount: 5,
        source: 'add_on',
        reason: 'Przeprosiny dla pani Ani',
        actor: account.id,
      }),
    )
    await askForDeletion(app, account)
    await finished(app, account)

    assert.equal(await count(app, 'store_purchase_aliases where alias_hash = $1', [hash]), 1)
    const purchases = await rows(
      app,
      `select product_id, points, transaction_id, original_transaction_id from store_purchases where user_id = $1`,
      [account.id],
    )
    assert.deepEqual(purchases, [
      { product_id: 'dawnotemu_monthly', points: 26, transaction_id: null, original_transaction_id: null },
    ])
    const lines = await rows(
      app,
      `select original_transaction_id, current_transaction_id from store_subscriptions where owner_user_id = $1`,
      [account.id],
    )
    assert.deepEqual(lines, [{ original_transaction_id: null, current_transaction_id: null }])
    const events = await rows(app, 'select fields from webhook_events where user_id = $1', [account.id])
    const fields = { transaction_id: null, original_transaction_id: null, product_id: 'dawnotemu_monthly' }
    assert.deepEqual(events, [{ fields }])
    const reasons = await rows<{ reason: string }>(
      app,
      `select reason from credit_transactions where user_id = $1 and type = 'credit' order by id`,
      [account.id],
    )
    assert.deepEqual(
      reasons.map(({ reason }) => reason),
      ['initial_grant', 'admin_grant'],
    )
  })

  test('the tombstone holds nothing personal, the reason stands without it (A-L34)', async () => {
    const { app } = scene
    const account = await createAccount(app)
    await rows(
      app,
      `update users set subscription_active = true, subscription_plan = 'dawnotemu_monthly',
         subscription_expires_at = now(), subscription_source = 'app_store' where id = $1`,
      [account.id],
    )
    await askForDeletion(app, account, 'Za mało bajek o smokach')
    const done = await finished(app, account)
    assert.equal(done.reason, null)
    const kept = await rows(app, `select reason from account_deletion_reasons where reason like '%smokach'`)
    assert.deepEqual(kept, [{ reason: 'Za mało bajek o smokach' }])
    const [user] = await rows<Record<string, unknown>>(app, 'select * from users where id = $1', [account.id])
    const filled = Object.entries(user ?? {}).flatMap(([name, value]) =>
      value === null || value === false || value === 0 ? [] : [name],
    )
    assert.deepEqual(filled.sort(), [
      'created_at',
      'credential_version',
      'credits_balance_at',
      'deleted_at',
      'id',
      'status',
      'terms_version',
      'updated_at',
    ])
    assert.equal(user?.['terms_version'], 'unknown')
  })

  test('its address is free: a new account with it gets a new welcome', async () => {
    const { app } = scene
    const account = await app.signUp()
    await askForDeletion(app, account)
    await finished(app, account)
    const again = await app.signUp(account.email)
    assert.notEqual(again.id, account.id)
    const { body } = await app.call('GET', '/auth/me', { token: again.accessToken })
    assert.equal(body['credits_balance'], 10)
    assert.equal(body['trial_is_active'], true)
  })

  test('a second run of the job has no effect', async () => {
    const { app } = scene
    const cast = await scene.cast()
    await askForDeletion(app, cast.account)
    const { id } = await finished(app, cast.account)
    const snapshot = async () => [
      await rows(app, 'select * from account_deletions where id = $1', [id]),
      await itemsOf(app, cast.account),
      await rows(app, 'select * from users where id = $1', [cast.account.id]),
      await rows(app, 'select * from credit_transactions where user_id = $1', [cast.account.id]),
    ]
    const before = await snapshot()
    const jobId = await app.test.database.transaction((tx) =>
      app.app.jobs.enqueue(tx, deleteAccountJob, { deletion_id: id }),
    )
    await until(
      async () => ((await app.app.jobs.find(deleteAccountJob, jobId))?.state === 'completed' ? true : null),
      'the second run',
    )
    assert.deepEqual(await snapshot(), before)
    assert.equal((await app.outbox(cast.account.email, 'deletion_finished')).length, 1)
  })
})
