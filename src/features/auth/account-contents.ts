import type { Db, Tx } from '../../platform/db/database.ts'

/** Where a remote voice is to be found when no row of ours names its voice any more. */
export interface RemoteCopy {
  slotId: number
  provider: string
  externalId: string | null
  intentToken: string | null
}

export type ErasedCopy = RemoteCopy & { content: string }

/** A job that was running when its rows went: it may still store something until it notices. */
export interface JobRun {
  job: string
  /** Field of the payload that names the row, and its value. */
  key: string
  value: number
}

/** What removed rows leave outside the database. */
export interface ErasedContents {
  copies: ErasedCopy[]
  objects: { key: string; content: string }[]
  folders: string[]
  runs: JobRun[]
}

/** What a deletion needs of the features that keep an account's voices; the program hands it in. */
export interface AccountContents {
  /** Cancels waiting work of the account. Running work finds the account on its way out before its next step. */
  stop(tx: Tx, userId: number): Promise<void>
  /** Removes the rows of one voice, its debits refunded; null when none is left. */
  eraseNext(tx: Tx, userId: number): Promise<ErasedContents | null>
  countVoices(db: Db, userId: number): Promise<number>
  /** What voices that the account deleted before may still have somewhere. */
  earlierLeftovers(db: Db, userId: number): Promise<{ copies: ErasedCopy[]; folders: string[] }>
  /** Our row of a remote voice; null once the provider has confirmed its removal. */
  findSlot(db: Db, slotId: number): Promise<{ externalId: string | null } | null>
  /** `busy`: the clone may still be on its way. Throws the provider's classified error. */
  removeCopy(copy: RemoteCopy, signal: AbortSignal): Promise<'gone' | 'busy'>
  /** Asks the provider itself; false while it still has the voice. */
  isCopyGone(copy: RemoteCopy, signal: AbortSignal): Promise<boolean>
  /** What was queued for the removal of things that are gone need not run any more. */
  forget(tx: Tx, gone: { slotIds: readonly number[]; keys: readonly string[] }): Promise<void>
  /** Removes what is left that names the account, at the very end; how many rows of what. */
  scrub(tx: Tx, userId: number): Promise<Record<string, number>>
  /** Rows that still name the account. */
  countRows(db: Db, userId: number): Promise<number>
  /** Cancels the job if it waits for another try; true while it runs. */
  isRunning(tx: Tx, run: JobRun): Promise<boolean>
}
