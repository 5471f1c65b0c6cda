import assert from 'node:assert/strict'
import { after, before, suite, test } from 'node:test'
import { advanceClock, assertRefused, createAccount, rows, setUser } from '../../../test/account-scene.ts'
import { startAdmin, type AdminScene } from '../../../test/admin-scene.ts'
import type { Account, Answer } from '../../../test/app.ts'

suite('a grant above the threshold waits for a second administrator', () => {
  let scene: AdminScene
  let first: Account
  let second: Account
  before(async () => {
    scene = await startAdmin()
    ;[first, second] = [await scene.admin(), await scene.admin()]
  })
  after(() => scene.close())

  const waitingOf = (answer: Answer): Record<string, unknown> & { id: number } =>
    answer.body['waiting_grant'] as Record<string, unknown> & { id: number }

  const request = async (account: Account, json: Record<string, unknown> = {}): Promise<number> => {
    const answer = await scene.grant(first, account.id, { amount: 201, reason: 'Konkurs', ...json })
    assert.equal(answer.status, 202, answer.text)
    return waitingOf(answer).id
  }
  const decide = (admin: Account, id: number | string, action: 'approve' | 'reject'): Promise<Answer> =>
    scene.ask(admin, 'POST', `/admin/waiting-grants/${id}/${action}`)

  test('200 points are given at once, 201 wait and are listed', async () => {
    const account = await createAccount(scene.app)
    assert.equal((await scene.grant(first, account.id, { amount: 200 })).status, 200)
    const answer = await scene.grant(first, account.id, { amount: 201, reason: 'Konkurs', source: 'event' })
    assert.equal(answer.status, 202)
    const waiting = waitingOf(answer)
    const { requested_at: requestedAt, approvable_until: until, ...rest } = waiting
    assert.deepEqual(rest, {
      id: waiting.id,
      user_id: account.id,
      amount: 201,
      source: 'event',
      reason: 'Konkurs',
      expires_at: null,
      status: 'waiting',
      requested_by: first.id,
      decided_by: null,
      decided_at: null,
      transaction_id: null,
    })
    assert.equal(Date.parse(String(until)) - Date.parse(String(requestedAt)), 7 * 86_400_000)
    assert.equal(await scene.balance(account), 200)
    const list = await scene.ask(second, 'GET', '/admin/waiting-grants')
    assert.deepEqual((list.body['items'] as { id: number }[]).at(-1), waiting)
  })

  test('the second gives it: both are on record, in the ledger and in the audit trail', async () => {
    const account = await createAccount(scene.app)
    const id = await request(account)
    const answer = await decide(second, id, 'approve')
    assert.equal(answer.status, 200, answer.text)
    const {
      status,
      requested_by: asked,
      decided_by: decided,
      transaction_id: transaction,
    } = waitingOf(answer)
    assert.deepEqual([status, asked, decided], ['approved', first.id, second.id])
    assert.equal(await scene.balance(account), 201)
    const [row] = await rows(
      scene.app,
      'select actor, metadata, reason from credit_transactions where id = $1',
      [transaction],
    )
    assert.deepEqual(row, {
      actor: first.id,
      metadata: { waiting_grant_id: id, requested_by: first.id, approved_by: second.id },
      reason: 'Konkurs',
    })
    assert.deepEqual(
      scene.audited.slice(-2).map((entry) => [entry.actorId, entry.action]),
      [
        [first.id, 'credits.grant.request'],
        [second.id, 'credits.grant.approve'],
      ],
    )
  })

  test('whoever asked cannot approve, but can take it back', async () => {
    const account = await createAccount(scene.app)
    const id = await request(account)
    assertRefused(await decide(first, id, 'approve'), 403, 'Another administrator must approve this grant')
    assert.equal(waitingOf(await decide(first, id, 'reject'))['status'], 'rejected')
    assertRefused(await decide(second, id, 'approve'), 409, 'This grant has already been decided')
    assert.equal(await scene.balance(account), 0)
  })

  test('the database itself refuses one person in both roles', async () => {
    const account = await createAccount(scene.app)
    const id = await request(account)
    const given = await scene.grant(first, account.id, { amount: 1 })
    await assert.rejects(
      rows(
        scene.app,
        `update waiting_grants set status = 'approved', decided_by = requested_by, decided_at = now(),
         transaction_id = $2 where id = $1`,
        [id, (given.body['transaction'] as { id: number }).id],
      ),
      { constraint: 'waiting_grants_two_persons' },
    )
  })

  test('approving twice gives once', async () => {
    const account = await createAccount(scene.app)
    const id = await request(account)
    const [one, two] = [await decide(second, id, 'approve'), await decide(second, id, 'approve')]
    assert.deepEqual(two.body, one.body)
    assert.equal(await scene.balance(account), 201)
  })

  test('two approvals at once, also of two administrators: one grant', async () => {
    const third = await scene.admin()
    for (let round = 0; round < 4; round += 1) {
      const account = await createAccount(scene.app)
      const id = await request(account)
      const answers = await Promise.all([second, second, third].map((admin) => decide(admin, id, 'approve')))
      assert.ok(answers.every(({ status }) => status === 200 || status === 409))
      assert.ok(answers.some(({ status }) => status === 200))
      assert.equal(await scene.balance(account), 201)
    }
  })

  test('approval and rejection at once: one of them counts', async () => {
    const third = await scene.admin()
    for (let round = 0; round < 4; round += 1) {
      const account = await createAccount(scene.app)
      const id = await request(account)
      const [yes, no] = await Promise.all([decide(second, id, 'approve'), decide(third, id, 'reject')])
      assert.deepEqual([yes.status, no.status].sort(), [200, 409])
      assert.equal(await scene.balance(account), yes.status === 200 ? 201 : 0)
    }
  })

  test('a repeated request with a key waits once', async () => {
    const account = await createAccount(scene.app)
    const answers = await Promise.all(
      [1, 2, 3].map(() => scene.grant(first, account.id, { amount: 300 }, 'large')),
    )
    assert.equal(new Set(answers.map((answer) => waitingOf(answer).id)).size, 1)
    assert.equal(answers.filter(({ headers }) => headers.get('idempotent-replay') === 'true').length, 2)
    const [row] = await rows(scene.app, 'select count(*)::int as n from waiting_grants where user_id = $1', [
      account.id,
    ])
    assert.equal(row?.['n'], 1)
  })

  test('unknown ids are 404, an account deleted meanwhile gets nothing', async () => {
    for (const id of ['999999', 'x'])
      assertRefused(await decide(second, id, 'approve'), 404, 'Waiting grant not found')
    const account = await createAccount(scene.app)
    const id = await request(account)
    await setUser(scene.app, account.id, `status = 'deleting'`)
    assertRefused(await decide(second, id, 'approve'), 404, 'User not found')
  })

  test('after seven days nobody can; points that would have expired are not given', async () => {
    const [account, late] = [await createAccount(scene.app), await createAccount(scene.app)]
    const id = await request(account)
    const inThreeDays = new Date(Date.now() + 3 * 86_400_000).toISOString()
    const short = await request(late, { expires_at: inThreeDays })
    await advanceClock(scene.app, 4 * 86_400)
    assertRefused(await decide(second, short, 'approve'), 400, 'expires_at must be in the future')
    await advanceClock(scene.app, 3 * 86_400 + 60)
    for (const action of ['approve', 'reject'] as const)
      assertRefused(await decide(second, id, action), 409, 'This grant has expired; ask for it again')
    const list = await scene.ask(second, 'GET', '/admin/waiting-grants')
    assert.deepEqual(list.body['items'], [])
  })
})
