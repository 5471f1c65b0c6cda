import { setTimeout as sleep } from 'node:timers/promises'
import type { Clock } from '../../platform/clock.ts'
import type { Database, Db } from '../../platform/db/database.ts'
import { AppError } from '../../platform/errors.ts'
import type { Credits } from '../credits/credits.ts'
import type { Mail } from '../mail/mail.ts'
import { findUser, findUserByEmail, isEmail, normaliseEmail, toUserJson, type User } from '../users/users.ts'
import { createAccessTokens } from './access-token.ts'
import type { Passwords } from './passwords.ts'
import * as queries from './queries.ts'
import { createRegistration, type Registration, type RegistrationConfig } from './registration.ts'
import { createSessions, type Sessions, type TokenPair } from './sessions.ts'

export { authRoutes } from './routes.ts'
export { createPasswords, type Passwords } from './passwords.ts'
export type { Device } from './queries.ts'

// A failed login answers no sooner than this, so that unknown accounts and old hashes do not stand out.
const failedLoginMs = 300

type UserJson = ReturnType<typeof toUserJson>

export interface Auth extends Registration, Pick<Sessions, 'refresh' | 'authenticate'> {
  /** 10 §8.2; the refusals 7 to 9 appear only with the right password. */
  login(
    fields: { email?: string; password?: string },
    device: queries.Device,
  ): Promise<TokenPair & { user: UserJson }>
  /** The user as the wire shows it. */
  profile(userId: number): Promise<UserJson>
}

export const createAuth = (deps: {
  database: Database
  clock: Clock
  config: RegistrationConfig
  credits: Credits
  mail: Mail
  passwords: Passwords
  accessKeys: { current: Uint8Array; all: readonly Uint8Array[] }
  linkKey: Uint8Array
}): Auth => {
  const { database, clock, credits, passwords } = deps
  const sessions = createSessions({ ...deps, accessTokens: createAccessTokens(deps.accessKeys) })
  const registration = createRegistration(deps)

  const userJson = async (db: Db, user: User): Promise<UserJson> =>
    toUserJson(user, await credits.balance(db, user.id), clock.now())

  const refuseState = (user: User): void => {
    if (user.status === 'deactivated' || user.status === 'deleting') throw new AppError('account_deactivated')
    if (!user.emailConfirmed) throw new AppError('email_not_confirmed')
    if (user.status !== 'active') throw new AppError('awaiting_approval')
  }

  const login: Auth['login'] = async (fields, device) => {
    const started = performance.now()
    if (fields.email === undefined || fields.password === undefined) throw new AppError('login_fields')
    const email = normaliseEmail(fields.email)
    if (!isEmail(email)) throw new AppError('email_format')
    const found = await findUserByEmail(database.read, email)
    const verdict = found?.passwordHash
      ? await passwords.verify(fields.password, found.passwordHash)
      : await passwords.dummyVerify(fields.password).then(() => ({ ok: false, needsRehash: false }))
    if (!found || !verdict.ok) {
      await sleep(Math.max(0, failedLoginMs - (performance.now() - started)))
      throw new AppError('credentials')
    }
    refuseState(found)
    const newHash = verdict.needsRehash ? await passwords.hash(fields.password) : null
    return database.transaction(async (tx) => {
      await queries.stampLogin(tx, found.id, clock.now(), newHash)
      const user = await findUser(tx, found.id)
      // The state may have changed while the password was checked.
      if (!user) throw new AppError('credentials')
      refuseState(user)
      const pair = await sessions.open(tx, user.id, device)
      return { ...pair, user: await userJson(tx, user) }
    })
  }

  const profile: Auth['profile'] = async (userId) => {
    const user = await findUser(database.read, userId)
    if (!user) throw new AppError('user_not_found')
    return userJson(database.read, user)
  }

  return { ...registration, refresh: sessions.refresh, authenticate: sessions.authenticate, login, profile }
}
