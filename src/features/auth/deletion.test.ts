import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { startTestApp, until, type TestApp } from '../../../test/app.ts'
import { assertRefused, count, createAccount, login, rows, setUser } from '../../../test/account-scene.ts'
import { askForDeletion, deletionOf, finished, statusOf } from '../../../test/deletion-scene.ts'

const required = 'Current password is required to delete your account.'

describe('DELETE /auth/me', () => {
  let app: TestApp
  before(async () => {
    app = await startTestApp()
  })
  after(() => app.close())

  const remove = (token: string, json?: unknown) =>
    app.call('DELETE', '/auth/me', { token, ...(json === undefined ? {} : { json }) })

  const untouched = async (id: number) => {
    assert.equal(await statusOf(app, { id }), 'active')
    assert.equal(await count(app, 'account_deletions where user_id = $1', [id]), 0)
    assert.equal(await count(app, `pgboss.job where name = 'accounts.delete'`), 0)
  }

  test('no token: 401 before anything else', async () => {
    assertRefused(await app.call('DELETE', '/auth/me', { json: {} }), 401, 'Authentication token is missing')
  })

  test('row 1: no current password, with and without a body', async () => {
    const account = await createAccount(app)
    for (const json of [undefined, {}, { current_password: '' }, { current_password: null, reason: 'x' }])
      assertRefused(await remove(account.accessToken, json), 400, required)
    await untouched(account.id)
  })

  test('a reason of more than 500 characters or of another type is refused by name', async () => {
    const account = await createAccount(app)
    for (const reason of ['ż'.repeat(501), 7])
      assertRefused(
        await remove(account.accessToken, { current_password: account.password, reason }),
        400,
        'Invalid value for reason.',
      )
    await untouched(account.id)
  })

  test('row 2: a wrong password queues no job and ends no session', async () => {
    const account = await createAccount(app)
    const wrong = { current_password: `${account.password}!` }
    assertRefused(await remove(account.accessToken, wrong), 403, 'Current password is incorrect.')
    await untouched(account.id)
    assert.equal((await app.call('GET', '/auth/me', { token: account.accessToken })).status, 200)
  })

  test('row 3: the last owner stays; with a second one the first may go', async () => {
    const owner = await createAccount(app)
    await setUser(app, owner.id, 'is_admin = true')
    const right = { current_password: owner.password }
    assertRefused(
      await remove(owner.accessToken, { current_password: 'x' }),
      403,
      'Current password is incorrect.',
    )
    assertRefused(await remove(owner.accessToken, right), 409, 'The last owner account cannot be deleted.')
    await untouched(owner.id)
    const other = await createAccount(app)
    await setUser(app, other.id, `is_admin = true, status = 'deactivated'`)
    assert.equal((await remove(owner.accessToken, right)).status, 409, 'a deactivated owner runs nothing')
    await setUser(app, other.id, `status = 'active'`)
    assert.equal((await remove(owner.accessToken, right)).status, 202)
    await finished(app, owner)
    await setUser(app, other.id, 'is_admin = false')
  })

  test('of two owners who leave at once one stays', async () => {
    const owners = [await createAccount(app), await createAccount(app)]
    for (const { id } of owners) await setUser(app, id, 'is_admin = true')
    const answers = await Promise.all(
      owners.map((owner) => remove(owner.accessToken, { current_password: owner.password })),
    )
    assert.deepEqual(answers.map(({ status }) => status).sort(), [202, 409])
    await setUser(app, owners[answers.findIndex(({ status }) => status === 409)]?.id ?? 0, 'is_admin = false')
  })

  test('row 4: a deletion that cannot be recorded changes nothing (A-L35)', async () => {
    const account = await createAccount(app)
    await setUser(app, account.id, `pending_email = 'nowy-${account.email}', pending_email_at = now()`)
    const deletionJobs = `pgboss.job where name = 'accounts.delete'`
    const jobs = await count(app, deletionJobs)
    await rows(
      app,
      `create function refuse_deletion() returns trigger language plpgsql as
         $$ begin raise exception 'secret of the database'; end $$;
       create trigger refuse_deletion before insert on account_deletions
         for each row execute function refuse_deletion()`,
    )
    try {
      const answer = await remove(account.accessToken, { current_password: account.password })
      assert.equal(answer.status, 500)
      const { request_id: requestId, ...body } = answer.body
      assert.deepEqual(body, { error: 'Unable to start account deletion.' })
      assert.equal(requestId, answer.headers.get('x-request-id'))
      const [line, ...others] = app.lines.filter(({ level }) => level === 'error')
      assert.equal(line?.message, 'request failed')
      assert.deepEqual(others, [])
    } finally {
      app.lines.splice(0)
      await rows(app, 'drop function refuse_deletion cascade')
    }
    assert.equal(await statusOf(app, account), 'active')
    assert.equal(await count(app, deletionJobs), jobs)
    assert.equal(await count(app, 'emails where user_id = $1', [account.id]), 0)
    assert.equal(
      await count(app, `auth_events where user_id = $1 and kind like 'deletion%'`, [account.id]),
      0,
    )
    const me = await app.call('GET', '/auth/me', { token: account.accessToken })
    assert.equal(me.status, 200)
    assert.equal(me.body['pending_email'], `nowy-${account.email}`)
    const renewed = await app.call('POST', '/auth/refresh', { json: { refresh_token: account.refreshToken } })
    assert.equal(renewed.status, 200)
  })

  test('ok: 202 with a task, and from then on every door is closed', async () => {
    const account = await createAccount(app)
    const other = await createAccount(app)
    const right = { current_password: account.password }
    const answer = await remove(account.accessToken, right)
    assert.equal(answer.status, 202, answer.text)
    const { task_id: taskId, ...body } = answer.body
    assert.deepEqual(body, { message: 'Your account is being deleted.' })
    assert.equal(typeof taskId, 'string')
    assert.equal(answer.headers.get('cache-control'), 'no-store')
    const again = await remove(account.accessToken, right)
    assert.ok(
      (again.status === 403 && again.body['error'] === 'User account is inactive') ||
        (again.status === 401 && again.body['error'] === 'User not found'),
      again.text,
    )
    assertRefused(
      await app.call('POST', '/auth/refresh', { json: { refresh_token: account.refreshToken } }),
      401,
      (await statusOf(app, account)) === 'deleted'
        ? 'Invalid token. Please log in again.'
        : 'Invalid or inactive user',
    )
    await finished(app, account)
    assertRefused(await login(app, account), 401, 'Invalid credentials')
    assert.equal((await app.call('GET', '/auth/me', { token: other.accessToken })).status, 200)
  })
})

