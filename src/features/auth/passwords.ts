import { randomBytes } from 'node:crypto'
import { availableParallelism } from 'node:os'
import { AppError } from '../../platform/errors.ts'
import { isBreached } from './breached-password.ts'
import { createHashThreads } from './hash-threads.ts'
import { contextWords, isDecoratedContextWord } from './password-context.ts'
import { hashCeilings, parseStoredHash } from './stored-hash.ts'
import { createStrengthEstimator } from './strength.ts'

export type PasswordVerdict = 'ok' | 'short' | 'long' | 'weak'

export interface Passwords {
  /** argon2id, PHC string, of the NFC form. Refuses `password_long` above 1,024 UTF-8 bytes. */
  hash(password: string): Promise<string>
  /** `needsRehash` only with `ok`: the stored form or its parameters are not today's. */
  verify(password: string, storedHash: string): Promise<{ ok: boolean; needsRehash: boolean }>
  /** Costs what `verify` costs for an account that exists; for the ones that do not. */
  dummyVerify(password: string): Promise<void>
  /** 8 to 128 code points of the NFC form, strength, and the breach query where one is configured. */
  assess(password: string, email: string): Promise<PasswordVerdict>
  /** Ends the threads of hashing and estimating. */
  close(): Promise<void>
}

export interface PasswordOptions {
  /** Hashes at once in this process, each in a thread; never more than there are cores. */
  concurrency?: number
  /** Hashes that may wait; more are refused `unavailable`. */
  waitingLimit?: number
  memoryKib?: number
  timeCost?: number
  breachedPasswordUrl?: string | null
  /** Told what the caller cannot see. Gets neither a password nor a hash. */
  report?: (problem: 'breach_query_failed' | 'stored_hash_refused', cause?: unknown) => void
}

const checkedLimitBytes = 1024
const shortestLength = 8
const longestLength = 128
const weakBelowScore = 2

const isCheckable = (password: string): boolean =>
  password.length <= checkedLimitBytes && Buffer.byteLength(password, 'utf8') <= checkedLimitBytes

/** Length rule alone: 8 to 128 code points of the NFC form. */
export const passwordLength = (password: string): 'ok' | 'short' | 'long' => {
  // No form of 128 code points is that long; spares normalising what is refused anyway.
  if (password.length > longestLength * 32) return 'long'
  const length = Array.from(password.normalize('NFC')).length
  if (length < shortestLength) return 'short'
  return length > longestLength ? 'long' : 'ok'
}

const base64 = (data: Buffer): string => data.toString('base64').replaceAll('=', '')

const isWithinCeilings = (memoryKib: number, timeCost: number): boolean =>
  memoryKib <= hashCeilings.memoryKib && timeCost <= hashCeilings.timeCost

/**
 * Password rules of the accounts specification. argon2id comes from `@node-rs/argon2`: 12 ms a hash at 19 MiB and two
 * passes where `crypto.argon2` took 30 ms (two cores, Node 26.10). Throws at once for parameters that `verify` would
 * refuse, since nobody could sign in again.
 */
export const createPasswords = (options: PasswordOptions = {}): Passwords => {
  const { concurrency = 4, waitingLimit = 64, memoryKib = 19_456, timeCost = 2, report } = options
  if (!isWithinCeilings(memoryKib, timeCost))
    throw new Error(
      `password hashing: at most ${hashCeilings.memoryKib} KiB and ${hashCeilings.timeCost} passes`,
    )
  const parameters = { memoryCost: memoryKib, timeCost, parallelism: 1, outputLen: 32 }
  const breachedUrl = options.breachedPasswordUrl ?? null
  const threads = createHashThreads({ threads: Math.min(concurrency, availableParallelism()), waitingLimit })
  const strength = createStrengthEstimator({ waitingLimit })
  // Random bytes instead of a digest: the check costs the same, and no password opens it.
  const dummyHash =
    `$argon2id$v=19$m=${memoryKib},t=${timeCost},p=1$` +
    `${base64(randomBytes(16))}$${base64(randomBytes(32))}`

  const runArgon2 = (phc: string, password: string): Promise<boolean> =>
    threads.verify(password.normalize('NFC'), phc)

  const dummyVerify: Passwords['dummyVerify'] = async (password) => {
    if (isCheckable(password)) await runArgon2(dummyHash, password)
  }

  const verify: Passwords['verify'] = async (password, storedHash) => {
    const refused = { ok: false, needsRehash: false }
    if (!isCheckable(password)) return refused
    const stored = parseStoredHash(storedHash)
    if (stored === null) {
      report?.('stored_hash_refused')
      await dummyVerify(password)
      return refused
    }
    if (stored.scheme === 'scrypt') {
      // v1 did not normalise: what was typed first, then the form that other keyboards send.
      const forms = [...new Set([password, password.normalize('NFC')])]
      const ok = await threads.matchesScrypt(forms, stored)
      return { ok, needsRehash: ok }
    }
    const isCurrent =
      stored.memoryKib === memoryKib &&
      stored.timeCost === timeCost &&
      stored.parallelism === parameters.parallelism
    const ok = await runArgon2(stored.phc, password)
    return { ok, needsRehash: ok && !isCurrent }
  }

  const isKnownFromBreach = async (url: string, password: string): Promise<boolean> => {
    try {
      return await isBreached(url, password)
    } catch (error) {
      // Fails open: an outage of the service must not stop people from choosing a password.
      report?.('breach_query_failed', error)
      return false
    }
  }

  const assess: Passwords['assess'] = async (password, email) => {
    const length = passwordLength(password)
    if (length !== 'ok') return length
    const normal = password.normalize('NFC')
    const context = contextWords(email)
    if (isDecoratedContextWord(normal, context)) return 'weak'
    if ((await strength.score(normal, context)) < weakBelowScore) return 'weak'
    return breachedUrl !== null && (await isKnownFromBreach(breachedUrl, normal)) ? 'weak' : 'ok'
  }

  return {
    hash: async (password) => {
      if (!isCheckable(password)) throw new AppError('password_long')
      return threads.hash(password.normalize('NFC'), parameters)
    },
    verify,
    dummyVerify,
    assess,
    close: async () => {
      await Promise.all([threads.close(), strength.close()])
    },
  }
}
