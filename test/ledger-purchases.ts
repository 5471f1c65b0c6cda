import type { LedgerBench } from './ledger-fixtures.ts'

/** A purchase of a subscription period without points yet; its grants are up to the test. */
export const newPurchase = async (bench: LedgerBench, userId: number): Promise<number> => {
  const { rows } = await bench.database.pool.query<{ id: number }>(
    `insert into store_purchases (kind, user_id, product_id, purchased_at, created_at, updated_at)
     values ('period', $1, 'dawnotemu_monthly', $2, $2, $2) returning id`,
    [userId, bench.clock.now()],
  )
  return rows[0]?.id ?? 0
}

export const setStatus = async (bench: LedgerBench, userId: number, status: string): Promise<void> => {
  await bench.database.pool.query('update users set status = $2 where id = $1', [userId, status])
}
