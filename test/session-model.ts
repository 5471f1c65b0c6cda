import type { Clock } from '../src/platform/clock.ts'

const day = 86_400_000
const accessMs = 900_000

export interface ModelToken {
  /** Null when the answer that carried it was lost: it exists, and nobody can present it. */
  text: string | null
  parent: ModelToken | null
  isDead: boolean
}

export interface ModelAccess {
  text: string
  issuedSecond: number
  untilMs: number
}

export type EndReason = 'reuse' | 'logout' | 'user' | 'everywhere' | 'password_change'

export interface ModelSession {
  transport: 'body' | 'cookie'
  tokens: ModelToken[]
  head: ModelToken
  access: ModelAccess[]
  accessFromSecond: number
  idleEnd: number
  end: number
  endReason: EndReason | null
}

export const expired = 'Refresh token has expired. Please log in again.'
export const sessionOver = 'Session is no longer valid. Please log in again.'

/** What sections 4 and 5 of the accounts page say of one account's sessions, in memory. */
export const createSessionModel = (clock: Clock) => {
  const sessions: ModelSession[] = []
  const nowMs = (): number => clock.now().getTime()
  const second = (): number => Math.floor(nowMs() / 1000)
  const isOver = (session: ModelSession): boolean => nowMs() >= Math.min(session.idleEnd, session.end)
  const isLive = (session: ModelSession): boolean => session.endReason === null && !isOver(session)

  const access = (text: string, end: number): ModelAccess => ({
    text,
    issuedSecond: second(),
    untilMs: Math.min(second() * 1000 + accessMs, Math.floor(end / 1000) * 1000),
  })

  const isAccepted = (session: ModelSession, { issuedSecond, untilMs }: ModelAccess): boolean =>
    isLive(session) && issuedSecond >= session.accessFromSecond && nowMs() < untilMs

  const open = (
    transport: ModelSession['transport'],
    pair: { access: string; refresh: string },
  ): ModelSession => {
    const head: ModelToken = { text: pair.refresh, parent: null, isDead: false }
    const end = nowMs() + 90 * day
    const session: ModelSession = {
      transport,
      tokens: [head],
      head,
      access: [access(pair.access, end)],
      accessFromSecond: second(),
      idleEnd: nowMs() + 7 * day,
      end,
      endReason: null,
    }
    sessions.push(session)
    return session
  }

  /** Presents a token; answers the error that must come, or null for a 200. */
  const present = (session: ModelSession, token: ModelToken): string | null => {
    if (isOver(session)) return expired
    if (session.endReason !== null) return sessionOver
    if (token !== session.head && (token.parent !== session.head || token.isDead)) {
      session.endReason = 'reuse'
      return sessionOver
    }
    if (token !== session.head) {
      session.head.isDead = true
      for (const other of session.tokens)
        if (other.parent === session.head && other !== token) other.isDead = true
      session.head = token
    }
    session.idleEnd = Math.min(nowMs() + 7 * day, session.end)
    return null
  }

  /** A pair that was answered with 200; `null` when the answer was lost. */
  const answered = (
    session: ModelSession,
    parent: ModelToken,
    pair: { access: string; refresh: string } | null,
  ): void => {
    session.tokens.push({ text: pair?.refresh ?? null, parent, isDead: false })
    if (pair) session.access.push(access(pair.access, session.end))
  }

  /** Ends the others, and the acting session's access tokens of an earlier second. */
  const changePassword = (session: ModelSession): void => {
    for (const other of sessions) if (other !== session) other.endReason ??= 'password_change'
    session.accessFromSecond = second()
  }

  /** True when there was something to end. */
  const end = (session: ModelSession, reason: 'logout' | 'user'): boolean => {
    const wasLive = isLive(session)
    if (wasLive) session.endReason = reason
    return wasLive
  }

  const endAll = (): void => {
    for (const session of sessions) session.endReason ??= 'everywhere'
  }

  /** The tokens that the session accepts: its head and the head's direct successors. */
  const liveTokens = (session: ModelSession): ModelToken[] =>
    session.tokens.filter(
      (token) => token === session.head || (token.parent === session.head && !token.isDead),
    )

  return { sessions, isAccepted, open, present, answered, changePassword, end, endAll, liveTokens }
}

export type SessionModel = ReturnType<typeof createSessionModel>
