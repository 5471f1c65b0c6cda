import { setTimeout as sleep } from 'node:timers/promises'
import type { Clock } from '../../platform/clock.ts'
import { isRefreshTokenForm, newRefreshToken, sha256 } from '../../platform/crypto.ts'
import { isConnectionFault, sqlState, type Database, type Tx } from '../../platform/db/database.ts'
import { AppError, type RefusalCode } from '../../platform/errors.ts'
import type { Mail } from '../mail/mail.ts'
import { findUser, type User } from '../users/users.ts'
import { accessLifetimeSeconds, type AccessTokens } from './access-token.ts'
import { findBearerState, type BearerState } from './bearer-queries.ts'
import { insertSession } from './login-queries.ts'
import * as queries from './queries.ts'
import type { Device, RefreshToken, Session, Transport } from './queries.ts'

const dayMs = 86_400_000
const idleMs = 7 * dayMs
const absoluteMs = 90 * dayMs
const keptSuccessors = 50
const transientRetryMs = 5000

export interface TokenPair {
  accessToken: string
  refreshToken: string
  expiresInSeconds: number
  /** Where the refresh token goes: into the body, or into the cookie and no body at all. */
  transport: Transport
}

export interface Sessions {
  /** A new session with its first refresh token, in the caller's transaction. */
  open(
    tx: Tx,
    userId: number,
    device: Device,
    transport: Transport,
  ): Promise<TokenPair & { sessionId: number }>
  /**
   * A pair for the acting session in the caller's transaction: the refresh token is one more successor of its head, so
   * a client that ignores it goes on as before. `endsEarlierAccess`: access tokens of an earlier second stop working.
   */
  reissue(tx: Tx, sessionId: number, options: { endsEarlierAccess: boolean }): Promise<TokenPair>
  refresh(token: unknown, device: Device): Promise<TokenPair>
  /** The bearer check (10 §6), in its order. */
  authenticate(authorization: string | undefined): Promise<{ userId: number; sessionId: number }>
}

type Refused = { kind: 'refused'; code: RefusalCode }
type Accepted = { kind: 'accepted'; session: Session; refreshToken: string }

const isTimeOver = (session: Pick<Session, 'idleExpiresAt' | 'expiresAt'>, now: Date): boolean =>
  session.idleExpiresAt <= now || session.expiresAt <= now

const isOver = (session: Session, now: Date): boolean =>
  session.endReason === 'expired' || isTimeOver(session, now)

const floorToSecond = (time: Date): Date => new Date(Math.floor(time.getTime() / 1000) * 1000)

/**
 * Successor-confirmed rotation (decision 9). A session's refresh tokens form a tree:
 *
 *   head        the token presented last in the accepted line; stays valid until a successor is presented
 *   successor   child of the head, never presented; presenting it makes it head
 *   superseded  was head (or a sibling of the presented successor): presenting it is reuse and ends the session
 *
 * All moves happen under the session row's lock; a reuse commits its consequences although the answer is a 401.
 */
