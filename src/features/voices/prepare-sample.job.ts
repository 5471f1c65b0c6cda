import { setTimeout as sleep } from 'node:timers/promises'
import { Type } from 'typebox'
import type { Clock } from '../../platform/clock.ts'
import type { Database } from '../../platform/db/database.ts'
import { defineJob, handleJob, type Job } from '../../platform/jobs/jobs.ts'
import { isAccountLive } from '../users/users.ts'
import { SampleUnreadable, type SampleMaker } from './clone-sample.ts'
import * as queries from './queries.ts'

export const prepareSampleJob = defineJob({
  name: 'voices.prepare-sample',
  payload: Type.Object({ voice_id: Type.Integer({ minimum: 1 }) }),
  retryLimit: 4,
  retryDelaySeconds: 5,
  retryDelayMaxSeconds: 80,
  limitSeconds: 120,
  concurrency: 2,
})

// Object stores may be briefly inconsistent: absent counts only when it is still so after this pause.
const secondLookMs = 5000

/** recorded → ready, by compare-and-set. Never asks for a slot and never calls a provider. */
export const createPrepareSample = (deps: { database: Database; clock: Clock; samples: SampleMaker }): Job =>
  handleJob(prepareSampleJob, async ({ voice_id: voiceId }, { signal }) => {
    const { database, clock, samples } = deps
    const voice = await queries.findVoice(database.read, voiceId)
    if (voice?.state !== 'recorded' || !(await isAccountLive(database.read, voice.userId))) return
    const move = (to: queries.VoiceState, errorCode: string | null) =>
      database.transaction(async (tx) => {
        const now = clock.now()
        if (!(await queries.moveVoiceState(tx, voiceId, ['recorded'], to, { errorCode, now }))) return
        const isGood = to === 'ready'
        await queries.insertSlotEvent(tx, {
          voiceId,
          userId: voice.userId,
          now,
          type: isGood ? 'recording_processed' : 'recording_processing_failed',
          ...(isGood ? { reason: 'post_upload_metadata_refresh' } : {}),
          metadata: {
            s3_key: voice.recordingKey,
            filesize: voice.recordingSize,
            content_type: voice.recordingType,
          },
        })
      })
    try {
      const first = await samples.prepare(voiceId, signal)
      if (first === null) await sleep(secondLookMs, undefined, { signal })
      const prepared = first ?? (await samples.prepare(voiceId, signal))
      await (prepared === null ? move('needs_rerecord', 'sample_missing') : move('ready', null))
    } catch (error) {
      if (!(error instanceof SampleUnreadable)) throw error
      await move('error', 'voice_rejected')
    }
  })
