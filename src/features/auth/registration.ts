import { randomBytes } from 'node:crypto'
import type { Clock } from '../../platform/clock.ts'
import { mailToken, sha256 } from '../../platform/crypto.ts'
import { violatedConstraint, type Database, type Db, type Tx } from '../../platform/db/database.ts'
import { AppError } from '../../platform/errors.ts'
import type { Credits } from '../credits/credits.ts'
import type { Mail } from '../mail/mail.ts'
import {
  findUser,
  findUserByEmail,
  insertUser,
  isEmail,
  lockUser,
  normaliseEmail,
  type User,
} from '../users/users.ts'
import type { Passwords } from './passwords.ts'
import * as mailTokens from './mail-token-queries.ts'
import * as queries from './queries.ts'

const confirmLifetimeMs = 24 * 3_600_000
const dayMs = 86_400_000

export interface RegistrationConfig {
  mode: 'open' | 'beta' | 'closed'
  termsVersion: string
  initialCredits: number
  trialDays: number
}

export type ConfirmOutcome = 'confirmed' | 'invalid' | 'taken'

export interface Registration {
  /** 10 §8.1 in its order; the account, its points, its token and its mail are one transaction. */
  register(fields: {
    email?: string
    password?: string
    passwordConfirm?: string
  }): Promise<{ needsApproval: boolean }>
  /** Creates an account without a mail, for the command line and demo accounts; null when the address is taken. */
  createConfirmed(account: {
    email: string
    password: string
    isAdmin?: boolean
    credits?: number
  }): Promise<number | null>
  /** Whether a confirmation link would still do something. Changes nothing. */
  isLinkLive(token: string): Promise<boolean>
  confirm(token: string): Promise<ConfirmOutcome>
}

const tokenForm = /^[A-Za-z0-9_-]{43}$/

