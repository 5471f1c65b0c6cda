import { randomUUID } from 'node:crypto'
import type { Database, Db } from '../db/database.ts'
import type { Logger } from './logger.ts'

const beatMs = 10_000

/** Says every 10 s, by the database's row, that this process is alive; the row goes when it stops. */
export const startProcessHeartbeat = async (deps: {
  database: Database
  role: string
  logger: Logger
}): Promise<{ stop(): Promise<void> }> => {
  const id = randomUUID()
  const startedAt = new Date()
  const beat = (): Promise<void> =>
    deps.database.transaction(async (tx) => {
      const row = { id, role: deps.role, started_at: startedAt, seen_at: new Date() }
      await tx
        .insertInto('process_heartbeats')
        .values(row)
        .onConflict((conflict) => conflict.column('id').doUpdateSet({ seen_at: row.seen_at }))
        .execute()
      await tx
        .deleteFrom('process_heartbeats')
        .where('seen_at', '<', new Date(Date.now() - 86_400_000))
        .execute()
    })
  await beat()
  const timer = setInterval(() => {
    beat().catch((error: unknown) => deps.logger.warn({ err: error }, 'heartbeat failed'))
  }, beatMs)
  return {
    stop: async () => {
      clearInterval(timer)
      await deps.database
        .transaction((tx) => tx.deleteFrom('process_heartbeats').where('id', '=', id).execute())
        .catch(() => undefined)
    },
  }
}

/** Processes of a role (or of all roles in one) seen within the last 60 s. */
export const countAlive = async (db: Db, role: string): Promise<number> => {
  const rows = await db
    .selectFrom('process_heartbeats')
    .select('id')
    .where('role', 'in', [role, 'all'])
    .where('seen_at', '>', new Date(Date.now() - 60_000))
    .execute()
  return rows.length
}
