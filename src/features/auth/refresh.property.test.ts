import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { after, before, test } from 'node:test'
import fc from 'fast-check'
import * as scene from '../../../test/account-scene.ts'
import { startTestApp, type Account, type TestApp } from '../../../test/app.ts'
import { manualClock } from '../../../test/ledger-fixtures.ts'

const clock = manualClock()
const minute = 60_000
const day = 86_400_000
const seed = Number(process.env['TEST_SEED']) || Date.now() & 0x7fffffff

let app: TestApp
before(async () => {
  app = await startTestApp({ overrides: { clock }, work: false, env: { RATELIMIT_ENABLED: 'false' } })
})
after(() => app.close())

interface Token {
  text: string
  parent: Token | null
  wasPresented: boolean
  isDead: boolean
}

interface Session {
  tokens: Token[]
  head: Token
  accessToken: string
  accessUntil: number
  idleEnd: number
  end: number
  hasReuse: boolean
}

type Step =
  | { kind: 'login' }
  | { kind: 'present'; session: number; token: number; isAnswerLost: boolean }
  | { kind: 'present-newest'; session: number }
  | { kind: 'present-first'; session: number }
  | { kind: 'tick'; ms: number }

const index = fc.nat(1000)
const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    { weight: 1, arbitrary: fc.constant<Step>({ kind: 'login' }) },
    {
      weight: 4,
      arbitrary: fc.record({
        kind: fc.constant('present' as const),
        session: index,
        token: index,
        isAnswerLost: fc.boolean(),
      }),
    },
    { weight: 4, arbitrary: fc.record({ kind: fc.constant('present-newest' as const), session: index }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('present-first' as const), session: index }) },
    {
      weight: 2,
      arbitrary: fc.record({
        kind: fc.constant('tick' as const),
        ms: fc.constantFrom(1000, 14 * minute, 16 * minute, day, 3 * day, 7 * day - 1000, 7 * day),
      }),
    },
  ),
  { minLength: 5, maxLength: 30, size: 'max' },
)

const idleEnd = (session: { end: number }): number => Math.min(clock.now().getTime() + 7 * day, session.end)

const openSession = async (account: Account): Promise<Session> => {
  const now = clock.now().getTime()
  const { accessToken, refreshToken } = await scene.signIn(app, account)
  const head: Token = { text: refreshToken, parent: null, wasPresented: false, isDead: false }
  const end = now + 90 * day
  return {
    tokens: [head],
    head,
    end,
    accessToken,
    accessUntil: now + 15 * minute,
    idleEnd: idleEnd({ end }),
    hasReuse: false,
  }
}

const isOver = (session: Session): boolean => clock.now().getTime() >= Math.min(session.idleEnd, session.end)

/** What the specification says a presentation does, told to the model; answers the expected error or null. */
const presentToModel = (session: Session, token: Token): string | null => {
  if (isOver(session)) return 'Refresh token has expired. Please log in again.'
  if (session.hasReuse) return 'Session is no longer valid. Please log in again.'
  const isLive =
    token === session.head || (token.parent === session.head && !token.wasPresented && !token.isDead)
  if (!isLive) {
    session.hasReuse = true
    return 'Session is no longer valid. Please log in again.'
  }
  if (token !== session.head) {
    session.head.isDead = true
    for (const sibling of session.tokens)
      if (sibling.parent === session.head && sibling !== token) sibling.isDead = true
    session.head = token
  }
  token.wasPresented = true
  session.idleEnd = idleEnd(session)
  return null
}

const present = async (session: Session, token: Token, isAnswerLost: boolean): Promise<void> => {
  const expected = presentToModel(session, token)
  const answer = await app.call('POST', '/auth/refresh', { json: { refresh_token: token.text } })
  if (expected !== null) return scene.assertRefused(answer, 401, expected)
  assert.equal(answer.status, 200, answer.text)
  if (isAnswerLost) return
  const text = String(answer.body['refresh_token'])
  session.tokens.push({ text, parent: token, wasPresented: false, isDead: false })
  session.accessToken = String(answer.body['access_token'])
  session.accessUntil = Math.min(clock.now().getTime() + 15 * minute, session.end)
}

const checkAccess = async (session: Session): Promise<void> => {
  const mayUse = !session.hasReuse && !isOver(session) && clock.now().getTime() < session.accessUntil
  const { status } = await app.call('GET', '/auth/me', { token: session.accessToken })
  assert.equal(status, mayUse ? 200 : 401)
}

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex')

const checkDatabase = async (account: Account, sessions: readonly Session[]): Promise<void> => {
  const reused = sessions.filter(({ hasReuse }) => hasReuse).length
  for (const from of [
    "sessions where user_id = $1 and end_reason = 'reuse'",
    "auth_events where user_id = $1 and kind = 'reuse'",
    "emails where user_id = $1 and kind = 'session_closed'",
  ])
    assert.equal(await scene.count(app, from, [account.id]), reused, from)
  const heads = await scene.rows<{ hash: string }>(
    app,
    `select encode(t.token_hash, 'hex') as hash from sessions s join refresh_tokens t on t.id = s.head_token_id
     where s.user_id = $1 and s.id > $2 order by s.id`,
    [account.id, 0],
  )
  assert.deepEqual(
    heads.map(({ hash }) => hash),
    sessions.map(({ head }) => sha256(head.text)),
  )
}

const walk = async (plan: readonly Step[]): Promise<void> => {
  const account = await scene.createAccount(app)
  await scene.rows(app, 'delete from sessions where user_id = $1', [account.id])
  const sessions = [await openSession(account)]
  for (const step of plan) {
    if (step.kind === 'login') sessions.push(await openSession(account))
    else if (step.kind === 'tick') clock.advance(step.ms)
    else {
      const session = sessions[step.session % sessions.length]
      if (!session) continue
      const place =
        step.kind === 'present' ? step.token % session.tokens.length : step.kind === 'present-first' ? 0 : -1
      const token = session.tokens.at(place)
      if (!token) continue
      await present(session, token, step.kind === 'present' && step.isAnswerLost)
      await checkAccess(session)
    }
  }
  await checkDatabase(account, sessions)
}

test(`refresh agrees with its model on random walks, seed ${seed}`, async (t) => {
  t.diagnostic(`seed ${seed}`)
  await fc.assert(fc.asyncProperty(steps, walk), { seed, numRuns: 40, interruptAfterTimeLimit: 60_000 })
})

test('a history of the login’s token alone, gaps under 7 days, never gets a refusal', async () => {
  const gaps = fc.array(fc.integer({ min: 1, max: 7 * day - 1 }), { maxLength: 40 })
  await fc.assert(
    fc.asyncProperty(gaps, async (waits) => {
      const account = await scene.createAccount(app)
      const end = clock.now().getTime() + 90 * day
      for (const wait of waits) {
        if (clock.now().getTime() + wait >= end) return
        clock.advance(wait)
        const answer = await app.call('POST', '/auth/refresh', {
          json: { refresh_token: account.refreshToken },
        })
        assert.equal(answer.status, 200, answer.text)
      }
    }),
    { seed, numRuns: 8 },
  )
})
