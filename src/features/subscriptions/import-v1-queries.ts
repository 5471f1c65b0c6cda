import { sql } from 'kysely'
import type { Db, Tx } from '../../platform/db/database.ts'
import { aliasHash } from './purchase-queries.ts'
import type { PlannedUser } from './v1-plan.ts'
import type { V1Data } from './v1-rows.ts'

export const importedAt = async (db: Db, userId: number): Promise<Date | null> => {
  const row = await db
    .selectFrom('v1_imported_users')
    .select('imported_at')
    .where('user_id', '=', userId)
    .executeTakeFirst()
  return row?.imported_at ?? null
}

/** The users of earlier runs, and when each came over. */
export const listImported = async (db: Db): Promise<Map<number, Date>> =>
  new Map(
    (await db.selectFrom('v1_imported_users').selectAll().execute()).map((row) => [
      row.user_id,
      row.imported_at,
    ]),
  )

export interface TakenNames {
  id: number
  email: string | null
  customerId: string | null
}

/** Accounts of this server, imported ones too. */
export const listAccounts = async (db: Db): Promise<TakenNames[]> =>
  (await db.selectFrom('users').select(['id', 'email', 'revenuecat_app_user_id']).execute()).map((row) => ({
    id: row.id,
    email: row.email,
    customerId: row.revenuecat_app_user_id,
  }))

/** With the id it had: the store knows the user by it. */
export const insertImportedUser = async (tx: Tx, planned: PlannedUser, now: Date): Promise<void> => {
  const { user, email, status } = planned
  const createdAt = user.createdAt ?? now
  await sql`
    insert into users (id, email, email_confirmed, password_hash, status, is_admin, terms_version, terms_accepted_at,
      last_login, trial_expires_at, revenuecat_app_user_id, created_at, updated_at)
    overriding system value
    values (${user.id}, ${email}, ${user.isConfirmed}, ${user.passwordHash}, ${status}, ${user.isAdmin}, 'v1',
      ${createdAt}, ${user.lastLogin}, ${planned.trialExpiresAt}, ${planned.customerId}, ${createdAt}, ${now})`.execute(
    tx,
  )
  await tx.insertInto('v1_imported_users').values({ user_id: user.id, imported_at: now }).execute()
}

/** An account that v1 had deleted and whose used receipts are still on record; nothing when the id is known here. */
export const insertTombstone = async (tx: Tx, id: number, now: Date): Promise<void> => {
  const { rows } = await sql`
    insert into users (id, status, terms_version, created_at, updated_at, deleted_at) overriding system value
    values (${id}, 'deleted', 'v1', ${now}, ${now}, ${now}) on conflict (id) do nothing returning id`.execute(
    tx,
  )
  if (rows.length > 0)
    await tx.insertInto('v1_imported_users').values({ user_id: id, imported_at: now }).execute()
}

/** Those of the tokens that already name a purchase. */
export const listKnownTokens = async (db: Db, tokens: readonly string[]): Promise<Set<string>> => {
  const hashes = new Set(
    (await db.selectFrom('store_purchase_aliases').select('alias_hash').execute()).map((row) =>
      row.alias_hash.toString('hex'),
    ),
  )
  return new Set(tokens.filter((token) => hashes.has(aliasHash(token).toString('hex'))))
}

export const listKnownEvents = async (db: Db): Promise<Set<string>> =>
  new Set((await db.selectFrom('webhook_events').select('event_id').execute()).map((row) => row.event_id))

const batch = 500

const inBatches = async <T>(
  rows: readonly T[],
  work: (part: readonly T[]) => Promise<void>,
): Promise<void> => {
  for (let at = 0; at < rows.length; at += batch) await work(rows.slice(at, at + batch))
}

/** Their ids become known, so that a delivery which v1 has answered has no effect here. */
export const insertKnownEvents = (
  tx: Tx,
  events: readonly { eventId: string; type: string; at: Date; userId: number | null }[],
  now: Date,
): Promise<void> =>
  inBatches(events, async (part) => {
    await tx
      .insertInto('webhook_events')
      .values(
        part.map(({ eventId, type, at, userId }) => ({
          event_id: eventId,
          event_type: type,
          event_at: at,
          processed_at: now,
          user_id: userId,
          outcome: 'ignored',
          fields: '{}',
        })),
      )
      .onConflict((conflict) => conflict.column('event_id').doNothing())
      .execute()
  })

export const listArchived = async (db: Db): Promise<Set<string>> =>
  new Set(
    (await db.selectFrom('v1_archive').select(['table_name', 'row_id']).execute()).map(
      (row) => `${row.table_name}:${row.row_id}`,
    ),
  )

export const insertArchive = (tx: Tx, rows: V1Data['ledger'], now: Date): Promise<void> =>
  inBatches(rows, async (part) => {
    await tx
      .insertInto('v1_archive')
      .values(
        part.map(({ table, rowId, userId, content }) => ({
          table_name: table,
          row_id: rowId,
          user_id: userId,
          content: JSON.stringify(content),
          archived_at: now,
        })),
      )
      .onConflict((conflict) => conflict.columns(['table_name', 'row_id']).doNothing())
      .execute()
  })

/** Ids that v1 gave out, of users skipped too, are never given out again. */
export const moveUserIds = async (tx: Tx, highest: number): Promise<void> => {
  await sql`select setval(pg_get_serial_sequence('users', 'id'), greatest(
    ${highest}::bigint, (select coalesce(max(id), 1) from users), (select last_value from users_id_seq)))`.execute(
    tx,
  )
}

/** The account is being deleted: what the archive holds of it goes. */
export const eraseArchive = async (tx: Tx, userId: number): Promise<void> => {
  await tx.deleteFrom('v1_archive').where('user_id', '=', userId).execute()
}
