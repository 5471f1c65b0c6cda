import type { Db } from '../../platform/db/database.ts'

/** Narrations of an account with the names a reader knows them by, oldest first. */
export const listNarrations = async (db: Db, userId: number) => {
  const rows = await db
    .selectFrom('narrations as n')
    .innerJoin('stories as s', 's.id', 'n.story_id')
    .innerJoin('voices as v', 'v.id', 'n.voice_id')
    .select([
      'n.id',
      'n.story_id',
      's.title',
      's.author',
      'n.voice_id',
      'v.name as voice_name',
      'n.status',
      'n.object_key',
      'n.size_bytes',
      'n.duration_seconds',
      'n.ready_at',
      'n.created_at',
      'n.updated_at',
    ])
    .where('n.user_id', '=', userId)
    .orderBy('n.id')
    .execute()
  return rows.map((row) => ({
    id: row.id,
    storyId: row.story_id,
    storyTitle: row.title,
    storyAuthor: row.author,
    voiceId: row.voice_id,
    voiceName: row.voice_name,
    status: row.status,
    objectKey: row.object_key,
    sizeBytes: row.size_bytes,
    durationSeconds: row.duration_seconds,
    readyAt: row.ready_at,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  }))
}