describe('an account while it is being deleted', () => {
  let app: TestApp
  before(async () => {
    // No worker: the deletion stays at its first state.
    app = await startTestApp({ work: false })
  })
  after(() => app.close())

  test('sessions, links, archives and a pending address are void; a repeat is 403', async () => {
    const account = await createAccount(app)
    const { id } = account
    await setUser(app, id, `pending_email = 'nowy@example.test', pending_email_at = now()`)
    await rows(
      app,
      `insert into account_exports (user_id, status, object_key, size_bytes, created_at, ready_at, expires_at)
       values ($1, 'ready', 'exports/1/1_x.zip', 10, now(), now(), now() + interval '7 days'),
         ($1, 'pending', null, null, now(), null, null)`,
      [id],
    )
    assert.equal(
      (await app.call('POST', '/auth/reset-password-request', { json: { email: account.email } })).status,
      200,
    )
    await askForDeletion(app, account, 'za drogo, piszcie na mama@example.test')

    assertRefused(
      await app.call('DELETE', '/auth/me', {
        token: account.accessToken,
        json: { current_password: account.password },
      }),
      403,
      'User account is inactive',
    )
    assertRefused(
      await app.call('POST', '/auth/refresh', { json: { refresh_token: account.refreshToken } }),
      401,
      'Invalid or inactive user',
    )
    assertRefused(await login(app, account), 403, 'Account is deactivated. Please contact support.')
    const sessions = await rows(app, 'select distinct end_reason from sessions where user_id = $1', [id])
    assert.deepEqual(sessions, [{ end_reason: 'deleted' }])
    const user = await rows(app, 'select status, pending_email from users where id = $1', [id])
    assert.deepEqual(user, [{ status: 'deleting', pending_email: null }])
    const exports = await rows(app, 'select status from account_exports where user_id = $1 order by id', [id])
    assert.deepEqual(exports, [{ status: 'expired' }, { status: 'error' }])
    assert.equal(await count(app, 'mail_tokens where user_id = $1 and voided_at is null', [id]), 0)
    const events = `auth_events where user_id = $1 and kind = 'deletion_requested'`
    assert.equal(await count(app, events, [id]), 1)
    const { state, reason, notify_email: notified } = await deletionOf(app, account)
    assert.deepEqual(
      { state, reason, notified },
      { state: 'stop', reason: 'za drogo, piszcie na …', notified: account.email },
    )
    const mails = await rows(app, `select kind from emails where user_id = $1 order by id desc limit 1`, [id])
    assert.deepEqual(mails, [{ kind: 'deletion_started' }])
  })

  test('two requests at once start one deletion', async () => {
    const account = await createAccount(app)
    const ask = () =>
      app.call('DELETE', '/auth/me', {
        token: account.accessToken,
        json: { current_password: account.password },
      })
    const answers = await Promise.all([ask(), ask(), ask()])
    assert.equal(answers.filter(({ status }) => status === 202).length, 1)
    // A check that reads the account before and the session after the start says that the session is over.
    assert.ok(answers.every(({ status }) => [202, 401, 403].includes(status)))
    assert.equal(await count(app, 'account_deletions where user_id = $1', [account.id]), 1)
  })
})

