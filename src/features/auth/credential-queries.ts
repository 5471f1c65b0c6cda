import type { Tx } from '../../platform/db/database.ts'

/** Every function here expects the user's lock to be held by the caller. */

export const confirmOwnAddress = async (tx: Tx, userId: number, now: Date): Promise<void> => {
  await tx
    .updateTable('users')
    .set({ email_confirmed: true, updated_at: now })
    .where('id', '=', userId)
    .execute()
}

export const setPendingAddress = async (
  tx: Tx,
  userId: number,
  address: string,
  now: Date,
): Promise<void> => {
  await tx
    .updateTable('users')
    .set({ pending_email: address, pending_email_at: now, updated_at: now })
    .where('id', '=', userId)
    .execute()
}

export const dropPendingAddress = async (tx: Tx, userId: number, now: Date): Promise<void> => {
  await tx
    .updateTable('users')
    .set({ pending_email: null, pending_email_at: null, updated_at: now })
    .where('id', '=', userId)
    .execute()
}

/** The pending address becomes the account's. Violates `uq_users_email` when another account has it by now. */
export const adoptPendingAddress = async (
  tx: Tx,
  userId: number,
  address: string,
  now: Date,
): Promise<void> => {
  await tx
    .updateTable('users')
    .set({
      email: address,
      email_confirmed: true,
      pending_email: null,
      pending_email_at: null,
      updated_at: now,
    })
    .where('id', '=', userId)
    .execute()
}

/** A new password chosen by its owner; a rehash at login is none. */
export const changePassword = async (
  tx: Tx,
  userId: number,
  passwordHash: string,
  now: Date,
): Promise<void> => {
  await tx
    .updateTable('users')
    .set((eb) => ({
      password_hash: passwordHash,
      password_changed_at: now,
      credential_version: eb('credential_version', '+', 1),
      updated_at: now,
    }))
    .where('id', '=', userId)
    .execute()
}
