import type { Database } from '../../platform/db/database.ts'
import {
  idOf,
  instantOf,
  readLot,
  readReceipt,
  readUser,
  textOf,
  type V1Data,
  type V1Row,
} from './v1-rows.ts'

/** v1's tables and the columns without which a table is of no use; of the others a missing one counts as empty. */
const requiredColumns = {
  users: ['id', 'email'],
  credit_lots: ['id', 'user_id', 'amount_remaining'],
  credit_transactions: ['id', 'user_id'],
  credit_transaction_allocations: ['transaction_id', 'lot_id'],
  consumed_receipts: ['receipt_token', 'user_id'],
  webhook_events: ['event_id'],
} as const

export type V1Table = keyof typeof requiredColumns

export interface V1TableState {
  table: V1Table
  isFound: boolean
  missingColumns: string[]
  rows: number
}

const tables = Object.keys(requiredColumns) as V1Table[]

// Free texts and secrets have no place in an archive.
const leftOut = ['metadata', 'metadata_json', 'description', 'notes']

const archived = (table: V1Table, row: V1Row) => ({
  table,
  rowId:
    table === 'credit_transaction_allocations'
      ? `${String(row['transaction_id'])}/${String(row['lot_id'])}`
      : String(row['id']),
  userId: idOf(row['user_id']),
  content: Object.fromEntries(Object.entries(row).filter(([name]) => !leftOut.includes(name))),
})

/**
 * Reads v1's database in one read-only snapshot: nothing can be written to it. Tables that are missing, or lack a column
 * they need, are told in `tables` and read as empty.
 */
export const readV1 = async (
  source: Pick<Database, 'pool'>,
): Promise<{ data: V1Data; tables: V1TableState[] }> => {
  const client = await source.pool.connect()
  try {
    await client.query('begin isolation level repeatable read read only')
    const { rows: columns } = await client.query<{ table_name: string; column_name: string }>(
      `select table_name::text, column_name::text from information_schema.columns
       where table_schema = any (current_schemas(false)) and table_name = any ($1)`,
      [tables],
    )
    const states: V1TableState[] = []
    const read = async (table: V1Table): Promise<V1Row[]> => {
      const names = columns.filter((row) => row.table_name === table).map((row) => row.column_name)
      const missingColumns = requiredColumns[table].filter((name) => !names.includes(name))
      const isUsable = names.length > 0 && missingColumns.length === 0
      const rows = isUsable
        ? (await client.query<{ row: V1Row }>(`select to_jsonb(t) as row from ${table} t`)).rows
        : []
      states.push({ table, isFound: names.length > 0, missingColumns, rows: rows.length })
      return rows.map(({ row }) => row)
    }
    const unreadable: V1Data['unreadable'] = []
    const parse = async <T>(table: V1Table, key: string, parseRow: (row: V1Row) => T | null): Promise<T[]> =>
      (await read(table)).flatMap((row) => {
        const parsed = parseRow(row)
        if (parsed === null)
          unreadable.push({
            table,
            rowId: String(row[key]).slice(0, 80),
            reason: 'a needed value is missing',
          })
        return parsed === null ? [] : [parsed]
      })
    const users = await parse('users', 'id', readUser)
    const lotRows: V1Row[] = []
    const lots = await parse('credit_lots', 'id', (row) => {
      lotRows.push(row)
      return readLot(row)
    })
    const receipts = await parse('consumed_receipts', 'id', readReceipt)
    const events = await parse('webhook_events', 'id', (row) => {
      const eventId = textOf(row['event_id'])
      const at = instantOf(row['processed_at']) ?? instantOf(row['created_at'])
      if (eventId === null || eventId.length > 255) return null
      const type = (textOf(row['event_type']) ?? 'UNKNOWN').slice(0, 50)
      return { eventId, type, at, userId: idOf(row['user_id']) }
    })
    const transactions = await read('credit_transactions')
    const owners = new Map(transactions.map((row) => [row['id'], row['user_id']]))
    const allocations = (await read('credit_transaction_allocations')).map((row) => ({
      ...row,
      user_id: owners.get(row['transaction_id']),
    }))
    const ledger = [
      ...lotRows.map((row) => archived('credit_lots', row)),
      ...transactions.map((row) => archived('credit_transactions', row)),
      ...allocations.map((row) => archived('credit_transaction_allocations', row)),
    ]
    await client.query('commit')
    return { data: { users, lots, receipts, events, ledger, unreadable }, tables: states }
  } finally {
    client.release(true)
  }
}