test('an operator can end accounts that cannot end themselves; a deletion is begun once', async () => {
  const app = await startTestApp()
  try {
    const from = ['pending', 'active', 'deactivated'] as const
    const start = (userId: number) =>
      app.test.database.transaction((tx) =>
        app.app.deletions.start(tx, { userId, requestedBy: 'admin 1', from, reason: 'na prośbę' }),
      )
    for (const status of ['pending', 'deactivated', 'active']) {
      const account = await createAccount(app)
      await setUser(app, account.id, `status = '${status}'`)
      await start(account.id)
      await assert.rejects(start(account.id), { code: 'user_inactive' })
      await finished(app, account)
      const by = await rows(app, 'select requested_by from account_deletions where user_id = $1', [
        account.id,
      ])
      assert.deepEqual(by, [{ requested_by: 'admin 1' }])
      await assert.rejects(start(account.id), { code: 'user_inactive' })
    }
    const reasons = await rows(app, 'select reason from account_deletion_reasons')
    assert.equal(reasons.length, 3)
  } finally {
    await app.close()
  }
})

test('started and finished mails go out, and the last one is the end of the address', async () => {
  const app = await startTestApp()
  try {
    const account = await createAccount(app)
    await askForDeletion(app, account)
    const done = await finished(app, account)
    assert.equal(done.notify_email, null)
    const mail = await until(
      async () => (await app.outbox(account.email, 'deletion_finished'))[0],
      'the last mail',
    )
    assert.match(mail.text, /Usunęliśmy Twoje konto\. Potem zajrzeliśmy/)
    assert.match(mail.text, /App Store lub Google Play/)
    assert.equal(await count(app, 'emails where recipient = $1', [account.email]), 0)
  } finally {
    await app.close()
  }
})
