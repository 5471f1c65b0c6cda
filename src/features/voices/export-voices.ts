import path from 'node:path'
import type { NameFile } from '../../platform/archive-names.ts'
import type { Db } from '../../platform/db/database.ts'
import { isoTime, isoTimeOrNull } from '../../platform/http/request-values.ts'
import { listConsents } from './export-queries.ts'
import { listVoices } from './queries.ts'
import { voiceErrorText, wireStatus } from './wire.ts'

/** Voices, consents and recordings of an account for its owner: no provider ids, object keys or hashes. */
export const exportVoices = async (db: Db, userId: number, nameFile: NameFile) => {
  const [voices, consents] = await Promise.all([listVoices(db, userId), listConsents(db, userId)])
  const named = voices.map((voice) => ({
    voice,
    file:
      voice.recordingKey === null
        ? null
        : {
            path: nameFile('nagrania', voice.name, path.extname(voice.recordingKey).slice(1)),
            objectKey: voice.recordingKey,
            modifiedAt: voice.createdAt,
          },
  }))
  return {
    sections: {
      'voices.json': {
        voices: named.map(({ voice, file }) => ({
          id: voice.id,
          name: voice.name,
          status: wireStatus(voice),
          error_message: voiceErrorText(voice.errorCode),
          service_provider: voice.provider,
          is_stand_in: voice.provider === 'local',
          recording: {
            file: file?.path ?? null,
            original_filename: voice.sampleFilename,
            content_type: voice.recordingType,
            size_bytes: voice.recordingSize,
            duration_seconds: voice.recordingDurationSeconds,
            warnings: voice.recordingWarnings,
          },
          last_used_at: isoTimeOrNull(voice.lastUsedAt),
          created_at: isoTime(voice.createdAt),
          updated_at: isoTime(voice.updatedAt),
        })),
      },
      'consents.json': {
        recordings: consents.map((consent) => ({
          id: consent.id,
          voice_id: consent.voiceId,
          basis: consent.basis,
          text_version: consent.textVersion,
          session_id: consent.sessionId,
          recorded_at: isoTime(consent.recordedAt),
        })),
      },
    },
    files: named.flatMap(({ file }) => (file === null ? [] : [file])),
  }
}
