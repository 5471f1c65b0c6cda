import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { after, before, test } from 'node:test'
import fc from 'fast-check'
import * as scene from '../../../test/account-scene.ts'
import { startTestApp, type Account, type Answer, type TestApp } from '../../../test/app.ts'
import * as cookies from '../../../test/cookie-scene.ts'
import { manualClock } from '../../../test/ledger-fixtures.ts'
import {
  createSessionModel,
  type ModelSession,
  type ModelToken,
  type SessionModel,
} from '../../../test/session-model.ts'

const clock = manualClock()
const minute = 60_000
const day = 86_400_000
const seed = Number(process.env['TEST_SEED']) || Date.now() & 0x7fffffff

let app: TestApp
before(async () => {
  app = await startTestApp({ overrides: { clock }, work: false })
})
after(() => app.close())

interface Step {
  kind:
    | 'login'
    | 'present'
    | 'present-newest'
    | 'present-first'
    | 'answer-lost'
    | 'change-password'
    | 'revoke'
    | 'logout'
    | 'logout-all'
    | 'tick'
  session: number
  /** Place of a token, or of the session that is revoked. */
  other: number
  ms: number
}

const weighted = (weight: number, kind: Step['kind']) => ({ weight, arbitrary: fc.constant(kind) })
const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.record({
    kind: fc.oneof(
      weighted(2, 'login'),
      weighted(5, 'present'),
      weighted(8, 'present-newest'),
      weighted(4, 'present-first'),
      weighted(3, 'answer-lost'),
      weighted(1, 'change-password'),
      weighted(1, 'revoke'),
      weighted(1, 'logout'),
      weighted(1, 'logout-all'),
      weighted(5, 'tick'),
    ),
    session: fc.nat(1000),
    other: fc.nat(1000),
    ms: fc.constantFrom(300, 1000, 14 * minute, 15 * minute, day, 3 * day, 7 * day - 1000, 7 * day),
  }),
  { minLength: 10, maxLength: 40, size: 'max' },
)

const pairOf = (answer: Answer, transport: ModelSession['transport']) => ({
  access: String(answer.body['access_token']),
  refresh: transport === 'cookie' ? cookies.cookieTokenOf(answer) : String(answer.body['refresh_token']),
})

const login = async (model: SessionModel, account: Account, isCookie: boolean): Promise<void> => {
  const answer = isCookie ? await cookies.logInByCookie(app, account) : await scene.login(app, account)
  assert.equal(answer.status, 200, answer.text)
  const transport = isCookie ? 'cookie' : 'body'
  model.open(transport, pairOf(answer, transport))
}

const present = async (model: SessionModel, session: ModelSession, token: ModelToken, isLost = false) => {
  if (token.text === null) return
  const expected = model.present(session, token)
  const answer =
    session.transport === 'cookie'
      ? await cookies.refreshByCookie(app, token.text)
      : await app.call('POST', '/auth/refresh', { json: { refresh_token: token.text } })
  if (expected !== null) return scene.assertRefused(answer, 401, expected)
  assert.equal(answer.status, 200, answer.text)
  model.answered(session, token, isLost ? null : pairOf(answer, session.transport))
}

const changePassword = async (model: SessionModel, session: ModelSession, account: Account) => {
  const access = session.access.at(-1)
  if (!access) return
  const isAccepted = model.isAccepted(session, access)
  const password = scene.newPassword()
  const answer = await app.call('PATCH', '/auth/me', {
    token: access.text,
    json: { current_password: account.password, new_password: password, new_password_confirm: password },
  })
  assert.equal(answer.status, isAccepted ? 200 : 401, answer.text)
  if (!isAccepted) return
  account.password = password
  model.changePassword(session)
  model.answered(session, session.head, pairOf(answer, session.transport))
}

/** DELETE of `target` in the device list, asked for by `session`. */
const revoke = async (model: SessionModel, session: ModelSession, target: number, account: Account) => {
  const access = session.access.at(-1)
  const victim = model.sessions[target]
  if (!access || !victim) return
  const isAccepted = model.isAccepted(session, access)
  const ids = await scene.rows<{ id: number }>(
    app,
    'select id from sessions where user_id = $1 order by id',
    [account.id],
  )
  const path = `/auth/sessions/${ids[target]?.id ?? 0}`
  const { status } = await app.call('DELETE', path, { token: access.text })
  if (isAccepted) assert.equal(status, model.end(victim, 'user') ? 204 : 404)
  else assert.equal(status, 401)
}

const logout = async (model: SessionModel, session: ModelSession, token: ModelToken) => {
  if (token.text === null) return
  const answer = await app.call('POST', '/auth/logout', { json: { refresh_token: token.text } })
  assert.equal(answer.status, 204, answer.text)
  model.end(session, 'logout')
}

const logoutAll = async (model: SessionModel, session: ModelSession) => {
  const access = session.access.at(-1)
  if (!access) return
  const isAccepted = model.isAccepted(session, access)
  const { status } = await app.call('POST', '/auth/logout-all', { token: access.text })
  assert.equal(status, isAccepted ? 204 : 401)
  if (isAccepted) model.endAll()
}

