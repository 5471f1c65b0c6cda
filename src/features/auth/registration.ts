import type { Clock } from '../../platform/clock.ts'
import { violatedConstraint, type Database, type Tx } from '../../platform/db/database.ts'
import { AppError } from '../../platform/errors.ts'
import type { Credits } from '../credits/credits.ts'
import { findUserByEmail, insertUser, isEmail, normaliseEmail } from '../users/users.ts'
import type { LinkMails } from './link-mails.ts'
import type { Passwords } from './passwords.ts'

const dayMs = 86_400_000

export interface RegistrationConfig {
  mode: 'open' | 'beta' | 'closed'
  termsVersion: string
  initialCredits: number
  trialDays: number
}

export interface Registration {
  /** 10 §8.1 in its order, `guard` being row 7; the account, its points, its token and its mail are one transaction. */
  register(
    fields: {
      email?: string
      password?: string
      passwordConfirm?: string
    },
    guard: () => Promise<void>,
  ): Promise<{ needsApproval: boolean }>
  /** Creates an account without a mail, for the command line and demo accounts; null when the address is taken. */
  createConfirmed(account: {
    email: string
    password: string
    isAdmin?: boolean
    credits?: number
  }): Promise<number | null>
}

export const createRegistration = (deps: {
  database: Database
  clock: Clock
  config: RegistrationConfig
  credits: Credits
  linkMails: LinkMails
  passwords: Passwords
}): Registration => {
  const { database, clock, config, credits, linkMails, passwords } = deps

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

  const register: Registration['register'] = async ({ email: typed, password, passwordConfirm }, guard) => {
    if (config.mode === 'closed') throw new AppError('registration_closed')
    if (typed === undefined || password === undefined || passwordConfirm === undefined)
      throw new AppError('registration_fields')
    const email = normaliseEmail(typed)
    if (!isEmail(email)) throw new AppError('email_format')
    await checkPassword(password, email, passwordConfirm)
    await guard()
    if (await findUserByEmail(database.read, email)) throw new AppError('email_taken')
    const passwordHash = await passwords.hash(password)
    const status = config.mode === 'beta' ? 'pending' : 'active'
    await orTaken(
      database.transaction(async (tx) => {
        const userId = await create(tx, { email, passwordHash, status }, config.initialCredits)
        await linkMails.confirmation(tx, userId, email)
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

  return { register, createConfirmed }
}
