import assert from 'node:assert/strict'
import pg from 'pg'
import { sqlState, violatedConstraint } from '../src/platform/db/database.ts'

// SQL that writes the ledger past its module, as an operator or a bug might.

export const check = '23514'
export const integrity = '23000'

type Values = Record<string, string | number>
const insert = (table: string, row: Values): string =>
  `insert into ${table} (${Object.keys(row).join()}) values (${Object.values(row).join()})`
const dates = { created_at: 'now()', updated_at: 'now()' }

export const lotRow = (owner: number, values: Values = {}): string => {
  const amounts = { amount_granted: 5, amount_remaining: 5 }
  return insert('credit_lots', { user_id: owner, source: `'free'`, ...amounts, ...dates, ...values })
}

export const transactionRow = (owner: number, values: Values = {}): string => {
  const row = { user_id: owner, type: `'credit'`, amount: 5, reason: `'by hand'` }
  return insert('credit_transactions', { ...row, ...dates, ...values })
}

export const lastLot = `currval(pg_get_serial_sequence('credit_lots', 'id'))`
export const lastTransaction = `currval(pg_get_serial_sequence('credit_transactions', 'id'))`

/** The next link of the lot's chain, or another one. */
export const allocation = (
  transaction: string | number,
  lotId: string | number,
  amount: number,
  own: { position?: string | number; balanceAfter?: string | number } = {},
): string => {
  const last = `from credit_transaction_allocations where lot_id = ${lotId}`
  const before = `coalesce((select balance_after ${last} order by position desc limit 1), 0)`
  return insert('credit_transaction_allocations', {
    transaction_id: transaction,
    lot_id: lotId,
    amount,
    position: own.position ?? `1 + coalesce((select max(position) ${last}), 0)`,
    balance_after: own.balanceAfter ?? `${before} + ${amount}`,
  })
}

export interface HandWriter {
  client: pg.Client
  /** Runs statements as one transaction; a deferred constraint speaks at commit. */
  commit(...statements: string[]): Promise<void>
  /** The same, expecting this SQLSTATE and constraint, and `look` to find nothing changed. */
  refused(state: string, constraint: string | null, ...statements: string[]): Promise<void>
  close(): Promise<void>
}

export const openHandWriter = async (url: string, look: () => Promise<unknown>): Promise<HandWriter> => {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  const commit: HandWriter['commit'] = async (...statements) => {
    try {
      await client.query('begin')
      for (const statement of statements) await client.query(statement)
      await client.query('commit')
    } catch (error) {
      await client.query('rollback')
      throw error
    }
  }
  return {
    client,
    commit,
    refused: async (state, constraint, ...statements) => {
      const before = await look()
      await assert.rejects(commit(...statements), (error: unknown) => {
        const found = [sqlState(error), violatedConstraint(error)]
        assert.deepEqual(found, [state, constraint], `${statements.join('; ')}: ${String(error)}`)
        return true
      })
      assert.deepEqual(await look(), before)
    },
    close: () => client.end(),
  }
}
