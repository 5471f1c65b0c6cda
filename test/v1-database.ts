import { createTestDatabase, type TestDatabase } from './database.ts'

/** v1's tables as far as the import reads them: UTC without a zone, integer keys, no constraint to rely on. */
const schema = `
  create table users (id integer primary key, email varchar(255), password_hash varchar(255),
    email_confirmed boolean, is_active boolean, is_admin boolean, last_login timestamp, created_at timestamp,
    credits_balance integer, trial_expires_at timestamp, revenuecat_app_user_id varchar(255),
    subscription_active boolean, subscription_plan varchar(100), subscription_expires_at timestamp,
    subscription_will_renew boolean, subscription_source varchar(50));
  create table credit_lots (id integer primary key, user_id integer, source varchar(50), amount_granted integer,
    amount_remaining integer, expires_at timestamp, created_at timestamp, updated_at timestamp);
  create table credit_transactions (id integer primary key, user_id integer, type varchar(20), amount integer,
    status varchar(20), reason varchar(255), metadata jsonb, created_at timestamp);
  create table credit_transaction_allocations (transaction_id integer, lot_id integer, amount integer);
  create table consumed_receipts (id integer primary key, receipt_token varchar(512), user_id integer,
    product_id varchar(100), platform varchar(20), credits_granted integer, created_at timestamp);
  create table webhook_events (id integer primary key, event_id varchar(255), event_type varchar(50), user_id integer,
    processed_at timestamp);`

export interface V1Database {
  url: string
  sql(text: string, values?: unknown[]): Promise<Record<string, unknown>[]>
  /** One row; unset columns are null. */
  add(table: string, row: Record<string, unknown>): Promise<void>
  close(): Promise<void>
}

/** A database as v1 left it, empty; without the tables named. */
export const createV1Database = async (without: readonly string[] = []): Promise<V1Database> => {
  const test: TestDatabase = await createTestDatabase()
  const { pool } = test.database
  await pool.query('drop schema public cascade; create schema public')
  await pool.query(schema)
  for (const table of without) await pool.query(`drop table ${table}`)
  return {
    url: test.url,
    sql: async (text, values = []) => (await pool.query<Record<string, unknown>>(text, values)).rows,
    add: async (table, row) => {
      const names = Object.keys(row)
      const places = names.map((_name, at) => `$${at + 1}`)
      await pool.query(
        `insert into ${table} (${names.join(', ')}) values (${places.join(', ')})`,
        Object.values(row),
      )
    },
    close: () => test.close(),
  }
}
