import type { Tx } from '../../platform/db/database.ts'

/** Every object that a voice's narrations name, and the folders in which runs may have left others. */
export const listVoiceFiles = async (
  tx: Tx,
  voiceId: number,
): Promise<{ objects: { key: string; content: string }[]; folders: string[] }> => {
  const narrations = await tx
    .selectFrom('narrations')
    .select(['id', 'object_key'])
    .where('voice_id', '=', voiceId)
    .orderBy('id')
    .execute()
  const parts = await tx
    .selectFrom('narration_parts as p')
    .innerJoin('narrations as n', 'n.id', 'p.narration_id')
    .select('p.object_key')
    .where('n.voice_id', '=', voiceId)
    .orderBy('p.id')
    .execute()
  const finished = narrations.flatMap(({ object_key: key }) => (key === null ? [] : [key]))
  return {
    objects: [
      ...finished.map((key) => ({ key, content: 'narration' })),
      ...parts.map((part) => ({ key: part.object_key, content: 'narration_part' })),
    ],
    folders: [`audio_stories/${voiceId}/`, ...narrations.map(({ id }) => `narration_parts/${id}/`)],
  }
}

/** Attempts that are under way or ended after `since`: those that a job may still be working at. */
export const listRecentAttempts = async (
  tx: Tx,
  of: { voiceId?: number; userId?: number },
  since: Date,
): Promise<number[]> => {
  const { voiceId, userId } = of
  const rows = await tx
    .selectFrom('narration_attempts as a')
    .innerJoin('narrations as n', 'n.id', 'a.narration_id')
    .select('a.id')
    .$if(voiceId !== undefined, (query) => query.where('n.voice_id', '=', voiceId ?? 0))
    .$if(userId !== undefined, (query) => query.where('n.user_id', '=', userId ?? 0))
    .where((eb) => eb.or([eb('a.ended_at', 'is', null), eb('a.ended_at', '>', since)]))
    .execute()
  return rows.map(({ id }) => id)
}
