import type { Database, Tx } from '../../platform/db/database.ts'
import { AppError } from '../../platform/errors.ts'
import type { Credits } from '../credits/credits.ts'
import type { NarrationRefund } from '../narrations/narrations.ts'
import { lockUser } from '../users/users.ts'
import type { Audit, AuditEntry } from './audit.ts'
import { findLotOwner } from './grant-queries.ts'

/** Who acts, on what, and why. */
export interface MoneyAction {
  actorId: number
  id: number
  reason: string | null
}

export interface AdminMoney {
  /** Writes off what a lot holds (`admin_expire`); 0 = there was nothing to expire. Refuses `lot_not_found`. */
  expireLot(action: MoneyAction): Promise<{ points: number }>
  /**
   * Cancels the paid attempt of an unfinished narration and gives its points back (`admin_refund`); again: refused
   * `nothing_to_refund`. Refuses `narration_ready` and `narration_not_found` too.
   */
  refundNarration(action: MoneyAction): Promise<{ debitId: number }>
  /** Computes the cached balance of a user from the lots. Refuses `account_not_found`. */
  fixBalance(action: MoneyAction): Promise<{ before: number; after: number }>
  /** Queues the comparison of a user with the store's books. Refuses `account_not_found`. */
  reconcile(action: MoneyAction): Promise<void>
  /** Folds and settles again what a stored event (`webhook_events.id`) belongs to; no effect if all is well. */
  replayEvent(action: MoneyAction): Promise<void>
}

/** The money actions of an administrator besides grants: one transaction and one audit entry each. */
export const createAdminMoney = (deps: {
  database: Database
  credits: Pick<Credits, 'expireLot' | 'fixBalance'>
  audit: Audit
  refundNarration: (tx: Tx, narrationId: number) => Promise<NarrationRefund>
  /** Queues `subscriptions.reconcile`. */
  queueReconcile: (tx: Tx, userId: number) => Promise<void>
  /** False for an unknown event. Runs in transactions of its own: the locks it needs depend on the event. */
  replayEvent: (eventRowId: number) => Promise<boolean>
}): AdminMoney => {
  const { database, credits } = deps

  const write = (
    tx: Tx,
    { actorId, id, reason }: MoneyAction,
    entry: Pick<AuditEntry, 'action' | 'targetType' | 'details'>,
  ): Promise<void> => deps.audit(tx, { actorId, reason, targetId: String(id), ...entry })

  const expireLot: AdminMoney['expireLot'] = (action) =>
    database.transaction(async (tx) => {
      const userId = await findLotOwner(tx, action.id)
      if (userId === null) throw new AppError('lot_not_found')
      const points = await credits.expireLot(tx, action.id, 'admin_expire')
      const details = { user_id: userId, points }
      await write(tx, action, { action: 'credits.expire_lot', targetType: 'lot', details })
      return { points }
    })

  const refundNarration: AdminMoney['refundNarration'] = (action) =>
    database.transaction(async (tx) => {
      const result = await deps.refundNarration(tx, action.id)
      if (result.kind === 'not_found') throw new AppError('narration_not_found')
      if (result.kind === 'ready') throw new AppError('narration_ready')
      if (result.kind === 'nothing_paid') throw new AppError('nothing_to_refund')
      const details = { user_id: result.userId, debit_id: result.debitId }
      await write(tx, action, { action: 'credits.refund', targetType: 'narration', details })
      return { debitId: result.debitId }
    })

  const account = async (tx: Tx, userId: number): Promise<void> => {
    if (!(await lockUser(tx, userId))) throw new AppError('account_not_found')
  }

  const fixBalance: AdminMoney['fixBalance'] = (action) =>
    database.transaction(async (tx) => {
      await account(tx, action.id)
      const fixed = await credits.fixBalance(tx, action.id)
      if (!fixed) throw new AppError('account_not_found')
      await write(tx, action, { action: 'credits.fix_balance', targetType: 'user', details: { ...fixed } })
      return fixed
    })

  const reconcile: AdminMoney['reconcile'] = (action) =>
    database.transaction(async (tx) => {
      await account(tx, action.id)
      await deps.queueReconcile(tx, action.id)
      await write(tx, action, { action: 'subscriptions.reconcile', targetType: 'user', details: {} })
    })

  const replayEvent: AdminMoney['replayEvent'] = async (action) => {
    // Written first: a replay that fails was asked for all the same, and repeating it is harmless.
    await database.transaction((tx) =>
      write(tx, action, { action: 'subscriptions.replay_event', targetType: 'webhook_event', details: {} }),
    )
    if (!(await deps.replayEvent(action.id))) throw new AppError('event_not_found')
  }

  return { expireLot, refundNarration, fixBalance, reconcile, replayEvent }
}
