import type { CommandResult } from './account-commands.ts'
import type { App } from './app.ts'
import { parseId } from './platform/http/request-values.ts'
import type { DriftFinding } from './features/credits/credits.ts'

export const ledgerUsage = `  ledger check [--user ID] look for drift in the books: exit 0 clean, 1 drift
  ledger fix-balance --user ID
                           compute an account's cached balance from its lots
`

/** `drift` is a check that ran and found something: its report is printed, and the exit code is 1. */
export type LedgerResult = CommandResult | { kind: 'drift'; report: Record<string, unknown> }

/** Whether the words after `ledger` are a command, so that nothing is started for one that is none. */
export const isLedgerCommand = ([action, ...rest]: readonly string[], user: string | undefined): boolean =>
  rest.length === 0 &&
  (user === undefined ? action === 'check' : action === 'check' || action === 'fix-balance') &&
  (user === undefined || parseId(user) !== null)

const toJson = ({ userId, ...finding }: DriftFinding) => ({ user_id: userId, ...finding })

export const runLedgerCommand = async (
  app: Pick<App, 'database' | 'credits' | 'ledgerCheck'>,
  [action]: readonly string[],
  user: string | undefined,
): Promise<LedgerResult> => {
  const userId = user === undefined ? null : parseId(user)
  if (action === 'check') {
    const report =
      userId === null ? await app.ledgerCheck.checkAll() : await app.ledgerCheck.checkUser(userId)
    if (!report) return { kind: 'failed', message: `no account ${userId}` }
    return {
      kind: report.usersWithDrift > 0 ? 'drift' : 'done',
      report: {
        users_checked: report.usersChecked,
        users_with_drift: report.usersWithDrift,
        findings: report.findings.map(toJson),
      },
    }
  }
  if (action !== 'fix-balance' || userId === null) return { kind: 'wrong_use' }
  const fixed = await app.database.transaction((tx) => app.credits.fixBalance(tx, userId))
  if (!fixed) return { kind: 'failed', message: `no account ${userId}` }
  return { kind: 'done', report: { user_id: userId, ...fixed } }
}
