import type { Clock } from '../../platform/clock.ts'
import { AppError } from '../../platform/errors.ts'
import type { Counter, RateLimitStore } from '../../providers/rate-limit-store/rate-limit-store.ts'
import type { WaitRoom } from './wait-room.ts'

const quarterHour = 900
const hour = 3600
const accountFailures = 3
const addressFailures = 10
const pairLimit = 10
const accountHourLimit = 50
const delaysMs = [1000, 2000, 4000, 8000] as const

/** Who tries to sign in, as the counters see it. */
export interface LoginAttempt {
  /** Normal form, of a known account or not. */
  email: string
  /** `addressKey` of the client. */
  address: string
  /** Browsers solve a challenge; the shipped app waits instead. */
  canSolve: boolean
  /** True for a solved challenge, once. */
  checkProof: () => Promise<boolean>
  /** Whether the account was used from this network within 30 days: its owner, whatever others do. */
  isFamiliar: () => Promise<boolean>
}

export interface LoginBackoff {
  /**
   * Runs `check` once the counters allow it, and counts its failure or clears them after its success. Refuses
   * `challenge_required` and `rate_limited`.
   */
  attempt<T extends { isRight: boolean }>(who: LoginAttempt, check: () => Promise<T>): Promise<T>
}

/** 1, 2, 4, then 8 s from the first failure that counts. */
const delayOf = (failures: number, from: number): number =>
  failures < from ? 0 : (delaysMs[Math.min(failures - from, delaysMs.length - 1)] ?? 0)

/**
 * Login back-off (10 §7). Failures are counted per account, per address and per pair. Attempts on one account take
 * turns within a process: a burst of parallel guesses sees the failures of those before it, and parallel sign-ins with
 * the right password are not taken for guesses.
 */
export const createLoginBackoff = (deps: {
  counters: RateLimitStore
  keyOf: (kind: string, value: string) => string
  clock: Clock
  waitRoom: WaitRoom
  isEnabled: boolean
}): LoginBackoff => {
  const { counters, keyOf, clock, waitRoom } = deps

  const keysOf = ({ email, address }: LoginAttempt) => ({
    account: keyOf('login-account', email),
    accountHour: keyOf('login-account-hour', email),
    address: keyOf('login-address', address),
    pair: keyOf('login-pair', `${address} ${email}`),
  })
  type Keys = ReturnType<typeof keysOf>

  const read = async (keys: Keys, now: Date) => {
    const names = [keys.account, keys.accountHour, keys.address, keys.pair]
    const [account, accountHour, address, pair] = await counters.read(names, now)
    const none: Counter = { count: 0, resetsAt: now }
    return {
      account: account ?? none,
      accountHour: accountHour ?? none,
      address: address ?? none,
      pair: pair ?? none,
    }
  }

  const refuse = (counter: Counter, now: Date): never => {
    const secondsLeft = (counter.resetsAt.getTime() - now.getTime()) / 1000
    throw new AppError('rate_limited', { retryAfterSeconds: Math.min(quarterHour, Math.max(1, secondsLeft)) })
  }

  const record = async (keys: Keys, isRight: boolean, hadFailures: boolean): Promise<void> => {
    if (isRight) {
      if (hadFailures) await counters.clear([keys.account, keys.accountHour, keys.pair])
      return
    }
    await counters.hit(
      [
        { key: keys.account, windowSeconds: quarterHour },
        { key: keys.accountHour, windowSeconds: hour },
        { key: keys.address, windowSeconds: quarterHour },
        { key: keys.pair, windowSeconds: quarterHour },
      ],
      clock.now(),
    )
  }

  const attempt: LoginBackoff['attempt'] = async (who, check) => {
    if (!deps.isEnabled) return check()
    const keys = keysOf(who)
    let waitedMs = 0
    let isProven = false

    const turn = async () => {
      const now = clock.now()
      const failures = await read(keys, now)
      if (failures.pair.count >= pairLimit) refuse(failures.pair, now)
      const delayMs = Math.max(
        delayOf(failures.account.count, accountFailures),
        delayOf(failures.address.count, addressFailures),
      )
      if (delayMs > 0 && who.canSolve && !isProven) {
        isProven = await who.checkProof()
        if (!isProven) throw new AppError('challenge_required')
      }
      if (failures.accountHour.count >= accountHourLimit && !(await who.isFamiliar()))
        refuse(failures.accountHour, now)
      if (!who.canSolve && delayMs > waitedMs) return { waitMs: delayMs - waitedMs }
      const result = await check()
      const hadFailures = failures.account.count + failures.accountHour.count + failures.pair.count > 0
      await record(keys, result.isRight, hadFailures)
      return { result }
    }

    for (;;) {
      const outcome = await waitRoom.inTurn(keys.account, turn)
      if (outcome.result) return outcome.result
      // Outside the turn: the wait of one must not become the wait of all.
      await waitRoom.wait(outcome.waitMs ?? 0)
      waitedMs += outcome.waitMs ?? 0
    }
  }

  return { attempt }
}
