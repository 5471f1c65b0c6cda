import type { Clock } from '../../platform/clock.ts'
import { violatedConstraint, type Database, type Db, type Tx } from '../../platform/db/database.ts'
import type { Mail } from '../mail/mail.ts'
import { findUser, findUserByEmail, lockUser, type User } from '../users/users.ts'
import * as credentials from './credential-queries.ts'
import { linkTokenHash } from './link-mails.ts'
import * as mailTokens from './mail-token-queries.ts'
import * as queries from './queries.ts'

export type ConfirmOutcome = 'confirmed' | 'invalid' | 'taken'

export interface Confirmation {
  /** Whether a confirmation link would still do something. Changes nothing. */
  isLinkLive(token: string): Promise<boolean>
  /** Confirms the address that the link was mailed to (10 §8.7); never changes the account's status. */
  confirm(token: string): Promise<ConfirmOutcome>
}

const isGone = ({ status }: User): boolean => status === 'deleted' || status === 'deleting'

/**
 * A confirmation link: live → used by its first confirmation, live → voided by a newer one or a cancelled change,
 * live → expired after 24 h. All moves happen under the user's lock.
 */
export const createConfirmation = (deps: { database: Database; clock: Clock; mail: Mail }): Confirmation => {
  const { database, clock, mail } = deps

  const find = async (db: Db, token: string): Promise<mailTokens.MailToken | null> => {
    const hash = linkTokenHash(token)
    const row = hash && (await mailTokens.findMailToken(db, 'confirm', hash))
    return row && row.voidedAt === null && row.expiresAt > clock.now() ? row : null
  }

  // A link confirms only the address it was sent to, and nothing once the account is on its way out.
  const isFor = (user: User | null, row: mailTokens.MailToken): user is User =>
    user !== null &&
    !isGone(user) &&
    row.address !== null &&
    (user.email === row.address || user.pendingEmail === row.address)

  const isLinkLive: Confirmation['isLinkLive'] = async (token) => {
    const row = await find(database.read, token)
    return row !== null && isFor(await findUser(database.read, row.userId), row)
  }

  const confirmOwn = async (tx: Tx, user: User, address: string, now: Date): Promise<void> => {
    await credentials.confirmOwnAddress(tx, user.id, now)
    await queries.insertAuthEvent(tx, { userId: user.id, kind: 'email_confirmed', now })
    await mail.queue(tx, { kind: 'email_confirmed', userId: user.id, recipient: address })
  }

  const dropChange = async (tx: Tx, userId: number, now: Date): Promise<void> => {
    await credentials.dropPendingAddress(tx, userId, now)
    await mailTokens.voidMailTokens(tx, userId, 'confirm', now)
    await queries.insertAuthEvent(tx, { userId, kind: 'email_change_cancelled', now })
  }

  const adopt = async (tx: Tx, user: User, address: string, now: Date): Promise<void> => {
    await credentials.adoptPendingAddress(tx, user.id, address, now)
    await mailTokens.voidMailTokens(tx, user.id, 'reset', now)
    await queries.insertAuthEvent(tx, { userId: user.id, kind: 'email_change_confirmed', now })
    if (user.email !== null)
      await mail.queue(tx, { kind: 'email_changed', userId: user.id, recipient: user.email })
  }

  const apply = async (tx: Tx, userId: number, token: string): Promise<ConfirmOutcome> => {
    const now = clock.now()
    const user = await lockUser(tx, userId)
    // Read under the account's lock: a second press of the button waits here until the first has committed.
    const row = await find(tx, token)
    if (!row?.address || !isFor(user, row)) return 'invalid'
    if (user.email === row.address && user.emailConfirmed) {
      await mailTokens.consumeMailToken(tx, row.id, now)
      return 'confirmed'
    }
    if (row.usedAt !== null) return 'invalid'
    if (user.email !== row.address && (await findUserByEmail(tx, row.address))) {
      await dropChange(tx, user.id, now)
      return 'taken'
    }
    if (!(await mailTokens.consumeMailToken(tx, row.id, now))) return 'invalid'
    if (user.email === row.address) await confirmOwn(tx, user, row.address, now)
    else await adopt(tx, user, row.address, now)
    return 'confirmed'
  }

  const confirm: Confirmation['confirm'] = async (token) => {
    const row = await find(database.read, token)
    if (!row) return 'invalid'
    try {
      return await database.transaction((tx) => apply(tx, row.userId, token))
    } catch (error) {
      if (violatedConstraint(error) !== 'uq_users_email') throw error
      // Another account took the address between the look and the write: now the look sees it.
      return await database.transaction((tx) => apply(tx, row.userId, token))
    }
  }

  return { isLinkLive, confirm }
}
