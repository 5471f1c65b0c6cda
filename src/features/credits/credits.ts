import type { Clock } from '../../platform/clock.ts'
import { violatedConstraint, type Db, type Tx } from '../../platform/db/database.ts'
import { AppError } from '../../platform/errors.ts'
import { priceOf } from './price.ts'
import { scrubLedger, scrubStore } from './erase-queries.ts'
import { listLots, listTransactions } from './history-queries.ts'
import * as queries from './queries.ts'

export { priceOf } from './price.ts'
export { exportPoints } from './export-points.ts'
export { creditRoutes } from './routes.ts'
export type { Lot, Transaction } from './queries.ts'

export interface CreditsConfig {
  unitLabel: string
  /** Code points a point pays for. */
  unitSize: number
  /** Spending order of lot sources; unlisted ones follow by name. */
  sourcesPriority: readonly string[]
}

export type LotSource = 'event' | 'monthly' | 'referral' | 'add_on' | 'free'

/** A refund into a lot that has expired meanwhile keeps it alive this long. */
const revivedLotMs = 7 * 86_400_000

export interface Credits {
  readonly config: CreditsConfig
  priceOf(text: string): number
  /** Adds a lot. A known `grantKey` changes nothing. Refuses non-positive amounts and past expiries by throwing. */
  grant(
    tx: Tx,
    grant: {
      userId: number
      amount: number
      source: LotSource
      reason: string
      expiresAt?: Date
      grantKey?: string
      actor?: number
    },
  ): Promise<{ transactionId: number; isNew: boolean }>
  /** Takes points in spending order, all or nothing. An open debit of the same narration is returned unchanged. */
  debit(
    tx: Tx,
    debit: { userId: number; amount: number; reason: string; narrationId: number; storyId: number },
  ): Promise<{ transactionId: number; isNew: boolean }>
  /** Gives a debit's points back to the lots they came from, at most once. */
  refund(tx: Tx, debitId: number, reason: string): Promise<boolean>
  /**
   * The account is deleted (30 §6): every lot expires, free texts, metadata and raw store ids go; rows, amounts, dates and
   * the hashes of used receipts stay. Answers the points that expired. Works only while the account is `deleting`.
   */
  closeAccount(tx: Tx, userId: number): Promise<number>
  balance(db: Db, userId: number): Promise<number>
  summary(
    db: Db,
    userId: number,
  ): Promise<{
    balance: number
    cached: number
    lots: (queries.Lot & { isActive: boolean })[]
    isTruncated: boolean
  }>
  history(
    db: Db,
    userId: number,
    page: { types: readonly string[]; limit: number; offset: number },
  ): Promise<{ items: queries.Transaction[]; total: number }>
}

/** Source priority, then earliest expiry (never last), then oldest, then id: total and repeatable. */
export const spendingOrder =
  (priority: readonly string[]) =>
  (a: queries.Lot, b: queries.Lot): number => {
    const rank = (source: string): number =>
      priority.includes(source) ? priority.indexOf(source) : priority.length
    return (
      rank(a.source) - rank(b.source) ||
      (a.source < b.source ? -1 : Number(a.source > b.source)) ||
      (a.expiresAt?.getTime() ?? Infinity) - (b.expiresAt?.getTime() ?? Infinity) ||
      a.createdAt.getTime() - b.createdAt.getTime() ||
      a.id - b.id
    )
  }

const isLive = (lot: { expiresAt: Date | null }, now: Date): boolean =>
  lot.expiresAt === null || lot.expiresAt > now

/**
 * The points ledger: the only writer of its tables. Every mutation runs in the caller's transaction, locks the user row
 * first and the lots in id order, and leaves the cached balance computed from the lots.
 */