export const createRegistration = (deps: {
  database: Database
  clock: Clock
  config: RegistrationConfig
  credits: Credits
  mail: Mail
  passwords: Passwords
  linkKey: Uint8Array
}): Registration => {
  const { database, clock, config, credits, mail, passwords } = deps

  const create = async (
    tx: Tx,
    account: {
      email: string
      passwordHash: string
      status: 'active' | 'pending'
      isConfirmed?: boolean
      isAdmin?: boolean
    },
    points: number,
  ): Promise<number> => {
    const now = clock.now()
    const userId = await insertUser(tx, {
      ...account,
      termsVersion: config.termsVersion,
      now,
      trialExpiresAt: new Date(now.getTime() + config.trialDays * dayMs),
    })
    if (points > 0)
      await credits.grant(tx, {
        userId,
        amount: points,
        source: 'free',
        reason: 'initial_grant',
        grantKey: `initial:${userId}`,
      })
    return userId
  }

  const queueConfirmation = async (tx: Tx, userId: number, address: string): Promise<void> => {
    const now = clock.now()
    const salt = randomBytes(32)
    const expiresAt = new Date(now.getTime() + confirmLifetimeMs)
    const tokenHash = sha256(mailToken(deps.linkKey, salt))
    const mailTokenId = await mailTokens.insertConfirmToken(tx, {
      userId,
      address,
      salt,
      tokenHash,
      now,
      expiresAt,
    })
    await mail.queue(tx, { kind: 'confirmation', userId, recipient: address, mailTokenId, expiresAt })
  }

  const orTaken = async <T>(work: Promise<T>): Promise<T> => {
    try {
      return await work
    } catch (error) {
      if (violatedConstraint(error) === 'uq_users_email') throw new AppError('email_taken')
      throw error
    }
  }

  const checkPassword = async (password: string, email: string, confirm: string): Promise<void> => {
    const verdict = await passwords.assess(password, email)
    if (verdict === 'short') throw new AppError('password_short')
    if (verdict === 'long') throw new AppError('password_long')
    if (password !== confirm) throw new AppError('passwords_differ')
    if (verdict === 'weak') throw new AppError('password_weak')
  }

  const register: Registration['register'] = async ({ email: typed, password, passwordConfirm }) => {
    if (config.mode === 'closed') throw new AppError('registration_closed')
    if (typed === undefined || password === undefined || passwordConfirm === undefined)
      throw new AppError('registration_fields')
    const email = normaliseEmail(typed)
    if (!isEmail(email)) throw new AppError('email_format')
    await checkPassword(password, email, passwordConfirm)
    if (await findUserByEmail(database.read, email)) throw new AppError('email_taken')
    const passwordHash = await passwords.hash(password)
    const status = config.mode === 'beta' ? 'pending' : 'active'
    await orTaken(
      database.transaction(async (tx) => {
        const userId = await create(tx, { email, passwordHash, status }, config.initialCredits)
        await queueConfirmation(tx, userId, email)
      }),
    )
    return { needsApproval: status === 'pending' }
  }

  const createConfirmed: Registration['createConfirmed'] = async (account) => {
    const email = normaliseEmail(account.email)
    const passwordHash = await passwords.hash(account.password)
    const row = {
      email,
      passwordHash,
      status: 'active' as const,
      isConfirmed: true,
      isAdmin: account.isAdmin ?? false,
    }
    const points = account.credits ?? config.initialCredits
    try {
      return await orTaken(database.transaction((tx) => create(tx, row, points)))
    } catch (error) {
      if (error instanceof AppError && error.code === 'email_taken') return null
      throw error
    }
  }

  const find = async (db: Db, token: string): Promise<mailTokens.MailToken | null> => {
    const row = tokenForm.test(token) ? await mailTokens.findMailToken(db, 'confirm', sha256(token)) : null
    return row && row.voidedAt === null && row.expiresAt > clock.now() ? row : null
  }

  // A link confirms only the address it was sent to, and nothing once the account is on its way out.
  const isFor = (user: User | null, row: mailTokens.MailToken): user is User =>
    user !== null &&
    user.status !== 'deleted' &&
    user.status !== 'deleting' &&
    row.address !== null &&
    (user.email === row.address || user.pendingEmail === row.address)

  const isLinkLive: Registration['isLinkLive'] = async (token) => {
    const row = await find(database.read, token)
    return row !== null && isFor(await findUser(database.read, row.userId), row)
  }

  const apply = async (tx: Tx, userId: number, token: string): Promise<ConfirmOutcome> => {
    const now = clock.now()
    const user = await lockUser(tx, userId)
    // Read under the account's lock: a second press of the button waits here until the first has committed.
    const row = await find(tx, token)
    if (!row?.address || !isFor(user, row)) return 'invalid'
    const isFirst = await mailTokens.consumeMailToken(tx, row.id, now)
    if (user.email === row.address) {
      if (user.emailConfirmed) return 'confirmed'
      if (!isFirst) return 'invalid'
      await mailTokens.confirmOwnAddress(tx, user.id, now)
      await queries.insertAuthEvent(tx, { userId: user.id, kind: 'email_confirmed', now })
      await mail.queue(tx, { kind: 'verified', userId: user.id, recipient: row.address })
      return 'confirmed'
    }
    if (!isFirst) return 'invalid'
    await mailTokens.adoptPendingAddress(tx, user.id, row.address, now)
    await queries.insertAuthEvent(tx, { userId: user.id, kind: 'email_change_confirmed', now })
    if (user.email !== null)
      await mail.queue(tx, { kind: 'email_change_done', userId: user.id, recipient: user.email })
    return 'confirmed'
  }

  const confirm: Registration['confirm'] = async (token) => {
    const row = await find(database.read, token)
    if (!row) return 'invalid'
    try {
      return await database.transaction((tx) => apply(tx, row.userId, token))
    } catch (error) {
      if (violatedConstraint(error) !== 'uq_users_email') throw error
      // Another account took the address meanwhile: the change is dropped.
      await database.transaction((tx) => mailTokens.dropPendingAddress(tx, row.userId, clock.now()))
      return 'taken'
    }
  }

  return { register, createConfirmed, isLinkLive, confirm }
}
