import { sql } from 'kysely'
import type { Db, Tx } from '../../platform/db/database.ts'
import type { ErasedContents, JobRun, RemoteCopy } from './account-contents.ts'

/** `slot`: a remote voice; `folder`: a prefix of keys that must be empty; `job`: a run that must end first. */
export type ItemKind = 'slot' | 'object' | 'folder' | 'job'

export interface DeletionItem {
  id: number
  kind: ItemKind
  reference: string
  content: string | null
  provider: string | null
  externalId: string | null
  intentToken: string | null
  createdAt: Date
  doneAt: Date | null
  verifiedAt: Date | null
  attempts: number
  lastFailure: string | null
}

const kinds: readonly ItemKind[] = ['slot', 'object', 'folder', 'job']

const select = (db: Db, deletionId: number) =>
  db
    .selectFrom('account_deletion_items')
    .select([
      'id',
      'kind',
      'reference',
      'content',
      'provider',
      'external_id',
      'intent_token',
      'created_at',
      'done_at',
      'verified_at',
      'attempts',
      'last_failure',
    ])
    .where('deletion_id', '=', deletionId)
    .orderBy('id')
type Row = NonNullable<Awaited<ReturnType<ReturnType<typeof select>['executeTakeFirst']>>>

const toItem = (row: Row): DeletionItem => {
  const kind = kinds.find((name) => name === row.kind)
  if (!kind) throw new Error('deletions: unknown kind of item')
  return {
    id: row.id,
    kind,
    reference: row.reference,
    content: row.content,
    provider: row.provider,
    externalId: row.external_id,
    intentToken: row.intent_token,
    createdAt: row.created_at,
    doneAt: row.done_at,
    verifiedAt: row.verified_at,
    attempts: row.attempts,
    lastFailure: row.last_failure,
  }
}

export const listItems = async (db: Db, deletionId: number): Promise<DeletionItem[]> =>
  (await select(db, deletionId).execute()).map(toItem)

/** Those not yet seen to be gone. */
export const listOpenItems = async (
  db: Db,
  deletionId: number,
  of: readonly ItemKind[],
): Promise<DeletionItem[]> =>
  (
    await select(db, deletionId)
      .where('verified_at', 'is', null)
      .where('kind', 'in', [...of])
      .execute()
  ).map(toItem)

/** The remote voice of a `slot` item. */
export const copyOf = (item: DeletionItem): RemoteCopy => ({
  slotId: Number(item.reference),
  provider: item.provider ?? '',
  externalId: item.externalId,
  intentToken: item.intentToken,
})

/** The run of a `job` item. */
export const runOf = (item: DeletionItem): JobRun => {
  const [job = '', key = '', value = ''] = item.reference.split(' ')
  return { job, key, value: Number(value) }
}

interface NewItem {
  kind: ItemKind
  reference: string
  content?: string
  copy?: RemoteCopy
}

const itemsOf = (erased: Partial<ErasedContents>): NewItem[] => [
  ...(erased.runs ?? []).map(({ job, key, value }) => ({
    kind: 'job' as const,
    reference: `${job} ${key} ${value}`,
  })),
  ...(erased.copies ?? []).map((copy) => ({
    kind: 'slot' as const,
    reference: String(copy.slotId),
    content: copy.content,
    copy,
  })),
  ...(erased.objects ?? []).map(({ key, content }) => ({ kind: 'object' as const, reference: key, content })),
  ...(erased.folders ?? []).map((prefix) => ({ kind: 'folder' as const, reference: prefix })),
]

const rowsPerInsert = 500

/** Known ones stay as they are, except that an object which turned up again is open again. Answers how many are new or open again. */
export const insertItems = async (
  tx: Tx,
  deletionId: number,
  erased: Partial<ErasedContents>,
  now: Date,
): Promise<number> => {
  // One statement may not meet the same row twice.
  const items = [...new Map(itemsOf(erased).map((item) => [`${item.kind} ${item.reference}`, item])).values()]
  let count = 0
  for (let at = 0; at < items.length; at += rowsPerInsert) {
    const rows = items.slice(at, at + rowsPerInsert).map(({ kind, reference, content, copy }) => ({
      deletion_id: deletionId,
      kind,
      reference,
      content: content ?? null,
      provider: copy?.provider ?? null,
      external_id: copy?.externalId ?? null,
      intent_token: copy?.intentToken ?? null,
      created_at: now,
    }))
    const result = await tx
      .insertInto('account_deletion_items')
      .values(rows)
      .onConflict((conflict) =>
        conflict
          .columns(['deletion_id', 'kind', 'reference'])
          .doUpdateSet({ done_at: null, verified_at: null })
          .where('account_deletion_items.kind', '=', 'object')
          .where('account_deletion_items.verified_at', 'is not', null),
      )
      .returning('id')
      .execute()
    count += result.length
  }
  return count
}

/** The thing was removed; the first time counts. */
export const markDone = async (tx: Tx, ids: readonly number[], now: Date): Promise<void> => {
  if (ids.length === 0) return
  await tx
    .updateTable('account_deletion_items')
    .set({ done_at: now })
    .where('id', 'in', [...ids])
    .where('done_at', 'is', null)
    .execute()
}

/** The thing was looked for at its place and is not there. */
export const markVerified = async (tx: Tx, ids: readonly number[], now: Date): Promise<void> => {
  if (ids.length === 0) return
  await tx
    .updateTable('account_deletion_items')
    .set({ done_at: sql<Date>`coalesce(done_at, ${now})`, verified_at: now, last_failure: null })
    .where('id', 'in', [...ids])
    .where('verified_at', 'is', null)
    .execute()
}

export const noteItemFailure = async (tx: Tx, ids: readonly number[], failure: string): Promise<void> => {
  if (ids.length === 0) return
  await tx
    .updateTable('account_deletion_items')
    .set((eb) => ({ last_failure: failure, attempts: eb('attempts', '+', 1) }))
    .where('id', 'in', [...ids])
    .execute()
}

/** A clone that was under way has got its id at the provider. */
export const nameCopy = async (tx: Tx, id: number, externalId: string): Promise<void> => {
  await tx
    .updateTable('account_deletion_items')
    .set({ external_id: externalId })
    .where('id', '=', id)
    .execute()
}
