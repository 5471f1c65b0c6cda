import type { Db, Tx } from '../../platform/db/database.ts'
import {
  lotColumns,
  toLot,
  toTransaction,
  transactionColumns,
  type Lot,
  type Transaction,
} from './queries.ts'

/** Everyone a purchase was paid to, ascending: more than one when its subscription was transferred. */
export const listPayees = async (db: Db, purchaseId: number): Promise<number[]> =>
  (
    await db
      .selectFrom('credit_transactions')
      .select('user_id')
      .distinct()
      .where('purchase_id', '=', purchaseId)
      .where('type', '=', 'credit')
      .orderBy('user_id')
      .execute()
  ).map((row) => row.user_id)

const purchaseLots = (db: Db, purchaseId: number) =>
  db
    .selectFrom('credit_lots as l')
    .select(lotColumns.map((name) => `l.${name}` as const))
    .where('l.id', 'in', (eb) =>
      eb
        .selectFrom('credit_transactions as t')
        .innerJoin('credit_transaction_allocations as a', 'a.transaction_id', 't.id')
        .select('a.lot_id')
        .where('t.purchase_id', '=', purchaseId)
        .where('t.type', '=', 'credit'),
    )

/** The lots a purchase paid for, whoever owns them, locked in id order. */
export const lockPurchaseLots = async (tx: Tx, purchaseId: number): Promise<Lot[]> =>
  (await purchaseLots(tx, purchaseId).orderBy('l.id').forUpdate('l').execute()).map(toLot)

/** The claw-backs of a purchase that stand, of accounts that still live, oldest first. */
export const listOpenClawBacks = async (db: Db, purchaseId: number): Promise<Transaction[]> =>
  (
    await db
      .selectFrom('credit_transactions as t')
      .innerJoin('users as u', 'u.id', 't.user_id')
      .select(transactionColumns.map((name) => `t.${name}` as const))
      .where('t.purchase_id', '=', purchaseId)
      .where('t.type', '=', 'expire')
      .where('t.reason', '=', 'store_refund')
      .where('t.status', '=', 'applied')
      .where('u.status', 'not in', ['deleting', 'deleted'])
      .orderBy('t.id')
      .execute()
  ).map(toTransaction)

export const listGrantKeys = async (db: Db, purchaseId: number): Promise<string[]> =>
  (
    await db
      .selectFrom('credit_transactions')
      .select('grant_key')
      .where('purchase_id', '=', purchaseId)
      .where('type', '=', 'credit')
      .where('grant_key', 'is not', null)
      .orderBy('id')
      .execute()
  ).flatMap((row) => row.grant_key ?? [])

export const sumPurchaseLots = async (db: Db, purchaseId: number): Promise<number> =>
  (await purchaseLots(db, purchaseId).execute()).reduce((total, row) => total + row.amount_remaining, 0)
