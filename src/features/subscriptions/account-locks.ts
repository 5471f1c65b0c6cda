import type { Database, Tx } from '../../platform/db/database.ts'
import type { Credits } from '../credits/credits.ts'
import { AliasClaimed } from './purchase-queries.ts'

/** Accounts that a transaction holds, with their status when they were locked. */
export interface AccountLocks {
  /** Gives up the transaction unless all are held: it starts over and holds them too. */
  need(userIds: readonly (number | null)[]): void
  statusOf(userId: number): string | null
}

export const isGone = (status: string | null): boolean => status === 'deleting' || status === 'deleted'

class MoreAccounts extends Error {
  readonly userIds: readonly number[]

  constructor(userIds: readonly number[]) {
    super('further accounts have to be locked')
    this.name = 'MoreAccounts'
    this.userIds = userIds
  }
}

const maximumTries = 20

/**
 * Runs `work` in a transaction that first locks the accounts named, in ascending id. Whoever else turns out to be
 * concerned (the owner of a line, those a purchase was paid to) cannot be locked later without breaking the order, so
 * the transaction is rolled back and repeated with all of them.
 */
export const withAccountLocks = async <T>(
  deps: { database: Database; credits: Pick<Credits, 'lock'> },
  userIds: readonly number[],
  work: (tx: Tx, locks: AccountLocks) => Promise<T>,
): Promise<T> => {
  const wanted = new Set(userIds)
  for (let tries = 1; ; tries += 1) {
    try {
      return await deps.database.transaction(async (tx) => {
        const statuses = await deps.credits.lock(tx, [...wanted])
        return work(tx, {
          need: (needed) => {
            const missing = needed.filter((id) => id !== null).filter((id) => !statuses.has(id))
            if (missing.length > 0) throw new MoreAccounts(missing)
          },
          statusOf: (userId) => statuses.get(userId) ?? null,
        })
      })
    } catch (error) {
      const mayRepeat = error instanceof MoreAccounts || error instanceof AliasClaimed
      if (!mayRepeat || tries >= maximumTries) throw error
      if (error instanceof MoreAccounts) for (const id of error.userIds) wanted.add(id)
    }
  }
}
