import type { Clock } from '../../platform/clock.ts'
import type { Database, Tx } from '../../platform/db/database.ts'
import { AppError } from '../../platform/errors.ts'
import type { Logger } from '../../platform/observability/logger.ts'
import type { StoreBilling, StorePlatform, Subscriber } from '../../providers/store-billing/store-billing.ts'
import type { Credits } from '../credits/credits.ts'
import { createPackClaim, createPackPayer, type PackOutcome } from './claim-pack.ts'
import { packsOf, type PackEntry } from './pack-entitlement.ts'
import { customerIdOf } from './pack-queries.ts'
import { findAliases, findPurchaseByAlias, listPurchases, listUnpaidPacks } from './purchase-queries.ts'

/** A receipt as the app claims it: trimmed texts, a known pack and platform. */
export interface Receipt {
  token: string
  productId: string
  platform: StorePlatform
}

export interface Packs {
  /**
   * Redeems a receipt (30 §10.1, rows 6 to 14), then grants every other pack of the store's answer that is still owed.
   * `points` is the named pack's amount, also when it was granted before. Refuses `receipt_foreign`,
   * `receipt_unavailable`, `receipt_invalid`, `receipt_check_failed`, `subscription_inactive`, `grant_failed`.
   */
  redeem(userId: number, receipt: Receipt): Promise<{ points: number; balance: number }>
  /**
   * Grants every pack of the store's answer, and every one stored without points, that the user is entitled to; each in a
   * transaction of its own. Answers the points granted now; throws at the end if any of them failed.
   */
  reconcilePacks(userId: number, subscriber: Subscriber): Promise<{ points: number }>
}

export interface PacksDeps {
  database: Database
  clock: Clock
  logger: Logger
  credits: Pick<Credits, 'lock' | 'grant' | 'purchasePoints' | 'balance'>
  store: StoreBilling
  /** Queues `subscriptions.reconcile` for a user. */
  queueReconcile: (tx: Tx, userId: number) => Promise<void>
  config: { allowsSandboxPurchases: boolean; allowsUnverifiedPurchases: boolean }
}

