import { setTimeout as sleep } from 'node:timers/promises'
import type { Clock } from '../../platform/clock.ts'
import type { Database } from '../../platform/db/database.ts'
import { AppError } from '../../platform/errors.ts'
import { findUser, findUserByEmail, isEmail, normaliseEmail, type User } from '../users/users.ts'
import { hadSessionFrom } from './device-queries.ts'
import type { LoginBackoff } from './login-backoff.ts'
import type { Passwords } from './passwords.ts'
import { stampLogin } from './login-queries.ts'
import type { Device, Transport } from './queries.ts'
import type { Sessions, TokenPair } from './sessions.ts'

// A failed login answers no sooner than this, so that unknown accounts and old hashes do not stand out.
const failedLoginMs = 300
const familiarMs = 30 * 86_400_000

export interface LoginRequest {
  email: string | undefined
  password: string | undefined
  /** `body` (default) or `cookie`. */
  session: string | undefined
  device: Device
  /** `addressKey` of the client. */
  address: string
  canSolve: boolean
  checkProof: () => Promise<boolean>
  /** Throws `cross_site` when a cookie session was asked for from elsewhere. */
  assertSameSite: () => void
}

/** 10 §8.2 in its order; the refusals 7 to 9 appear only with the right password. */
export type Login = (request: LoginRequest) => Promise<TokenPair & { user: User }>

const refuseState = (user: User): void => {
  if (user.status === 'deactivated' || user.status === 'deleting') throw new AppError('account_deactivated')
  if (!user.emailConfirmed) throw new AppError('email_not_confirmed')
  if (user.status !== 'active') throw new AppError('awaiting_approval')
}

const transportOf = (request: LoginRequest): Transport => {
  const { session = 'body' } = request
  if (session !== 'body' && session !== 'cookie')
    throw new AppError('invalid_value', { text: 'Invalid value for session.' })
  if (session === 'cookie') request.assertSameSite()
  return session
}

export const createLogin = (deps: {
  database: Database
  clock: Clock
  passwords: Passwords
  sessions: Pick<Sessions, 'open'>
  backoff: LoginBackoff
}): Login => {
  const { database, clock, passwords } = deps

  const checkPassword = async (
    email: string,
    password: string,
  ): Promise<{ isRight: true; user: User; needsRehash: boolean } | { isRight: false }> => {
    const user = await findUserByEmail(database.read, email)
    if (!user?.passwordHash) {
      await passwords.dummyVerify(password)
      return { isRight: false }
    }
    const { ok, needsRehash } = await passwords.verify(password, user.passwordHash)
    return ok ? { isRight: true, user, needsRehash } : { isRight: false }
  }

  const isFamiliar = async (email: string, ipPrefix: string): Promise<boolean> => {
    const user = await findUserByEmail(database.read, email)
    const since = new Date(clock.now().getTime() - familiarMs)
    return user !== null && hadSessionFrom(database.read, user.id, ipPrefix, since)
  }

  return async (request) => {
    const started = performance.now()
    const { password, device } = request
    if (request.email === undefined || password === undefined) throw new AppError('login_fields')
    const email = normaliseEmail(request.email)
    if (!isEmail(email)) throw new AppError('email_format')
    const transport = transportOf(request)
    const { address, canSolve, checkProof } = request
    const found = await deps.backoff.attempt(
      { email, address, canSolve, checkProof, isFamiliar: () => isFamiliar(email, device.ipPrefix) },
      () => checkPassword(email, password),
    )
    if (!found.isRight) {
      await sleep(Math.max(0, failedLoginMs - (performance.now() - started)))
      throw new AppError('credentials')
    }
    refuseState(found.user)
    const newHash = found.needsRehash ? await passwords.hash(password) : null
    return database.transaction(async (tx) => {
      const stamped = await stampLogin(tx, found.user.id, {
        now: clock.now(),
        newHash,
        credentialVersion: found.user.credentialVersion,
      })
      const user = stamped ? await findUser(tx, found.user.id) : null
      // Password or state may have changed while this one was checked.
      if (!user) throw new AppError('credentials')
      refuseState(user)
      return { ...(await deps.sessions.open(tx, user.id, device, transport)), user }
    })
  }
}