export const createSessions = (deps: {
  database: Database
  clock: Clock
  accessTokens: AccessTokens
  mail: Mail
}): Sessions => {
  const { database, clock, accessTokens, mail } = deps

  const idleEnd = (session: { expiresAt: Date }, now: Date): Date =>
    new Date(Math.min(now.getTime() + idleMs, session.expiresAt.getTime()))

  const pair = async (
    session: { id: number; userId: number; expiresAt: Date; transport: Transport },
    refreshToken: string,
    now: Date,
  ): Promise<TokenPair> => ({
    accessToken: await accessTokens.issue(
      { userId: session.userId, sessionId: session.id, sessionExpiresAt: session.expiresAt },
      now,
    ),
    refreshToken,
    expiresInSeconds: accessLifetimeSeconds,
    transport: session.transport,
  })

  const addToken = async (tx: Tx, sessionId: number, parentId: number | null, now: Date) => {
    const token = newRefreshToken()
    const id = await queries.insertRefreshToken(tx, { sessionId, parentId, tokenHash: sha256(token), now })
    return { token, id }
  }

  const open: Sessions['open'] = async (tx, userId, device, transport) => {
    const now = clock.now()
    const expiresAt = new Date(now.getTime() + absoluteMs)
    const session = {
      userId,
      device,
      now,
      expiresAt,
      transport,
      idleExpiresAt: idleEnd({ expiresAt }, now),
      accessValidFrom: floorToSecond(now),
    }
    const token = newRefreshToken()
    const id = await insertSession(tx, session, sha256(token))
    return { ...(await pair({ id, userId, expiresAt, transport }, token, now)), sessionId: id }
  }

  const reissue: Sessions['reissue'] = async (tx, sessionId, { endsEarlierAccess }) => {
    const now = clock.now()
    const session = await queries.lockSession(tx, sessionId)
    if (!session || session.endedAt !== null || session.headTokenId === null)
      throw new AppError('session_over')
    if (endsEarlierAccess) await queries.endEarlierAccess(tx, session.id, floorToSecond(now))
    const successor = await addToken(tx, session.id, session.headTokenId, now)
    return pair(session, successor.token, now)
  }

  const closeForReuse = async (
    tx: Tx,
    { user, session, token }: { user: User; session: Session; token: RefreshToken },
    device: Device,
    now: Date,
  ): Promise<void> => {
    await queries.endSession(tx, session.id, 'reuse', now)
    const event = {
      userId: user.id,
      kind: 'reuse',
      sessionId: session.id,
      refreshTokenId: token.id,
      device,
      now,
    }
    await queries.insertAuthEvent(tx, event)
    if (user.email !== null)
      await mail.queue(tx, {
        kind: 'session_closed',
        userId: user.id,
        recipient: user.email,
        variables: { device: device.userAgent || device.clientName },
      })
  }

  const accept = async (
    tx: Tx,
    session: Session,
    token: RefreshToken,
    device: Device,
    now: Date,
  ): Promise<Accepted> => {
    if (session.headTokenId !== null && token.id !== session.headTokenId)
      await queries.supersedeLine(tx, session.headTokenId, token.id, now)
    await queries.markPresented(tx, token.id, now)
    const successor = await addToken(tx, session.id, token.id, now)
    await queries.pruneSuccessors(tx, token.id, keptSuccessors)
    await queries.touchSession(tx, session.id, {
      headTokenId: token.id,
      device,
      now,
      idleExpiresAt: idleEnd(session, now),
    })
    return { kind: 'accepted', session, refreshToken: successor.token }
  }

  /** Rows 4 to 9 of 10 §5 and the success, under the session's lock. */
  const decide = async (tx: Tx, hash: Buffer, device: Device): Promise<Accepted | Refused> => {
    const refused = (code: RefusalCode): Refused => ({ kind: 'refused', code })
    const now = clock.now()
    const found = await queries.findRefreshToken(tx, hash)
    if (!found) return refused('refresh_invalid')
    const session = await queries.lockSession(tx, found.sessionId)
    // Read again: the token's state may have moved while the lock was awaited.
    const token = await queries.findRefreshToken(tx, hash)
    if (!session || !token) return refused('refresh_invalid')
    const user = await findUser(tx, session.userId)
    if (user?.status !== 'active') return refused('refresh_user')
    if (isOver(session, now)) return refused('refresh_expired')
    if (session.endedAt !== null) return refused('refresh_session')
    const isHead = token.id === session.headTokenId
    const isSuccessor =
      token.parentId !== null && token.parentId === session.headTokenId && token.supersededAt === null
    if (!isHead && !isSuccessor) {
      await closeForReuse(tx, { user, session, token }, device, now)
      return refused('refresh_session')
    }
    if (!user.emailConfirmed) return refused('refresh_unconfirmed')
    return accept(tx, session, token, device, now)
  }

  // The app signs out on any non-2xx, so a passing database fault is waited out here.
  const decideDurably = async (hash: Buffer, device: Device): Promise<Accepted | Refused> => {
    const deadline = Date.now() + transientRetryMs
    for (let attempt = 0; ; attempt += 1) {
      try {
        return await database.transaction((tx) => decide(tx, hash, device))
      } catch (error) {
        const isPassing =
          isConnectionFault(error) || ['40001', '40P01', '55P03'].includes(sqlState(error) ?? '')
        if (!isPassing) throw error
        if (Date.now() >= deadline) throw new AppError('unavailable', { retryAfterSeconds: 5, cause: error })
        await sleep(Math.min(500, 25 * 2 ** attempt))
      }
    }
  }

  const refresh: Sessions['refresh'] = async (token, device) => {
    if (token === undefined) throw new AppError('refresh_required')
    if (typeof token !== 'string' || !isRefreshTokenForm(token)) throw new AppError('refresh_invalid')
    const decision = await decideDurably(sha256(token), device)
    if (decision.kind === 'refused') throw new AppError(decision.code)
    return pair(decision.session, decision.refreshToken, clock.now())
  }

  const check = (state: BearerState | null, issuedAt: Date, now: Date): RefusalCode | null => {
    if (!state || state.status === 'deleted') return 'user_not_found'
    if (state.status !== 'active') return 'user_inactive'
    const { session } = state
    if (session === null || session.endedAt !== null || isTimeOver(session, now)) return 'session_over'
    if (issuedAt < session.accessValidFrom) return 'session_over'
    return state.emailConfirmed ? null : 'address_unconfirmed'
  }

  const authenticate: Sessions['authenticate'] = async (authorization) => {
    const now = clock.now()
    const claims = await accessTokens.verify(authorization, now)
    const state = await findBearerState(database.read, claims.userId, claims.sessionId)
    const code = check(state, claims.issuedAt, now)
    if (code !== null) throw new AppError(code)
    return { userId: claims.userId, sessionId: claims.sessionId }
  }

  return { open, reissue, refresh, authenticate }
}
