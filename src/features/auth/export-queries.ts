import { sql } from 'kysely'
import type { Db, Tx } from '../../platform/db/database.ts'

export type ExportStatus = 'pending' | 'processing' | 'ready' | 'error' | 'expired'

export interface AccountExport {
  id: number
  userId: number
  status: ExportStatus
  objectKey: string | null
  sizeBytes: number | null
  createdAt: Date
  readyAt: Date | null
  expiresAt: Date | null
}

const columns = [
  'id',
  'user_id',
  'status',
  'object_key',
  'size_bytes',
  'created_at',
  'ready_at',
  'expires_at',
] as const

const select = (db: Db) => db.selectFrom('account_exports').select(columns)
type Row = NonNullable<Awaited<ReturnType<ReturnType<typeof select>['executeTakeFirst']>>>

const statuses: readonly ExportStatus[] = ['pending', 'processing', 'ready', 'error', 'expired']

const toExport = (row: Row): AccountExport => {
  const status = statuses.find((name) => name === row.status)
  if (!status) throw new Error('exports: unknown status')
  return {
    id: row.id,
    userId: row.user_id,
    status,
    objectKey: row.object_key,
    sizeBytes: row.size_bytes,
    createdAt: row.created_at,
    readyAt: row.ready_at,
    expiresAt: row.expires_at,
  }
}

const oneOrNull = (row: Row | undefined): AccountExport | null => (row ? toExport(row) : null)

export const findExport = async (db: Db, id: number): Promise<AccountExport | null> =>
  oneOrNull(await select(db).where('id', '=', id).executeTakeFirst())

export const findNewestExport = async (db: Db, userId: number): Promise<AccountExport | null> =>
  oneOrNull(await select(db).where('user_id', '=', userId).orderBy('id', 'desc').executeTakeFirst())

/** The one that is asked for and not finished; the unique index allows no second. */
export const findOpenExport = async (db: Db, userId: number): Promise<AccountExport | null> =>
  oneOrNull(
    await select(db)
      .where('user_id', '=', userId)
      .where('status', 'in', ['pending', 'processing'])
      .executeTakeFirst(),
  )

export const lockExport = async (tx: Tx, id: number): Promise<AccountExport | null> =>
  oneOrNull(await select(tx).where('id', '=', id).forUpdate().executeTakeFirst())

export const insertExport = async (tx: Tx, userId: number, now: Date): Promise<AccountExport> =>
  toExport(
    await tx
      .insertInto('account_exports')
      .values({ user_id: userId, created_at: now })
      .returning(columns)
      .executeTakeFirstOrThrow(),
  )

/** pending, processing → processing under the key that this run will store; false when it is finished. */
export const claimExport = async (tx: Tx, id: number, objectKey: string): Promise<boolean> => {
  const result = await tx
    .updateTable('account_exports')
    .set((eb) => ({ status: 'processing', object_key: objectKey, attempts: eb('attempts', '+', 1) }))
    .where('id', '=', id)
    .where('status', 'in', ['pending', 'processing'])
    .executeTakeFirst()
  return result.numUpdatedRows > 0n
}

/** processing → ready, for the run whose key the row names. */
export const finishExport = async (
  tx: Tx,
  done: {
    id: number
    objectKey: string
    sizeBytes: number
    missingFiles: number
    now: Date
    expiresAt: Date
  },
): Promise<boolean> => {
  const result = await tx
    .updateTable('account_exports')
    .set({
      status: 'ready',
      size_bytes: done.sizeBytes,
      missing_files: done.missingFiles,
      ready_at: done.now,
      expires_at: done.expiresAt,
    })
    .where('id', '=', done.id)
    .where('status', '=', 'processing')
    .where('object_key', '=', done.objectKey)
    .executeTakeFirst()
  return result.numUpdatedRows > 0n
}

/** pending, processing → error. */
export const failExport = async (tx: Tx, id: number): Promise<void> => {
  await tx
    .updateTable('account_exports')
    .set({ status: 'error' })
    .where('id', '=', id)
    .where('status', 'in', ['pending', 'processing'])
    .execute()
}

/** ready → expired and, begun before `abandonedBefore` and never finished, → error. Answers the objects' keys. */
export const closeOldExports = async (
  tx: Tx,
  times: { now: Date; abandonedBefore: Date },
  limit: number,
): Promise<{ count: number; keys: string[] }> => {
  const rows = await tx
    .updateTable('account_exports')
    .set({ status: sql`case status when 'ready' then 'expired' else 'error' end` })
    .where('id', 'in', (query) =>
      query
        .selectFrom('account_exports')
        .select('id')
        .where((eb) =>
          eb.or([
            eb.and([eb('status', '=', 'ready'), eb('expires_at', '<=', times.now)]),
            eb.and([
              eb('status', 'in', ['pending', 'processing']),
              eb('created_at', '<', times.abandonedBefore),
            ]),
          ]),
        )
        .orderBy('id')
        .limit(limit)
        .forUpdate()
        .skipLocked(),
    )
    .returning('object_key')
    .execute()
  return {
    count: rows.length,
    keys: rows.flatMap(({ object_key: key }) => (key === null ? [] : [key])),
  }
}
