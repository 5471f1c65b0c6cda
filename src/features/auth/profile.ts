import type { Clock } from '../../platform/clock.ts'
import type { Database, Db, Tx } from '../../platform/db/database.ts'
import { AppError } from '../../platform/errors.ts'
import type { Caller } from '../../platform/http/request-values.ts'
import type { Mail } from '../mail/mail.ts'
import {
  findUser,
  findUserByEmail,
  isEmail,
  livePendingEmail,
  lockUser,
  normaliseEmail,
  type toUserJson,
  type User,
} from '../users/users.ts'
import * as credentials from './credential-queries.ts'
import type { CurrentPassword } from './current-password.ts'
import { endSessions } from './end-sessions.ts'
import type { LinkMails } from './link-mails.ts'
import { voidMailTokens } from './mail-token-queries.ts'
import { passwordLength, type Passwords } from './passwords.ts'
import * as queries from './queries.ts'
import type { Sessions, TokenPair } from './sessions.ts'

export interface ProfileChange {
  email?: string | undefined
  currentPassword?: string | undefined
  newPassword?: string | undefined
  newPasswordConfirm?: string | undefined
}

export interface ProfileUpdate {
  user: ReturnType<typeof toUserJson>
  /** This request asked for another address, which now waits for its confirmation. */
  isConfirmationRequired: boolean
  isPasswordUpdated: boolean
  /** Of the acting session. */
  tokens: TokenPair
}

export interface Profile {
  /**
   * Changes address, password or both, all or nothing (10 §8.5, its refusals in its order). A new address only waits for
   * its confirmation; the account's own one cancels a waiting change. Any fault is refused `profile_failed`.
   */
  updateProfile(caller: Caller, change: ProfileChange, device: queries.Device): Promise<ProfileUpdate>
}

/** What was asked for, after everything that can be checked without a lock. */
interface CheckedChange {
  caller: Caller
  device: queries.Device
  /** The password that was checked. */
  credentialVersion: number
  email: string | undefined
  newHash: string | null
}

type AddressStep = 'none' | 'request' | 'cancel'

const addressStep = (user: User, email: string | undefined, now: Date): AddressStep => {
  if (email === undefined) return 'none'
  if (email !== user.email) return 'request'
  return livePendingEmail(user, now) === null ? 'none' : 'cancel'
}

