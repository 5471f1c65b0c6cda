import type { Clock } from '../../platform/clock.ts'
import type { Database } from '../../platform/db/database.ts'
import { AppError, type RefusalCode } from '../../platform/errors.ts'
import type { RateLimitStore } from '../../providers/rate-limit-store/rate-limit-store.ts'
import { findUser, type User } from '../users/users.ts'
import type { Passwords } from './passwords.ts'

const failureLimit = 10
const failureWindowSeconds = 3600

export interface CurrentPassword {
  /**
   * The account, if `password` is its own. Refuses `missing` for none, `current_password` for a wrong one and, after
   * ten wrong ones of the account within an hour, `rate_limited` on every route that asks.
   */
  check(userId: number, password: string | undefined, missing: RefusalCode): Promise<User>
}

export const createCurrentPassword = (deps: {
  database: Database
  clock: Clock
  passwords: Passwords
  counters: RateLimitStore
  isLimited: boolean
}): CurrentPassword => ({
  check: async (userId, password, missing) => {
    if (password === undefined) throw new AppError(missing)
    const key = `current-password:${userId}`
    const now = deps.clock.now()
    const [failures] = deps.isLimited ? await deps.counters.read([key], now) : []
    if (failures && failures.count >= failureLimit)
      throw new AppError('rate_limited', {
        retryAfterSeconds: (failures.resetsAt.getTime() - now.getTime()) / 1000,
      })
    const user = await findUser(deps.database.read, userId)
    if (!user?.passwordHash) throw new AppError('user_not_found')
    const { ok } = await deps.passwords.verify(password, user.passwordHash)
    if (ok) return user
    if (deps.isLimited)
      await deps.counters.hit([{ key, windowSeconds: failureWindowSeconds }], deps.clock.now())
    throw new AppError('current_password')
  },
})