export const createCredits = (deps: { clock: Clock; config: CreditsConfig }): Credits => {
  const { clock, config } = deps

  const settle = async (tx: Tx, userId: number, now: Date): Promise<void> => {
    await queries.storeBalance(tx, userId, await queries.spendable(tx, userId, now), now)
  }

  const lock = async (tx: Tx, userId: number): Promise<void> => {
    if (!(await queries.lockUser(tx, userId))) throw new Error('ledger: unknown user')
  }

  const grant: Credits['grant'] = async (tx, request) => {
    const now = clock.now()
    const { userId, amount, expiresAt, grantKey } = request
    if (!Number.isInteger(amount) || amount < 1)
      throw new Error('ledger: a grant is an integer of at least 1')
    if (expiresAt && expiresAt <= now) throw new Error('ledger: a grant must expire in the future')
    await lock(tx, userId)
    const known = grantKey === undefined ? null : await queries.findByGrantKey(tx, grantKey)
    if (known) return { transactionId: known.id, isNew: false }
    const lotId = await queries.insertLot(tx, { ...request, expiresAt: expiresAt ?? null, now })
    const transactionId = await queries.insertTransaction(
      tx,
      {
        userId,
        type: 'credit',
        amount,
        reason: request.reason,
        now,
        ...(grantKey === undefined ? {} : { grantKey }),
        ...(request.actor === undefined ? {} : { actor: request.actor }),
      },
      [{ lotId, amount }],
    )
    await settle(tx, userId, now)
    return { transactionId, isNew: true }
  }

  const debit: Credits['debit'] = async (tx, { userId, amount, reason, narrationId, storyId }) => {
    const now = clock.now()
    if (!Number.isInteger(amount) || amount < 1)
      throw new Error('ledger: a debit is an integer of at least 1')
    await lock(tx, userId)
    const open = await queries.findOpenDebit(tx, userId, narrationId)
    if (open !== null) return { transactionId: open, isNew: false }
    const lots = (await queries.lockOpenLots(tx, userId))
      .filter((lot) => isLive(lot, now))
      .sort(spendingOrder(config.sourcesPriority))
    const available = lots.reduce((sum, lot) => sum + lot.amountRemaining, 0)
    if (available < amount)
      throw new AppError('insufficient_credits', {
        text: `Insufficient Story Points: need ${amount}, available ${available}`,
        body: { required: amount },
      })
    let left = amount
    const taken: { lotId: number; amount: number }[] = []
    for (const lot of lots) {
      const share = Math.min(left, lot.amountRemaining)
      if (share === 0) break
      await queries.changeLot(tx, lot.id, -share, now)
      taken.push({ lotId: lot.id, amount: -share })
      left -= share
    }
    const row = { userId, type: 'debit' as const, amount: -amount, reason, narrationId, storyId, now }
    const transactionId = await queries.insertTransaction(tx, row, taken)
    await settle(tx, userId, now)
    return { transactionId, isNew: true }
  }

  const expireRest = async (tx: Tx, userId: number, lot: queries.Lot, now: Date): Promise<void> => {
    if (lot.amountRemaining === 0) return
    await queries.changeLot(tx, lot.id, -lot.amountRemaining, now)
    await queries.insertTransaction(
      tx,
      {
        userId,
        type: 'expire',
        amount: -lot.amountRemaining,
        reason: 'auto_expire',
        now,
        metadata: {
          lot_id: lot.id,
          lot_source: lot.source,
          lot_amount_granted: lot.amountGranted,
          expired_at: lot.expiresAt?.toISOString() ?? null,
          source_task: 'credits.expire-lots',
        },
      },
      [{ lotId: lot.id, amount: -lot.amountRemaining }],
    )
  }

  const refund: Credits['refund'] = async (tx, debitId, reason) => {
    const now = clock.now()
    const original = await queries.findTransaction(tx, debitId)
    if (original?.type !== 'debit') throw new Error('ledger: only a debit can be refunded')
    const { userId, narrationId, storyId } = original
    await lock(tx, userId)
    if (!(await queries.markRefunded(tx, debitId, now))) return false
    const taken = await queries.lockAllocatedLots(tx, debitId)
    for (const { lot, amount } of taken) {
      const isExpired = !isLive(lot, now)
      if (isExpired) await expireRest(tx, userId, lot, now)
      await queries.changeLot(
        tx,
        lot.id,
        -amount,
        now,
        isExpired ? new Date(now.getTime() + revivedLotMs) : undefined,
      )
    }
    const row = {
      userId,
      type: 'refund' as const,
      amount: -original.amount,
      reason,
      narrationId,
      storyId,
      now,
    }
    await queries.insertTransaction(
      tx,
      { ...row, refundOf: debitId },
      taken.map(({ lot, amount }) => ({ lotId: lot.id, amount: -amount })),
    )
    await settle(tx, userId, now)
    return true
  }

  const closeAccount: Credits['closeAccount'] = async (tx, userId) => {
    const now = clock.now()
    await lock(tx, userId)
    let expired = 0
    for (const { id: lotId, amountRemaining } of await queries.lockOpenLots(tx, userId)) {
      const amount = -amountRemaining
      await queries.changeLot(tx, lotId, amount, now)
      const row = { userId, type: 'expire' as const, amount, reason: 'account_deleted', now }
      await queries.insertTransaction(tx, row, [{ lotId, amount }])
      expired += amountRemaining
    }
    await scrubLedger(tx, userId, now)
    await scrubStore(tx, userId, now)
    await settle(tx, userId, now)
    return expired
  }

  const balance = (db: Db, userId: number): Promise<number> => queries.spendable(db, userId, clock.now())

  const summary: Credits['summary'] = async (db, userId) => {
    const now = clock.now()
    const [points, cached, { lots, isTruncated }] = await Promise.all([
      balance(db, userId),
      queries.cachedBalance(db, userId),
      listLots(db, userId, 50),
    ])
    const shown = lots.map((lot) => ({ ...lot, isActive: lot.amountRemaining > 0 && isLive(lot, now) }))
    return { balance: points, cached, lots: shown, isTruncated }
  }

  return {
    config,
    priceOf: (text) => priceOf(text, config.unitSize),
    grant,
    debit,
    refund,
    closeAccount,
    balance,
    summary,
    history: listTransactions,
  }
}

/** True when a failed insert lost the race for the one open debit of a narration. */
export const isOpenDebitConflict = (error: unknown): boolean =>
  violatedConstraint(error) === 'uq_credit_tx_open_debit'
