import { executeRaw, type Database, type Tx } from '../../platform/db/database.ts'
import * as queries from './drift-queries.ts'
import { listUsers } from './schedule-queries.ts'

/** A contradiction in the books of one account. */
export interface DriftFinding {
  userId: number
  /** What contradicts: `cached_balance`, `lot_balance` … */
  kind: string
  /** The row it is about, as in `lot 5`. */
  subject: string
  expected: number
  found: number
}

/** Looks at some accounts in one snapshot and answers what contradicts itself; it only reads. */
export type DriftCheck = (tx: Tx, userIds: readonly number[]) => Promise<DriftFinding[]>

export interface DriftReport {
  usersChecked: number
  usersWithDrift: number
  /** The first thousand. */
  findings: DriftFinding[]
}

export interface LedgerCheck {
  /** At most some hundreds of accounts, in one snapshot. */
  checkUsers(userIds: readonly number[]): Promise<DriftFinding[]>
  /** Null for an unknown account. */
  checkUser(userId: number): Promise<DriftReport | null>
  /** All accounts, tombstones too, 500 in a snapshot. */
  checkAll(signal?: AbortSignal): Promise<DriftReport>
}

const batchSize = 500
const mostFindings = 1000

const ledgerChecks: readonly DriftCheck[] = [
  queries.checkUsers,
  queries.checkLots,
  queries.checkTransactions,
  queries.checkRefunds,
  queries.checkAttempts,
  queries.checkCounts,
  queries.checkRefundedPurchases,
]

/** The drift check of 30 §13 (c); features that owe points of their own add theirs by `moreChecks`. */
export const createLedgerCheck = (deps: {
  database: Database
  moreChecks?: readonly DriftCheck[]
}): LedgerCheck => {
  const checks = [...ledgerChecks, ...(deps.moreChecks ?? [])]

  const check = (userIds: readonly number[]): Promise<DriftFinding[]> =>
    deps.database.transaction(async (tx) => {
      // One snapshot: between two statements somebody else's commit would look like drift.
      await executeRaw(tx, 'set transaction isolation level repeatable read, read only')
      await executeRaw(tx, `set local statement_timeout = '10min'`)
      const findings: DriftFinding[] = []
      for (const look of checks) findings.push(...(await look(tx, userIds)))
      return findings
    })

  const checkAll: LedgerCheck['checkAll'] = async (signal) => {
    const findings: DriftFinding[] = []
    let usersWithDrift = 0
    let usersChecked = 0
    for (let after = 0, isLast = false; !isLast;) {
      signal?.throwIfAborted()
      const userIds = await listUsers(deps.database.read, after, batchSize)
      const found = userIds.length > 0 ? await check(userIds) : []
      usersWithDrift += new Set(found.map(({ userId }) => userId)).size
      findings.push(...found.slice(0, mostFindings - findings.length))
      usersChecked += userIds.length
      after = userIds.at(-1) ?? after
      isLast = userIds.length < batchSize
    }
    return { usersChecked, usersWithDrift, findings }
  }

  const checkUser: LedgerCheck['checkUser'] = async (userId) => {
    if ((await listUsers(deps.database.read, userId - 1, 1))[0] !== userId) return null
    const found = await check([userId])
    return {
      usersChecked: 1,
      usersWithDrift: found.length > 0 ? 1 : 0,
      findings: found.slice(0, mostFindings),
    }
  }

  return { checkUsers: check, checkUser, checkAll }
}
