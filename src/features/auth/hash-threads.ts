import { Worker } from 'node:worker_threads'
import { AppError } from '../../platform/errors.ts'
import type { StoredHash } from './stored-hash.ts'
import { createWorkGate } from './work-gate.ts'

export type ScryptKey = Extract<StoredHash, { scheme: 'scrypt' }>

export interface Argon2Parameters {
  memoryCost: number
  timeCost: number
  parallelism: number
  outputLen: number
}

/** What a thread is asked; passwords come in the form that is hashed. */
export type HashJob =
  | { kind: 'hash'; password: string; parameters: Argon2Parameters }
  | { kind: 'verify'; password: string; phc: string }
  | { kind: 'scrypt'; forms: readonly string[]; stored: ScryptKey }

/** A PHC string, whether the password matches, or null when the work failed. */
export type HashAnswer = string | boolean | null

export interface HashThreads {
  /** argon2id with a random salt; a PHC string. */
  hash(password: string, parameters: Argon2Parameters): Promise<string>
  /** Against an argon2 PHC string. */
  verify(password: string, phc: string): Promise<boolean>
  /** Whether one of the spellings has this scrypt key. */
  matchesScrypt(forms: readonly string[], stored: ScryptKey): Promise<boolean>
  /** Ends the threads; what they were at, what waits and what comes later is refused `unavailable`. */
  close(): Promise<void>
}

const retryAfterSeconds = 2

const codeOf = (error: unknown): string =>
  error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : 'without a code'

/**
 * Password hashing in threads of its own that run at a lower priority than the rest, started by the first jobs. A thread
 * does one job at a time, keeps the process alive only while it works, and is replaced when it ends by itself. All
 * operations refuse `unavailable` when more than `waitingLimit` jobs wait or the thread ended during the job.
 *
 * Measured with `npm run bench:logins` on two busy cores, 16 clients signing in: GET /auth/me took 15 ms (p50) and
 * 113 ms (p99) at 28 sign-ins a second, where the same hashes on libuv's pool gave 416 and 571 ms at 15 a second.
 */
export const createHashThreads = (options: {
  /** 0 refuses everything beyond the waiting limit and serves nothing. */
  threads: number
  waitingLimit: number
  /** What the threads run. */
  script?: URL
}): HashThreads => {
  const { threads, waitingLimit, script = new URL('hash-worker.ts', import.meta.url) } = options
  const gate = createWorkGate({ concurrency: threads, waitingLimit, retryAfterSeconds })
  const all = new Set<Worker>()
  const idle: Worker[] = []
  let isClosed = false

  const start = (): Worker => {
    // Flags of the process, as those of a test run or an evaluated script, do not suit it.
    const worker = new Worker(script, { execArgv: [] })
    all.add(worker)
    const forget = (): void => {
      all.delete(worker)
      const place = idle.indexOf(worker)
      if (place !== -1) idle.splice(place, 1)
    }
    // Without a listener of `error` a crash of an idle thread would end the process.
    worker.on('error', forget).on('exit', forget)
    return worker
  }

  const ask = (job: HashJob): Promise<unknown> =>
    new Promise((resolve, reject) => {
      if (isClosed) throw new AppError('unavailable', { retryAfterSeconds })
      const worker = idle.pop() ?? start()
      const settle = (finish: () => void): void => {
        worker.off('message', onAnswer).off('error', onGone).off('exit', onGone)
        finish()
      }
      const onAnswer = (answer: unknown): void =>
        settle(() => {
          worker.unref()
          idle.push(worker)
          resolve(answer)
        })
      // The thread's own error may quote what it was given; only its code is passed on.
      const onGone = (error: unknown): void =>
        settle(() => {
          const cause = new Error(`password hashing: a thread ended (${codeOf(error)})`)
          reject(new AppError('unavailable', { retryAfterSeconds, cause }))
        })
      worker.on('message', onAnswer).on('error', onGone).on('exit', onGone)
      worker.ref()
      // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread's port has no origin
      worker.postMessage(job)
    })

  const failed = (): Error => new Error('password hashing failed')

  const asksWhether = async (job: HashJob): Promise<boolean> => {
    const answer = await gate.run(() => ask(job))
    if (typeof answer !== 'boolean') throw failed()
    return answer
  }

  return {
    hash: async (password, parameters) => {
      const answer = await gate.run(() => ask({ kind: 'hash', password, parameters }))
      if (typeof answer !== 'string') throw failed()
      return answer
    },
    verify: (password, phc) => asksWhether({ kind: 'verify', password, phc }),
    matchesScrypt: (forms, stored) => asksWhether({ kind: 'scrypt', forms, stored }),
    close: async () => {
      isClosed = true
      await Promise.all([...all].map((worker) => worker.terminate()))
    },
  }
}
