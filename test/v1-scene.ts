import assert from 'node:assert/strict'
import { scryptSync } from 'node:crypto'
import { runImportCommand } from '../src/import-command.ts'
import { rows } from './account-scene.ts'
import { dayMs } from './ledger-fixtures.ts'
import type { PacksScene } from './packs-scene.ts'
import { createV1Database, type V1Database } from './v1-database.ts'

/** The password of every account of v1, and its hash as v1 stored it. */
export const v1Password = 'zielony kubek na parapecie'
const v1Hash = `scrypt:32768:8:1$abcdefghijklmnop$${scryptSync(v1Password, 'abcdefghijklmnop', 64, {
  N: 32_768,
  r: 8,
  p: 1,
  maxmem: 128 * 1024 * 1024,
}).toString('hex')}`

/** As v1 wrote an instant: UTC without a zone. */
export const v1Time = (offsetMs: number): string =>
  new Date(Date.now() + offsetMs).toISOString().replace('Z', '')

export interface V1Scene extends V1Database {
  /** An ordinary account `v1-<id>@example.test` that may sign in, without points. */
  addUser(id: number, own?: Record<string, unknown>): Promise<void>
  addLot(id: number, userId: number, remaining: number, own?: Record<string, unknown>): Promise<void>
  /** The import into a running server; answers what the command line prints. */
  run(scene: PacksScene, isApplied: boolean): Promise<Record<string, unknown>>
}

export const startV1 = async (without: readonly string[] = []): Promise<V1Scene> => {
  const v1 = await createV1Database(without)
  return {
    ...v1,
    addUser: (id, own = {}) =>
      v1.add('users', {
        id,
        email: `v1-${id}@example.test`,
        password_hash: v1Hash,
        email_confirmed: true,
        is_active: true,
        is_admin: false,
        created_at: v1Time(-100 * dayMs),
        credits_balance: 0,
        trial_expires_at: v1Time(-86 * dayMs),
        revenuecat_app_user_id: String(id),
        subscription_active: false,
        subscription_will_renew: false,
        ...own,
      }),
    addLot: (id, userId, remaining, own = {}) =>
      v1.add('credit_lots', {
        id,
        user_id: userId,
        source: 'monthly',
        amount_granted: 50,
        amount_remaining: remaining,
        ...own,
      }),
    run: async (scene, isApplied) => {
      const result = await runImportCommand(scene.app.app, { from: v1.url, isApplied })
      assert.ok(result.kind === 'done', JSON.stringify(result))
      return result.report
    },
  }
}

export const differencesOf = (report: Record<string, unknown>, userId: number): unknown =>
  (report['differences'] as { user_id: number; differences: unknown }[]).find((row) => row.user_id === userId)
    ?.differences

/** The lots of an account with the ledger row that made each. */
export const lotsOf = ({ app }: PacksScene, userId: number): Promise<Record<string, unknown>[]> =>
  rows(
    app,
    `select l.source, l.amount_remaining, l.expires_at, t.reason, t.grant_key from credit_lots l
     join credit_transaction_allocations a on a.lot_id = l.id join credit_transactions t on t.id = a.transaction_id
     where l.user_id = $1 order by l.id`,
    [userId],
  )