export const createPacks = (deps: PacksDeps): Packs => {
  const { database, clock, logger, credits, store, config } = deps
  const ledgerDeps = { clock, credits, allowsSandbox: config.allowsSandboxPurchases }
  const claim = createPackClaim({ ...ledgerDeps, database })
  const pay = createPackPayer(ledgerDeps)

  const noteRefusedKey = (status: number | null, platform: StorePlatform): void =>
    logger.error({ store: store.name, status, platform }, 'the store refuses our key')

  /** Packs that a webhook told of and the store's answer does not list. */
  const payStored = async (
    userId: number,
    purchaseId: number,
    subscriber: Subscriber,
  ): Promise<PackOutcome> =>
    database.transaction(async (tx) => {
      const status = (await credits.lock(tx, [userId])).get(userId)
      const [purchase] = await listPurchases(tx, { ids: [purchaseId] })
      return purchase?.userId === userId && status !== 'deleting' && status !== 'deleted'
        ? pay(tx, purchase, subscriber)
        : { kind: 'refused' }
    })

  /** Entries that may still be owed: not those whose identifiers all name granted purchases. */
  const open = async (entries: readonly PackEntry[]): Promise<PackEntry[]> => {
    const aliases = await findAliases(
      database.read,
      entries.flatMap(({ identifiers }) => identifiers),
    )
    const named = await listPurchases(database.read, { ids: [...new Set(aliases.values())] })
    const granted = new Set(named.filter(({ points }) => points !== null).map(({ id }) => id))
    return entries.filter(({ identifiers }) =>
      identifiers.some((identifier) => !granted.has(aliases.get(identifier) ?? 0)),
    )
  }

  const reconcilePacks: Packs['reconcilePacks'] = async (userId, subscriber) => {
    const entries = await open(packsOf(subscriber, config.allowsSandboxPurchases))
    const works = [
      ...entries.map((entry) => () => claim({ userId, entry, subscriber, platform: null })),
      ...(await listUnpaidPacks(database.read, userId)).map(
        ({ id }) =>
          () =>
            payStored(userId, id, subscriber),
      ),
    ]
    let points = 0
    const failures: unknown[] = []
    for (const work of works) {
      try {
        const outcome = await work()
        if (outcome.kind === 'granted' && outcome.isNew) points += outcome.points
      } catch (error) {
        failures.push(error)
      }
    }
    if (failures.length > 0)
      throw new AggregateError(failures, `packs: ${failures.length} of ${works.length} could not be granted`)
    return { points }
  }

  /** What else is owed never changes the answer about the named pack: a failure is left to the job. */
  const reconcileOthers = async (userId: number, subscriber: Subscriber | null): Promise<void> => {
    try {
      if (subscriber) await reconcilePacks(userId, subscriber)
      else await database.transaction((tx) => deps.queueReconcile(tx, userId))
    } catch (error) {
      logger.warn({ err: error, user_id: userId }, 'packs: reconcile failed')
      if (subscriber) await reconcileOthers(userId, null)
    }
  }

  const ask = async (userId: number, platform: StorePlatform) =>
    store.fetchSubscriber(
      { customerId: await customerIdOf(database.read, userId), platform },
      // A client that goes away does not stop what it has paid for.
      new AbortController().signal,
    )

  const replay = async (userId: number, platform: StorePlatform): Promise<void> => {
    if (!store.hasKey(platform)) return
    const reply = await ask(userId, platform).catch(() => null)
    await reconcileOthers(userId, reply?.kind === 'ok' ? reply.subscriber : null)
  }

  /** Rows 8 to 10: the entry behind the token, from the books of the store. */
  const verify = async (
    userId: number,
    { token, productId, platform }: Receipt,
  ): Promise<{ entry: PackEntry; subscriber: Subscriber | null }> => {
    if (!store.hasKey(platform) && config.allowsUnverifiedPurchases)
      return {
        entry: { productId, identifiers: [token], transactionId: token, purchasedAt: null, isSandbox: false },
        subscriber: null,
      }
    const reply = await ask(userId, platform).catch((cause: unknown) => {
      throw new AppError('receipt_check_failed', { cause })
    })
    if (reply.kind === 'unavailable') throw new AppError('receipt_unavailable', { retryAfterSeconds: 30 })
    if (reply.kind === 'invalid') {
      if (reply.alert) noteRefusedKey(reply.status, platform)
      throw new AppError('receipt_invalid')
    }
    const entry = packsOf(reply.subscriber, config.allowsSandboxPurchases).find(
      (listed) => listed.productId === productId && listed.identifiers.includes(token),
    )
    if (!entry) throw new AppError('receipt_invalid')
    return { entry, subscriber: reply.subscriber }
  }

  const redeemed = async (userId: number, points: number) => ({
    points,
    balance: await credits.balance(database.read, userId),
  })

  const redeem: Packs['redeem'] = async (userId, receipt) => {
    const known = await findPurchaseByAlias(database.read, [receipt.token])
    if (known && known.points !== null) {
      if (known.userId !== userId) throw new AppError('receipt_foreign')
      await replay(userId, receipt.platform)
      return redeemed(userId, known.points)
    }
    const { entry, subscriber } = await verify(userId, receipt)
    let outcome: PackOutcome
    try {
      outcome = await claim({ userId, entry, subscriber, platform: receipt.platform })
    } catch (cause) {
      throw new AppError('grant_failed', { cause })
    }
    if (outcome.kind === 'foreign') throw new AppError('receipt_foreign')
    if (outcome.kind === 'refused') throw new AppError('receipt_invalid')
    if (outcome.kind === 'not_entitled') throw new AppError('subscription_inactive')
    if (subscriber) await reconcileOthers(userId, subscriber)
    return redeemed(userId, outcome.points)
  }

  return { redeem, reconcilePacks }
}
