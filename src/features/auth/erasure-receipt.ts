import { Type, type Static } from 'typebox'
import { Value } from 'typebox/value'
import type { Db } from '../../platform/db/database.ts'
import { isoTime, isoTimeOrNull } from '../../platform/http/request-values.ts'
import { listItems, type DeletionItem } from './deletion-item-queries.ts'
import { findDeletion, listOpenDeletions } from './deletion-queries.ts'

const storedReceipt = Type.Object({
  points_expired: Type.Integer(),
  rows: Type.Record(Type.String(), Type.Integer()),
  rows_verified_at: Type.Union([Type.String(), Type.Null()]),
  /** `not_sent`: given up; `none`: there was no address. */
  notice: Type.Union([Type.Literal('sent'), Type.Literal('not_sent'), Type.Literal('none'), Type.Null()]),
})

/** What the steps themselves keep; places and times stand in the items. */
export type StoredReceipt = Static<typeof storedReceipt>

export const readStoredReceipt = (stored: unknown): StoredReceipt => ({
  points_expired: 0,
  rows: {},
  rows_verified_at: null,
  notice: null,
  ...Value.Parse(Type.Partial(storedReceipt), stored ?? {}),
})

/** Removed and verified things by what they held: `recording`, `narration`, `provider_copy` and so on. */
export const countPlaces = (
  items: readonly DeletionItem[],
): Record<string, { found: number; removed: number; verified: number }> => {
  const counts: Record<string, { found: number; removed: number; verified: number }> = {}
  for (const { kind, content, doneAt, verifiedAt } of items) {
    if ((kind !== 'slot' && kind !== 'object') || content === null) continue
    const count = (counts[content] ??= { found: 0, removed: 0, verified: 0 })
    count.found += 1
    if (doneAt) count.removed += 1
    if (verifiedAt) count.verified += 1
  }
  return counts
}

/** What a deletion leaves on purpose (10 §10.1). */
const kept = [
  'account row: id, status, times, ledger columns; no address, password, trial, subscription or billing id',
  'points ledger: amounts and dates, without free texts and metadata',
  'store receipts: hashes only, so that a used one cannot be used again',
  'slot events without the account',
  'this record',
]

const placeOf = (item: DeletionItem) => ({
  place: item.kind === 'slot' ? `speech provider ${item.provider ?? ''}` : 'object store',
  content: item.kind === 'folder' ? 'everything under this prefix' : item.content,
  reference: item.kind === 'slot' ? (item.externalId ?? item.intentToken) : item.reference,
  removed_at: isoTimeOrNull(item.doneAt),
  verified_gone_at: isoTimeOrNull(item.verifiedAt),
  attempts: item.attempts,
  last_failure: item.lastFailure,
})

/** What was removed where and when, and when it was looked for in vain; null for an unknown deletion. */
export const readErasureReceipt = async (db: Db, deletionId: number) => {
  const deletion = await findDeletion(db, deletionId)
  if (!deletion) return null
  const items = await listItems(db, deletionId)
  const places = items.filter(({ kind }) => kind !== 'job')
  const stored = readStoredReceipt(deletion.receipt)
  return {
    deletion_id: deletion.id,
    account_id: deletion.userId,
    requested_by: deletion.requestedBy,
    requested_at: isoTime(deletion.createdAt),
    completed_at: isoTimeOrNull(deletion.completedAt),
    state: deletion.state,
    is_verified: stored.rows_verified_at !== null && items.every(({ verifiedAt }) => verifiedAt !== null),
    removed: countPlaces(items),
    places: places.map(placeOf),
    rows_removed: stored.rows,
    rows_verified_gone_at: stored.rows_verified_at,
    points_expired: stored.points_expired,
    notice: stored.notice,
    kept,
  }
}

/** Unfinished deletions for those who look after them: how far, why not further, when next. */
export const describeOpenDeletions = async (db: Db) => {
  const open = await listOpenDeletions(db)
  return Promise.all(
    open.map(async (deletion) => {
      const items = await listItems(db, deletion.id)
      const left = items.filter(({ verifiedAt }) => verifiedAt === null)
      return {
        id: deletion.id,
        account_id: deletion.userId,
        requested_by: deletion.requestedBy,
        requested_at: isoTime(deletion.createdAt),
        state: deletion.state,
        attempts: deletion.attempts,
        next_attempt_at: isoTimeOrNull(deletion.nextAttemptAt),
        last_failure: deletion.lastFailure,
        needs_attention: deletion.needsAttentionAt !== null,
        items: items.length,
        open_items: left.map((item) => ({ kind: item.kind, ...placeOf(item) })),
      }
    }),
  )
}
