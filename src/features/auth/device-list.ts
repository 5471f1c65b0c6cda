import type { Clock } from '../../platform/clock.ts'
import { isRefreshTokenForm, sha256 } from '../../platform/crypto.ts'
import type { Database, Tx } from '../../platform/db/database.ts'
import { AppError } from '../../platform/errors.ts'
import { lockUser } from '../users/users.ts'
import { listLiveSessions, type DeviceRecord } from './device-queries.ts'
import { endSessions } from './end-sessions.ts'
import type { Device } from './queries.ts'
import * as queries from './queries.ts'

export type { DeviceRecord } from './device-queries.ts'

interface Target {
  userId: number
  sessionId: number
}

/** `device` is the one that asks: its address prefix and user agent go into the security event. */
export interface DeviceList {
  /** Live sessions of the account, last used first. */
  list(userId: number): Promise<DeviceRecord[]>
  /** Ends one session of the account; refuses `session_not_found` for a foreign, unknown or ended one. */
  revoke(target: Target, device: Device): Promise<void>
  /** Ends the session that the refresh token was ever issued for; false when there is none. */
  signOutByToken(token: string, device: Device): Promise<boolean>
  signOut(caller: Target, device: Device): Promise<void>
  /** Ends every session of the account, the acting one too. */
  signOutEverywhere(userId: number, device: Device): Promise<void>
}

/** Signing out and the list of devices (10 §8.11). Locks in the order user, session. */
export const createDeviceList = (deps: { database: Database; clock: Clock }): DeviceList => {
  const { database, clock } = deps

  const end = async (tx: Tx, target: Target, reason: 'logout' | 'user', device: Device): Promise<boolean> => {
    const now = clock.now()
    await lockUser(tx, target.userId)
    const session = await queries.lockSession(tx, target.sessionId)
    const isLive =
      session?.userId === target.userId &&
      session.endedAt === null &&
      session.idleExpiresAt > now &&
      session.expiresAt > now
    if (!isLive) return false
    await queries.endSession(tx, session.id, reason, now)
    await queries.insertAuthEvent(tx, {
      userId: target.userId,
      kind: reason === 'logout' ? 'sign_out' : 'session_ended',
      sessionId: session.id,
      device,
      now,
    })
    return true
  }

  const signOut: DeviceList['signOut'] = async (caller, device) => {
    await database.transaction((tx) => end(tx, caller, 'logout', device))
  }

  return {
    list: (userId) => listLiveSessions(database.read, userId, clock.now()),
    revoke: async (target, device) => {
      const isDone = await database.transaction((tx) => end(tx, target, 'user', device))
      if (!isDone) throw new AppError('session_not_found')
    },
    signOut,
    signOutByToken: async (token, device) => {
      const found = isRefreshTokenForm(token)
        ? await queries.findRefreshToken(database.read, sha256(token))
        : null
      const session = found && (await queries.findSession(database.read, found.sessionId))
      if (session) await signOut({ userId: session.userId, sessionId: session.id }, device)
      return session !== null
    },
    signOutEverywhere: (userId, device) =>
      database.transaction(async (tx) => {
        await lockUser(tx, userId)
        await endSessions(tx, { userId, reason: 'everywhere', device, now: clock.now() })
      }),
  }
}
