import type { CommandResult } from './account-commands.ts'
import type { Db } from './platform/db/database.ts'
import { parseId } from './platform/http/request-values.ts'
import { describeOpenDeletions, readErasureReceipt } from './features/auth/auth.ts'

export const deletionsUsage = `  deletions                account deletions that are not finished, and what holds them up
  erasure-receipt ID       what a deletion removed where and when, and when it was looked for in vain
`

/** Whether the words are one of the commands above, so that nothing is started for one that is none. */
export const isDeletionCommand = ([command, id, ...rest]: readonly string[]): boolean =>
  rest.length === 0 &&
  (command === 'deletions'
    ? id === undefined
    : command === 'erasure-receipt' && id !== undefined && parseId(id) !== null)

/** Reads only. */
export const runDeletionCommand = async (
  db: Db,
  [command, idText = '']: readonly string[],
): Promise<CommandResult> => {
  if (command === 'deletions') return { kind: 'done', report: { deletions: await describeOpenDeletions(db) } }
  const id = parseId(idText)
  if (id === null) return { kind: 'wrong_use' }
  const receipt = await readErasureReceipt(db, id)
  return receipt ? { kind: 'done', report: receipt } : { kind: 'failed', message: `no deletion ${id}` }
}
