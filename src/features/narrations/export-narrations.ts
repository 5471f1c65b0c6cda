import type { NameFile } from '../../platform/archive-names.ts'
import type { Db } from '../../platform/db/database.ts'
import { isoTime, isoTimeOrNull } from '../../platform/http/request-values.ts'
import { listNarrations } from './export-queries.ts'

/** Narrations of an account and the finished sound files, for its owner: no object keys, hashes or provider data. */
export const exportNarrations = async (db: Db, userId: number, nameFile: NameFile) => {
  const narrations = await listNarrations(db, userId)
  const named = narrations.map((narration) => ({
    narration,
    file:
      narration.objectKey === null
        ? null
        : {
            path: nameFile('bajki', narration.storyTitle, 'mp3'),
            objectKey: narration.objectKey,
            modifiedAt: narration.readyAt ?? narration.createdAt,
          },
  }))
  return {
    sections: {
      'narrations.json': {
        narrations: named.map(({ narration, file }) => ({
          id: narration.id,
          story_id: narration.storyId,
          story_title: narration.storyTitle,
          story_author: narration.storyAuthor,
          voice_id: narration.voiceId,
          voice_name: narration.voiceName,
          status: narration.status,
          file: file?.path ?? null,
          size_bytes: narration.sizeBytes,
          duration_seconds: narration.durationSeconds,
          ready_at: isoTimeOrNull(narration.readyAt),
          created_at: isoTime(narration.createdAt),
          updated_at: isoTime(narration.updatedAt),
        })),
      },
    },
    files: named.flatMap(({ file }) => (file === null ? [] : [file])),
  }
}
