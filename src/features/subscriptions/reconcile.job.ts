import { Type } from 'typebox'
import type { Clock } from '../../platform/clock.ts'
import type { Database, Db, Tx } from '../../platform/db/database.ts'
import { defineJob, handleJob, type Job, type Jobs } from '../../platform/jobs/jobs.ts'
import type { Logger } from '../../platform/observability/logger.ts'
import type { StoreBilling, StorePlatform, Subscriber } from '../../providers/store-billing/store-billing.ts'
import { isGone } from './account-locks.ts'
import { findSource } from './customer-queries.ts'
import { customerIdOf } from './pack-queries.ts'
import type { ProcessEvent } from './process-event.ts'
import { eventsOfReply } from './store-reply-events.ts'

export const reconcileJob = defineJob({
  name: 'subscriptions.reconcile',
  payload: Type.Object({ user_id: Type.Integer() }),
  retryLimit: 5,
  retryDelaySeconds: 60,
  retryDelayMaxSeconds: 3600,
  limitSeconds: 120,
})

/** Queues a comparison of the user with the store's books; one that waits already serves both. */
export const createQueueReconcile =
  (enqueue: Jobs['enqueue']) =>
  async (tx: Tx, userId: number): Promise<void> => {
    await enqueue(tx, reconcileJob, { user_id: userId }, { singletonKey: `reconcile-${userId}` })
  }

/**
 * Compares a user with the store's books (30 §8.8): what they list becomes events, as if the store had told of it, then
 * the packs. Everything is keyed, so it may run any number of times, also beside the webhook.
 */
export const createReconcile = (deps: {
  database: Database
  clock: Clock
  logger: Logger
  store: StoreBilling
  apply: ProcessEvent['apply']
  /** Grants what the answer lists of packs and the user is entitled to. */
  reconcilePacks: (userId: number, subscriber: Subscriber) => Promise<unknown>
  allowsSandbox: boolean
}): Job => {
  const { database, logger, store } = deps

  /** By the store of the subscription; else by the key that there is. */
  const platformOf = async (db: Db, userId: number): Promise<StorePlatform | null> => {
    const found = await findSource(db, userId)
    if (!found || isGone(found.status)) return null
    const order: StorePlatform[] = found.source === 'play_store' ? ['android', 'ios'] : ['ios', 'android']
    return order.find((platform) => store.hasKey(platform)) ?? null
  }

  return handleJob(reconcileJob, async ({ user_id: userId }, { signal }) => {
    const platform = await platformOf(database.read, userId)
    if (!platform) return
    const customerId = await customerIdOf(database.read, userId)
    const reply = await store.fetchSubscriber({ customerId, platform }, signal)
    if (reply.kind === 'unavailable') throw new Error('the store is unavailable')
    if (reply.kind === 'invalid') {
      if (reply.alert) logger.error({ status: reply.status, platform }, 'the store refuses our key')
      return
    }
    for (const event of eventsOfReply(reply.subscriber)) {
      signal.throwIfAborted()
      if (event.environment === 'SANDBOX' && !deps.allowsSandbox) continue
      await deps.apply(event, userId)
    }
    await deps.reconcilePacks(userId, reply.subscriber)
  })
}
