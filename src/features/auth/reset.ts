import type { Clock } from '../../platform/clock.ts'
import type { Database, Db, Tx } from '../../platform/db/database.ts'
import { AppError } from '../../platform/errors.ts'
import type { Mail } from '../mail/mail.ts'
import { findUser, lockUser, type User } from '../users/users.ts'
import * as credentials from './credential-queries.ts'
import { endSessions } from './end-sessions.ts'
import { linkTokenHash } from './link-mails.ts'
import * as mailTokens from './mail-token-queries.ts'
import { passwordLength, type Passwords } from './passwords.ts'
import * as queries from './queries.ts'

export interface Reset {
  /** Whether a reset link can still set a password. Changes nothing. */
  isResetLinkLive(token: string): Promise<boolean>
  /** Sets a new password and ends every session (10 §8.10, its refusals in its order). Confirms and activates nothing. */
  resetPassword(
    token: string,
    fields: { newPassword?: string | undefined; newPasswordConfirm?: string | undefined },
    device: queries.Device,
  ): Promise<void>
}

interface LiveLink {
  tokenId: number
  user: User
}

/**
 * A reset link: live → used by the reset, live → voided by a newer one or by any change of password or address,
 * live → expired after 1 h. It is bound to the password that was valid when it was asked for.
 */
export const createReset = (deps: {
  database: Database
  clock: Clock
  mail: Mail
  passwords: Passwords
}): Reset => {
  const { database, clock, mail, passwords } = deps

  const find = async (db: Db, token: string): Promise<mailTokens.MailToken | null> => {
    const hash = linkTokenHash(token)
    const row = hash && (await mailTokens.findMailToken(db, 'reset', hash))
    return row && row.usedAt === null && row.voidedAt === null && row.expiresAt > clock.now() ? row : null
  }

  const liveLink = (row: mailTokens.MailToken | null, user: User | null): LiveLink | null =>
    row !== null &&
    user !== null &&
    user.status !== 'deleting' &&
    user.status !== 'deleted' &&
    user.credentialVersion === row.credentialVersion
      ? { tokenId: row.id, user }
      : null

  const look = async (token: string): Promise<LiveLink | null> => {
    const row = await find(database.read, token)
    return row && liveLink(row, await findUser(database.read, row.userId))
  }

  const cancelPendingAddress = async (
    tx: Tx,
    user: User,
    device: queries.Device,
    now: Date,
  ): Promise<void> => {
    if (user.pendingEmail === null) return
    await credentials.dropPendingAddress(tx, user.id, now)
    await mailTokens.voidMailTokens(tx, user.id, 'confirm', now, user.email ?? undefined)
    await queries.insertAuthEvent(tx, { userId: user.id, kind: 'email_change_cancelled', device, now })
  }

  const apply = async (
    tx: Tx,
    { token, userId, newHash }: { token: string; userId: number; newHash: string },
    device: queries.Device,
  ): Promise<void> => {
    const now = clock.now()
    const locked = await lockUser(tx, userId)
    // Read under the account's lock: a second post of the same link waits here until the first has committed.
    const link = liveLink(await find(tx, token), locked)
    if (!link || !(await mailTokens.consumeMailToken(tx, link.tokenId, now))) throw new AppError('reset_link')
    const { user } = link
    await endSessions(tx, { userId, reason: 'password_reset', device, now })
    await credentials.changePassword(tx, userId, newHash, now)
    await mailTokens.voidMailTokens(tx, userId, 'reset', now)
    await cancelPendingAddress(tx, user, device, now)
    await queries.insertAuthEvent(tx, { userId, kind: 'password_reset', device, now })
    if (user.email !== null)
      await mail.queue(tx, {
        kind: 'password_changed',
        userId,
        recipient: user.email,
        variables: { device: device.userAgent || device.clientName },
      })
  }

  const resetPassword: Reset['resetPassword'] = async (
    token,
    { newPassword, newPasswordConfirm },
    device,
  ) => {
    if (newPassword === undefined || newPasswordConfirm === undefined) throw new AppError('reset_fields')
    const length = passwordLength(newPassword)
    if (length !== 'ok') throw new AppError(length === 'short' ? 'password_short' : 'password_long')
    if (newPassword !== newPasswordConfirm) throw new AppError('passwords_differ')
    const link = await look(token)
    if (!link) throw new AppError('reset_link')
    if ((await passwords.assess(newPassword, link.user.email ?? '')) !== 'ok')
      throw new AppError('password_weak')
    const newHash = await passwords.hash(newPassword)
    const userId = link.user.id
    await database.transaction((tx) => apply(tx, { token, userId, newHash }, device))
  }

  return { isResetLinkLive: async (token) => (await look(token)) !== null, resetPassword }
}
