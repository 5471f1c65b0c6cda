import type { App } from './app.ts'
import type { CommandResult } from './account-commands.ts'
import { createDatabase } from './platform/db/database.ts'
import type { ImportReport } from './features/subscriptions/subscriptions.ts'

export const importUsage = `  import-v1 --from URL     what taking over the earlier server's accounts and points would do; --apply does it
`

const shown = (report: ImportReport): Record<string, unknown> => ({
  mode: report.isApplied ? 'applied' : 'dry_run',
  tables: report.tables.map(({ table, isFound, missingColumns, rows }) => ({
    table,
    found: isFound,
    missing_columns: missingColumns,
    rows,
  })),
  users: {
    created: report.users.created,
    known: report.users.known,
    skipped: report.users.skipped.map(({ userId, reason, collidesWith }) => ({
      user_id: userId,
      reason,
      collides_with: collidesWith,
    })),
  },
  differences: report.differences.map(({ userId, differences }) => ({ user_id: userId, differences })),
  points: {
    v1_cached: report.points.v1Cached,
    from_lots: report.points.fromLots,
    added: report.points.added,
  },
  receipts: {
    added: report.receipts.added,
    known: report.receipts.known,
    of_deleted_accounts: report.receipts.ofDeletedAccounts,
    of_skipped_accounts: report.receipts.ofSkippedAccounts,
    without_owner: report.receipts.withoutOwner,
  },
  events: report.events,
  subscription_events: report.subscriptionEvents,
  archived_rows: report.archivedRows,
  unreadable: report.unreadable.map(({ table, rowId, reason }) => ({ table, row_id: rowId, reason })),
})

/** Reads v1's database by its URL, in a read-only transaction; fails when it has no table of users to take over. */
export const runImportCommand = async (
  app: Pick<App, 'importV1'>,
  { from, isApplied }: { from: string; isApplied: boolean },
): Promise<CommandResult> => {
  const source = createDatabase({
    url: from,
    poolSize: 1,
    poolTimeoutSeconds: 20,
    statementTimeoutMs: 600_000,
    applicationName: 'dawnotemu-import',
    onIdleError: () => undefined,
  })
  try {
    const report = await app.importV1.run(source, { isApplied })
    const users = report.tables.find(({ table }) => table === 'users')
    if (!users?.isFound || users.missingColumns.length > 0)
      return { kind: 'failed', message: 'no table of users with id and email was found at --from' }
    return { kind: 'done', report: shown(report) }
  } finally {
    await source.close()
  }
}
