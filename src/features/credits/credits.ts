import type { Clock } from '../../platform/clock.ts'
import type { Db, Tx } from '../../platform/db/database.ts'
import { createExpiry } from './expire-points.ts'
import { createGrant, createRefund, type Grant } from './give-points.ts'
import { listLots, listTransactions, readTotals, type HistoryPage } from './history-queries.ts'
import { lockUsers, storeBalance } from './ledger-queries.ts'
import { priceOf } from './price.ts'
import { createPurchasePoints, type PurchasePoints } from './purchase-points.ts'
import * as queries from './queries.ts'
import { isLive } from './lot-order.ts'
import { createDebit, lockAccounts, type Debit } from './take-points.ts'

export { checkLedgerJob, createCheckLedger } from './check-ledger.job.ts'
export { createLedgerCheck } from './drift.ts'
export type { DriftCheck, DriftFinding, DriftReport, LedgerCheck } from './drift.ts'
export { createExpireLots, expireLotsJob } from './expire-lots.job.ts'
export { expireOneByOne } from './expire-one-by-one.ts'
export { createGrantMonthlyDefault, grantMonthlyDefaultJob } from './grant-monthly-default.job.ts'
export { reportPoints, type PointsOfMonth } from './report.ts'
export { priceOf } from './price.ts'
export { exportPoints } from './export-points.ts'
export { creditRoutes } from './routes.ts'
export type { Grant } from './give-points.ts'
export type { PurchasePoints } from './purchase-points.ts'
export type { Lot, Transaction } from './queries.ts'
export type { Debit } from './take-points.ts'

export interface CreditsConfig {
  unitLabel: string
  /** Code points a point pays for. */
  unitSize: number
  /** Spending order of lot sources; unlisted ones follow by name. */
  sourcesPriority: readonly string[]
}

export type LotSource = 'event' | 'monthly' | 'referral' | 'add_on' | 'free'

/** E1 shows this many of the newest empty lots. */
const shownEmptyLots = 50

export interface Credits {
  readonly config: CreditsConfig
  priceOf(text: string): number
  /**
   * Locks accounts in ascending id and answers their status. Whoever touches several accounts in one transaction calls it
   * first, with all of them; each operation below locks the accounts it needs by itself. Throws for an unknown account.
   */
  lock(tx: Tx, userIds: readonly number[]): Promise<ReadonlyMap<number, string>>
  /**
   * Adds a lot of its own. A known `grantKey` changes nothing and answers the first result. Throws for an amount that is
   * no integer of at least 1, an expiry that is not in the future, and an unknown or deleted account.
   */
  grant(tx: Tx, grant: Grant): Promise<{ transactionId: number; isNew: boolean }>
  /**
   * Takes points in spending order, all or nothing; refuses `insufficient_credits`. An open debit of the same narration is
   * returned unchanged. Throws for an amount that is no integer of at least 1 and an unknown account.
   */
  debit(tx: Tx, debit: Debit): Promise<{ transactionId: number; isNew: boolean }>
  /**
   * Gives a debit's points back to the lots they came from, at most once; a lot that has expired meanwhile lives 7 more
   * days with them. False when it was done before; throws for what is not a debit.
   */
  refund(tx: Tx, debitId: number, reason: string): Promise<boolean>
  /** Writes off what a lot holds, and answers how many points; an empty lot changes nothing. Throws for an unknown lot. */
  expireLot(tx: Tx, lotId: number, reason: string): Promise<number>
  /** Writes off every lot of the account whose time is over (`auto_expire`), and answers how many points. */
  expireDue(tx: Tx, userId: number): Promise<number>
  /**
   * The store took the money back: what is left in the purchase's lots goes (`store_refund`), what is spent stays spent.
   * Answers the points. The lots may belong to several accounts (a transferred subscription): all are locked up front.
   */
  clawBack(tx: Tx, purchaseId: number): Promise<number>
  /** Gives back every claw-back of the purchase that stands (`store_refund_reversed`), and answers the points. */
  undoClawBack(tx: Tx, purchaseId: number): Promise<number>
  /** What the ledger holds of a purchase; in a transaction that moves it, call it under the locks of `payees`. */
  purchasePoints(db: Db, purchaseId: number): Promise<PurchasePoints>
  /** The accounts a purchase was paid to, ascending. */
  payees(db: Db, purchaseId: number): Promise<number[]>
  /**
   * The account is deleted (30 §6): every lot expires, free texts, metadata and raw store ids go; rows, amounts, dates and
   * the hashes of used receipts stay. Answers the points that expired. Works only while the account is `deleting`.
   */
  closeAccount(tx: Tx, userId: number): Promise<number>
  /** Computes the cached balance from the lots; lots and rows are never edited. Null for an unknown account. */
  fixBalance(tx: Tx, userId: number): Promise<{ before: number; after: number } | null>
  /** Points that can be spent now, computed from the lots. */
  balance(db: Db, userId: number): Promise<number>
  summary(
    db: Db,
    userId: number,
    page: HistoryPage,
  ): Promise<{
    balance: number
    cached: number
    /** Those with points, next to expire first; then the newest empty ones. */
    lots: (queries.Lot & { isActive: boolean })[]
    isTruncated: boolean
    history: History
  }>
  history(db: Db, userId: number, page: HistoryPage): Promise<History>
}

export interface History {
  items: queries.Transaction[]
  /** Transactions of the filter on all pages. */
  total: number
}

/**
 * The points ledger: the only writer of its tables. Every mutation runs in the caller's transaction, locks the user row
 * first and the lots in id order, and leaves the cached balance computed from the lots.
 */
export const createCredits = (deps: { clock: Clock; config: CreditsConfig }): Credits => {
  const { clock, config } = deps

  const history: Credits['history'] = async (db, userId, page) => {
    const [items, { total }] = await Promise.all([
      listTransactions(db, userId, page),
      readTotals(db, userId, page.types),
    ])
    return { items, total }
  }

  const summary: Credits['summary'] = async (db, userId, page) => {
    const now = clock.now()
    const [{ cached, total }, { open, empty, isTruncated }, items] = await Promise.all([
      readTotals(db, userId, page.types),
      listLots(db, userId, shownEmptyLots),
      listTransactions(db, userId, page),
    ])
    const live = open.filter((lot) => isLive(lot, now))
    return {
      // From the very lots that are shown, so that the two never differ.
      balance: live.reduce((points, lot) => points + lot.amountRemaining, 0),
      cached,
      lots: [...open, ...empty].map((lot) => ({
        ...lot,
        isActive: lot.amountRemaining > 0 && isLive(lot, now),
      })),
      isTruncated,
      history: { items, total },
    }
  }

  return {
    config,
    priceOf: (text) => priceOf(text, config.unitSize),
    lock: lockAccounts,
    grant: createGrant({ clock }),
    debit: createDebit({ clock, config }),
    refund: createRefund({ clock }),
    ...createExpiry({ clock }),
    ...createPurchasePoints({ clock }),
    fixBalance: async (tx, userId) => {
      await lockUsers(tx, [userId])
      return storeBalance(tx, userId, clock.now())
    },
    balance: (db, userId) => queries.spendable(db, userId, clock.now()),
    summary,
    history,
  }
}