const take = async (model: SessionModel, step: Step, account: Account): Promise<void> => {
  if (step.kind === 'login') return login(model, account, step.other % 2 === 0)
  if (step.kind === 'tick') return clock.advance(step.ms)
  const session = model.sessions[step.session % model.sessions.length]
  const token = session?.tokens[step.other % session.tokens.length]
  const [first, newest] = [session?.tokens[0], session?.tokens.at(-1)]
  if (!session || !token || !first || !newest) return
  if (step.kind === 'present-first') return present(model, session, first)
  if (step.kind === 'present-newest') return present(model, session, newest)
  if (step.kind === 'present') return present(model, session, token)
  if (step.kind === 'answer-lost') return present(model, session, newest, true)
  if (step.kind === 'change-password') return changePassword(model, session, account)
  if (step.kind === 'revoke') return revoke(model, session, step.other % model.sessions.length, account)
  if (step.kind === 'logout') return logout(model, session, token)
  return logoutAll(model, session)
}

/** Newest and oldest access token of a session against the model. */
const checkAccess = async (model: SessionModel, session: ModelSession): Promise<void> => {
  for (const access of new Set([session.access[0], session.access.at(-1)])) {
    if (!access) continue
    const { status } = await app.call('GET', '/auth/me', { token: access.text })
    assert.equal(status, model.isAccepted(session, access) ? 200 : 401)
  }
}

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex')

/** Invariants 1 and 4: one head, its direct successors live and nothing else; one event and one mail for each reuse. */
const checkDatabase = async (model: SessionModel, account: Account): Promise<void> => {
  const found = await scene.rows<{ reason: string | null; head: string; live: string[] }>(
    app,
    `select s.end_reason as reason, encode(h.token_hash, 'hex') as head,
       (select array_agg(encode(t.token_hash, 'hex') order by t.id) from refresh_tokens t
        where t.session_id = s.id and t.superseded_at is null
        and (t.id = s.head_token_id or t.parent_id = s.head_token_id)) as live
     from sessions s join refresh_tokens h on h.id = s.head_token_id where s.user_id = $1 order by s.id`,
    [account.id],
  )
  const [counted] = await scene.rows<{ events: unknown; mails: unknown }>(
    app,
    `select (select count(*) from auth_events where user_id = $1 and kind = 'reuse') as events,
       (select count(*) from emails where user_id = $1 and kind = 'session_closed') as mails`,
    [account.id],
  )
  assert.deepEqual(
    found.map(({ reason, head }) => ({ reason, head })),
    model.sessions.map(({ endReason, head }) => ({ reason: endReason, head: sha256(head.text ?? '') })),
  )
  for (const [index, session] of model.sessions.entries()) {
    const expected = model.liveTokens(session)
    const live = found[index]?.live ?? []
    assert.equal(live.length, expected.length)
    for (const { text } of expected) if (text !== null) assert.ok(live.includes(sha256(text)))
  }
  const reuses = model.sessions.filter(({ endReason }) => endReason === 'reuse').length
  assert.deepEqual([Number(counted?.events), Number(counted?.mails)], [reuses, reuses])
}

const seen = new Map<string, number>()
let walks = 0

/** Runs first: every way to end a session once, whatever the seed brings. */
const everyEnd: Step[] = (
  [
    ['present-first', 0, 0],
    ['login', 0, 0],
    ['answer-lost', 1, 0],
    ['present-first', 1, 0],
    ['present-newest', 1, 0],
    ['present-newest', 1, 0],
    ['present-first', 1, 0],
    ['login', 0, 1],
    ['revoke', 0, 2],
    ['login', 0, 1],
    ['logout', 3, 0],
    ['login', 0, 0],
    ['tick', 0, 0],
    ['change-password', 4, 0],
    ['present-first', 4, 0],
    ['login', 0, 1],
    ['logout-all', 5, 0],
  ] as const
).map(([kind, session, other]) => ({ kind, session, other, ms: 1000 }))

const walk = async (plan: readonly Step[]): Promise<void> => {
  const account = await scene.createAccount(app)
  await scene.rows(app, 'delete from sessions where user_id = $1', [account.id])
  const model = createSessionModel(clock)
  await login(model, account, false)
  for (const step of plan) {
    await take(model, step, account)
    const session = model.sessions[step.session % model.sessions.length]
    await Promise.all([session && checkAccess(model, session), checkDatabase(model, account)])
  }
  walks += 1
  for (const session of model.sessions) {
    await checkAccess(model, session)
    seen.set(String(session.endReason), (seen.get(String(session.endReason)) ?? 0) + 1)
  }
  // Invariant 3: no token of an ended session is good for anything, however old.
  for (const session of model.sessions.filter(({ endReason }) => endReason !== null))
    for (const token of session.tokens) await present(model, session, token)
  await checkDatabase(model, account)
}

test(`sessions agree with their model on random walks, seed ${seed}`, { timeout: 110_000 }, async (t) => {
  t.diagnostic(`seed ${seed}`)
  await fc.assert(fc.asyncProperty(steps, walk), {
    seed,
    numRuns: 60,
    examples: [[everyEnd]],
    interruptAfterTimeLimit: 50_000,
  })
  t.diagnostic(`${walks} walks, ended by ${JSON.stringify(Object.fromEntries(seen))}`)
  for (const reason of ['null', 'reuse', 'logout', 'user', 'everywhere', 'password_change'])
    assert.ok(seen.has(reason), `no walk ended a session by ${reason}`)
})
