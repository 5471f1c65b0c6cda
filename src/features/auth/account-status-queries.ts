import type { Db, Tx } from '../../platform/db/database.ts'
import type { UserStatus } from '../users/users.ts'

/** Moves an account's status by compare-and-set; false when it was something else. */
export const moveStatus = async (
  tx: Tx,
  userId: number,
  from: readonly UserStatus[],
  change: { to: UserStatus; trialExpiresAt?: Date; now: Date },
): Promise<boolean> => {
  const result = await tx
    .updateTable('users')
    .set({
      status: change.to,
      updated_at: change.now,
      ...(change.trialExpiresAt === undefined ? {} : { trial_expires_at: change.trialExpiresAt }),
    })
    .where('id', '=', userId)
    .where('status', 'in', [...from])
    .executeTakeFirst()
  return result.numUpdatedRows > 0n
}

export interface PendingAccount {
  id: number
  email: string
  emailConfirmed: boolean
  createdAt: Date
}

/** Accounts that wait for approval, and no others; the longest waiting first. */
export const listPending = async (db: Db): Promise<PendingAccount[]> => {
  const rows = await db
    .selectFrom('users')
    .select(['id', 'email', 'email_confirmed', 'created_at'])
    .where('status', '=', 'pending')
    .orderBy('created_at')
    .orderBy('id')
    .execute()
  return rows.map((row) => ({
    id: row.id,
    email: row.email ?? '',
    emailConfirmed: row.email_confirmed,
    createdAt: row.created_at,
  }))
}
