import type { Db } from '../../platform/db/database.ts'

/** What was agreed to for each recording, deleted ones included, oldest first. */
export const listConsents = async (db: Db, userId: number) => {
  const rows = await db
    .selectFrom('voice_consents')
    .select(['id', 'voice_id', 'basis', 'text_version', 'session_id', 'recorded_at'])
    .where('user_id', '=', userId)
    .orderBy('id')
    .execute()
  return rows.map((row) => ({
    id: row.id,
    voiceId: row.voice_id,
    basis: row.basis,
    textVersion: row.text_version,
    sessionId: row.session_id,
    recordedAt: row.recorded_at,
  }))
}
