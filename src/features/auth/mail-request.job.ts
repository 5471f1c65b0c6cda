import { setTimeout as sleep } from 'node:timers/promises'
import { Type } from 'typebox'
import type { Clock } from '../../platform/clock.ts'
import type { Database } from '../../platform/db/database.ts'
import { AppError } from '../../platform/errors.ts'
import { defineJob, handleJob, type Job, type Jobs } from '../../platform/jobs/jobs.ts'
import { findUserByEmail, isEmail, lockUser, normaliseEmail, type User } from '../users/users.ts'
import type { LinkMails } from './link-mails.ts'
import { insertMailRequest, takeMailRequest } from './mail-request-queries.ts'
import type { MailTokenKind } from './mail-token-queries.ts'

export const mailRequestJob = defineJob({
  name: 'auth.mail-request',
  payload: Type.Object({ request_id: Type.Integer({ minimum: 1 }) }),
  retryLimit: 20,
  retryDelaySeconds: 5,
  retryDelayMaxSeconds: 600,
  limitSeconds: 30,
  concurrency: 2,
})

// An accepted request answers no sooner than this: the job of a known account may run in the same process meanwhile,
// and without a floor its work showed in the time of the next answers (up to 18 % at the median).
const answerMs = 200

export interface MailRequests {
  /** 10 §8.8; refuses `email_required` only, whatever form the address has. `guard` stands before any look-up. */
  requestConfirmation(email: string | undefined, guard: () => Promise<void>): Promise<void>
  /** 10 §8.9; refuses `email_required` and `email_format`. */
  requestReset(email: string | undefined, guard: () => Promise<void>): Promise<void>
}

/**
 * "Send me a link", asked by anybody for any address. Nothing is looked up here, so known and unknown accounts answer
 * alike and as fast; the job does the rest.
 */
export const createMailRequests = (deps: {
  database: Database
  clock: Clock
  enqueue: Jobs['enqueue']
}): MailRequests => {
  const store = async (kind: MailTokenKind, email: string): Promise<void> => {
    await deps.database.transaction(async (tx) => {
      const requestId = await insertMailRequest(tx, { kind, email, now: deps.clock.now() })
      await deps.enqueue(tx, mailRequestJob, { request_id: requestId })
    })
  }

  const inEqualTime = async (work: () => Promise<void>): Promise<void> => {
    const started = performance.now()
    await work()
    await sleep(Math.max(0, answerMs - (performance.now() - started)))
  }

  return {
    requestConfirmation: async (typed, guard) => {
      if (typed === undefined) throw new AppError('email_required')
      await guard()
      const email = normaliseEmail(typed)
      await inEqualTime(async () => {
        if (isEmail(email)) await store('confirm', email)
      })
    },
    requestReset: async (typed, guard) => {
      if (typed === undefined) throw new AppError('email_required')
      const email = normaliseEmail(typed)
      if (!isEmail(email)) throw new AppError('email_format')
      await guard()
      await inEqualTime(() => store('reset', email))
    },
  }
}

const mayGet = (kind: MailTokenKind, user: User): boolean =>
  user.status !== 'deleting' && user.status !== 'deleted' && (kind === 'reset' || !user.emailConfirmed)

/** Looks the account up, makes the link and queues its mail. A second run finds no request. */
export const createMailRequestJob = (deps: { database: Database; linkMails: LinkMails }): Job =>
  handleJob(mailRequestJob, async ({ request_id: requestId }) => {
    await deps.database.transaction(async (tx) => {
      const request = await takeMailRequest(tx, requestId)
      const found = request && (await findUserByEmail(tx, request.email))
      const user = found && (await lockUser(tx, found.id))
      // The address may have changed hands while the lock was awaited.
      if (!user || user.email !== request.email || !mayGet(request.kind, user)) return
      if (request.kind === 'reset') await deps.linkMails.reset(tx, user)
      else await deps.linkMails.confirmation(tx, user.id, request.email)
    })
  })
