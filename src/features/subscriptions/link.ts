import type { Clock } from '../../platform/clock.ts'
import type { Database, Tx } from '../../platform/db/database.ts'
import { AppError } from '../../platform/errors.ts'
import type { RateLimitStore } from '../../providers/rate-limit-store/rate-limit-store.ts'
import { accessOf, lockUser } from '../users/users.ts'
import { findStoreLink, isCustomerIdTaken, setCustomerId } from './link-queries.ts'

const reconcileEverySeconds = 6 * 3600

export interface StoreLinks {
  /**
   * Links the user to the store's customer of the same id, the only one there is to link (30 §11). A user without active
   * subscription is then compared with the store, at most once in 6 h. Refuses `store_link_taken`, `store_link_failed`.
   */
  link(userId: number): Promise<{ customerId: string }>
}

export const createStoreLinks = (deps: {
  database: Database
  clock: Clock
  counters: Pick<RateLimitStore, 'claim'>
  /** Queues `subscriptions.reconcile` for a user. */
  queueReconcile: (tx: Tx, userId: number) => Promise<void>
}): StoreLinks => {
  const { database, clock, counters } = deps

  const write = async (userId: number, customerId: string): Promise<{ isSubscribed: boolean }> => {
    try {
      return await database.transaction(async (tx) => {
        const now = clock.now()
        const user = await lockUser(tx, userId)
        if (!user) throw new AppError('user_not_found')
        const link = await findStoreLink(tx, userId)
        if (link?.customerId !== customerId) await setCustomerId(tx, userId, customerId, now)
        return { isSubscribed: accessOf(user, now).subscription }
      })
    } catch (cause) {
      if (cause instanceof AppError) throw cause
      if (isCustomerIdTaken(cause)) throw new AppError('store_link_taken')
      throw new AppError('store_link_failed', { cause })
    }
  }

  const link: StoreLinks['link'] = async (userId) => {
    const customerId = String(userId)
    const { isSubscribed } = await write(userId, customerId)
    const isDue =
      !isSubscribed && (await counters.claim(`link-reconcile:${userId}`, reconcileEverySeconds, clock.now()))
    if (isDue) await database.transaction((tx) => deps.queueReconcile(tx, userId))
    return { customerId }
  }

  return { link }
}