export const createProfile = (deps: {
  database: Database
  clock: Clock
  mail: Mail
  linkMails: LinkMails
  passwords: Passwords
  currentPassword: CurrentPassword
  sessions: Pick<Sessions, 'reissue'>
  userJson: (db: Db, user: User) => Promise<ReturnType<typeof toUserJson>>
}): Profile => {
  const { database, clock, mail, linkMails, passwords, currentPassword, sessions, userJson } = deps

  const checkNewPassword = async (change: ProfileChange, emails: readonly string[]): Promise<void> => {
    const { newPassword, newPasswordConfirm } = change
    if (newPassword === undefined) return
    if (newPasswordConfirm === undefined) throw new AppError('new_password_confirmation')
    if (newPassword !== newPasswordConfirm) throw new AppError('new_passwords_differ')
    if (newPassword.normalize('NFC') === change.currentPassword?.normalize('NFC'))
      throw new AppError('new_password_same')
    for (const email of new Set(emails))
      if ((await passwords.assess(newPassword, email)) !== 'ok') throw new AppError('password_weak')
  }

  const check = async (
    caller: Caller,
    change: ProfileChange,
    device: queries.Device,
  ): Promise<CheckedChange> => {
    const email = change.email === undefined ? undefined : normaliseEmail(change.email)
    if (email !== undefined && !isEmail(email)) throw new AppError('email_format')
    const length = change.newPassword === undefined ? 'ok' : passwordLength(change.newPassword)
    if (length !== 'ok') throw new AppError(length === 'short' ? 'password_short' : 'password_long')
    const user = await currentPassword.check(
      caller.userId,
      change.currentPassword,
      'current_password_to_update',
    )
    if (email === undefined && change.newPassword === undefined) throw new AppError('profile_empty')
    if (email !== undefined && email !== user.email && (await findUserByEmail(database.read, email)))
      throw new AppError('email_in_use')
    await checkNewPassword(change, [user.email ?? '', email ?? user.email ?? ''])
    if (change.newPassword === undefined && addressStep(user, email, clock.now()) === 'none')
      throw new AppError('profile_unchanged')
    const newHash = change.newPassword === undefined ? null : await passwords.hash(change.newPassword)
    return { caller, device, credentialVersion: user.credentialVersion, email, newHash }
  }

  const requestAddress = async (
    tx: Tx,
    user: User,
    email: string,
    { device, now }: { device: queries.Device; now: Date },
  ): Promise<void> => {
    const isRepeated = livePendingEmail(user, now) === email
    if (!isRepeated) await voidMailTokens(tx, user.id, 'confirm', now)
    const isMailed = await linkMails.confirmation(tx, user.id, email)
    // A repeated request that gets no new link keeps the end of the one that it has.
    if (isMailed || !isRepeated) await credentials.setPendingAddress(tx, user.id, email, now)
    await queries.insertAuthEvent(tx, { userId: user.id, kind: 'email_change_requested', device, now })
    if (!isRepeated && user.email !== null)
      await mail.queue(tx, {
        kind: 'email_change_requested',
        userId: user.id,
        recipient: user.email,
        variables: { newAddress: email },
      })
  }

  const cancelAddress = async (tx: Tx, user: User, device: queries.Device, now: Date): Promise<void> => {
    await credentials.dropPendingAddress(tx, user.id, now)
    await voidMailTokens(tx, user.id, 'confirm', now)
    await queries.insertAuthEvent(tx, { userId: user.id, kind: 'email_change_cancelled', device, now })
  }

  const setPassword = async (
    tx: Tx,
    user: User,
    newHash: string,
    { device, now }: { device: queries.Device; now: Date },
  ): Promise<void> => {
    await credentials.changePassword(tx, user.id, newHash, now)
    await voidMailTokens(tx, user.id, 'reset', now)
    await queries.insertAuthEvent(tx, { userId: user.id, kind: 'password_changed', device, now })
    if (user.email !== null)
      await mail.queue(tx, {
        kind: 'password_changed',
        userId: user.id,
        recipient: user.email,
        variables: { device: device.userAgent || device.clientName },
      })
  }

  /** Under the user's lock; what was checked before may have changed since. */
  const apply = async (tx: Tx, change: CheckedChange): Promise<ProfileUpdate> => {
    const { caller, device, email, newHash } = change
    const now = clock.now()
    const user = await lockUser(tx, caller.userId)
    if (user?.status !== 'active') throw new AppError('user_inactive')
    if (user.credentialVersion !== change.credentialVersion) throw new AppError('current_password')
    const step = addressStep(user, email, now)
    if (step === 'none' && newHash === null) throw new AppError('profile_unchanged')

    const endsEarlierAccess = step === 'request' || newHash !== null
    if (endsEarlierAccess)
      await endSessions(tx, {
        userId: user.id,
        reason: newHash === null ? 'email_change' : 'password_change',
        exceptSessionId: caller.sessionId,
        device,
        now,
      })
    const tokens = await sessions.reissue(tx, caller.sessionId, { endsEarlierAccess })
    if (step === 'request' && email !== undefined) await requestAddress(tx, user, email, { device, now })
    if (step === 'cancel') await cancelAddress(tx, user, device, now)
    if (newHash !== null) await setPassword(tx, user, newHash, { device, now })

    const changed = await findUser(tx, user.id)
    if (!changed) throw new AppError('user_not_found')
    return {
      user: await userJson(tx, changed),
      isConfirmationRequired: step === 'request',
      isPasswordUpdated: newHash !== null,
      tokens,
    }
  }

  return {
    updateProfile: async (caller, change, device) => {
      try {
        const checked = await check(caller, change, device)
        return await database.transaction((tx) => apply(tx, checked))
      } catch (error) {
        if (error instanceof AppError) throw error
        throw new AppError('profile_failed', { cause: error })
      }
    },
  }
}
