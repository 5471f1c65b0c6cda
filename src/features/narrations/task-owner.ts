import { Value } from 'typebox/value'
import type { Db } from '../../platform/db/database.ts'
import { findAttempt } from './attempt-queries.ts'
import { produceNarrationJob } from './attempt-run.ts'
import { findNarration } from './queries.ts'

/** The account that a narration is made for; null when it is gone. */
export const narrationOwner = async (db: Db, payload: unknown): Promise<number | null> => {
  if (!Value.Check(produceNarrationJob.payload, payload)) return null
  const attempt = await findAttempt(db, payload.attempt_id)
  const narration = attempt ? await findNarration(db, attempt.narrationId) : null
  return narration?.userId ?? null
}
