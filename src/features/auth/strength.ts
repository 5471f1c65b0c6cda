import { Worker } from 'node:worker_threads'
import { AppError } from '../../platform/errors.ts'
import { createWorkGate } from './work-gate.ts'

export interface StrengthQuestion {
  id: number
  password: string
  context: readonly string[]
}

export interface StrengthEstimator {
  /** zxcvbn's score, 0 to 4. Refuses `unavailable` when too many wait or the estimate takes over 5 s (the first: 20 s). */
  score(password: string, context: readonly string[]): Promise<number>
  close(): Promise<void>
}

// Measured: the slowest 128-character passwords take about 0.25 s, loading the dictionaries about 0.6 s.
const deadlineMs = 5000
// The first answer of a thread waits for its dictionaries, on a busy machine for many times that.
const firstDeadlineMs = 20_000

const isAnswer = (value: unknown): value is { id: number; score: number } =>
  typeof value === 'object' &&
  value !== null &&
  'id' in value &&
  'score' in value &&
  typeof value.id === 'number' &&
  typeof value.score === 'number'

/**
 * Strength estimates in a thread of their own, started by the first question: the dictionaries cost start-up nothing,
 * and a long password does not hold up the event loop. The thread does not keep the process alive.
 */
export const createStrengthEstimator = (limits: { waitingLimit: number }): StrengthEstimator => {
  const gate = createWorkGate({ concurrency: 1, waitingLimit: limits.waitingLimit, retryAfterSeconds: 5 })
  let worker: Worker | null = null
  let isLoaded = false
  let lastId = 0

  const drop = async (dropped: Worker): Promise<void> => {
    if (worker === dropped) worker = null
    await dropped.terminate()
  }

  const start = (): Worker => {
    isLoaded = false
    const started = new Worker(new URL('strength-worker.ts', import.meta.url))
    // Without a listener a crash of the idle thread would end the process.
    started.on('error', () => void drop(started))
    started.unref()
    return started
  }

  const ask = (asked: Worker, question: StrengthQuestion): Promise<number> =>
    new Promise((resolve, reject) => {
      const settle = (finish: () => void): void => {
        clearTimeout(timer)
        asked.off('message', onMessage).off('error', onGone).off('exit', onGone)
        finish()
      }
      const onMessage = (answer: unknown): void => {
        if (!isAnswer(answer) || answer.id !== question.id) return
        isLoaded = true
        settle(() => resolve(answer.score))
      }
      const onGone = (cause: unknown): void =>
        settle(() => reject(new AppError('unavailable', { retryAfterSeconds: 5, cause })))
      const timer = setTimeout(
        () => {
          void drop(asked)
          onGone(new Error('password strength: deadline passed'))
        },
        isLoaded ? deadlineMs : firstDeadlineMs,
      )
      asked.on('message', onMessage).on('error', onGone).on('exit', onGone)
      // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread's port has no origin
      asked.postMessage(question)
    })

  return {
    score: (password, context) =>
      gate.run(() => {
        worker ??= start()
        lastId += 1
        return ask(worker, { id: lastId, password, context })
      }),
    close: async () => {
      if (worker) await drop(worker)
    },
  }
}
