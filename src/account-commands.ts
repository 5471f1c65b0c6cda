import type { App } from './app.ts'
import { isoTime, parseId } from './platform/http/request-values.ts'

export const accountsUsage = `  accounts pending         accounts that wait for approval
  accounts activate ID     approve an account, or bring a deactivated one back
  accounts deactivate ID   end all sessions and refuse new ones; nothing is deleted
`

/** `wrong_use` is the caller's mistake, `failed` an account that does not exist or is in another state. */
export type CommandResult =
  | { kind: 'done'; report: Record<string, unknown> }
  | { kind: 'wrong_use' }
  | { kind: 'failed'; message: string }

const failures = {
  not_found: 'no such account',
  wrong_state: 'the account is already so, or is being deleted',
}

/** Whether the words after `accounts` are a command, so that nothing is started for one that is none. */
export const isAccountsCommand = ([action, id, ...rest]: readonly string[]): boolean =>
  rest.length === 0 &&
  (action === 'pending'
    ? id === undefined
    : (action === 'activate' || action === 'deactivate') && id !== undefined && parseId(id) !== null)

export const runAccountsCommand = async (
  app: Pick<App, 'accountStatus' | 'database'>,
  [action, idText = '']: readonly string[],
): Promise<CommandResult> => {
  const { accountStatus } = app
  if (action === 'pending') {
    const waiting = await accountStatus.listPending(app.database.read)
    const accounts = waiting.map(({ id, email, emailConfirmed, createdAt }) => ({
      id,
      email,
      email_confirmed: emailConfirmed,
      created_at: isoTime(createdAt),
    }))
    return { kind: 'done', report: { accounts } }
  }
  const id = parseId(idText)
  if (id === null || (action !== 'activate' && action !== 'deactivate')) return { kind: 'wrong_use' }
  const outcome = await accountStatus[action](id)
  if (outcome !== 'done') return { kind: 'failed', message: `account ${id}: ${failures[outcome]}` }
  return { kind: 'done', report: { id, status: action === 'activate' ? 'active' : 'deactivated' } }
}
