import type { Db } from '../../platform/db/database.ts'
import {
  lotColumns,
  toLot,
  toTransaction,
  transactionColumns,
  type Lot,
  type Transaction,
} from './queries.ts'

export const listAllLots = async (db: Db, userId: number): Promise<Lot[]> =>
  (
    await db
      .selectFrom('credit_lots')
      .select(lotColumns)
      .where('user_id', '=', userId)
      .orderBy('id')
      .execute()
  ).map(toLot)

export interface ExportedTransaction extends Transaction {
  refundOf: number | null
  allocations: { lotId: number; amount: number }[]
}

export const listAllTransactions = async (db: Db, userId: number): Promise<ExportedTransaction[]> => {
  const [rows, allocations] = await Promise.all([
    db
      .selectFrom('credit_transactions')
      .select([...transactionColumns, 'refund_of_transaction_id'])
      .where('user_id', '=', userId)
      .orderBy('id')
      .execute(),
    db
      .selectFrom('credit_transaction_allocations as a')
      .innerJoin('credit_transactions as t', 't.id', 'a.transaction_id')
      .select(['a.transaction_id', 'a.lot_id', 'a.amount'])
      .where('t.user_id', '=', userId)
      .orderBy('a.lot_id')
      .execute(),
  ])
  const byTransaction = Map.groupBy(allocations, (row) => row.transaction_id)
  return rows.map((row) => ({
    ...toTransaction(row),
    refundOf: row.refund_of_transaction_id,
    allocations: (byTransaction.get(row.id) ?? []).map((part) => ({
      lotId: part.lot_id,
      amount: part.amount,
    })),
  }))
}
