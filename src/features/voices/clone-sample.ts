import { randomUUID } from 'node:crypto'
import { buffer } from 'node:stream/consumers'
import type { Clock } from '../../platform/clock.ts'
import type { DecodeSandbox } from '../../platform/audio/decode-sandbox.ts'
import { encodeMp3 } from '../../platform/audio/mp3-encode.ts'
import type { Database } from '../../platform/db/database.ts'
import type { Jobs } from '../../platform/jobs/jobs.ts'
import type { ObjectStorage } from '../../providers/storage/storage.ts'
import { createDiscard } from './delete-objects.job.ts'
import * as queries from './queries.ts'

// What the providers ask for: 44.1 kHz mono MP3 of 128 kbit/s; three minutes stay well under 10 MB.
const sampleRate = 44_100
const bitrate = 128
const maxSeconds = 180

export class SampleUnreadable extends Error {
  constructor() {
    super('the recording cannot be decoded')
    this.name = 'SampleUnreadable'
  }
}

export interface SampleMaker {
  /** Makes the prepared sample if it is missing. Null: the recording is certainly absent. Throws `SampleUnreadable`. */
  prepare(voiceId: number, signal: AbortSignal): Promise<{ key: string } | null>
  /** Bytes of the prepared sample, made if missing. */
  read(voiceId: number, signal: AbortSignal): Promise<Uint8Array | null>
}

/** Turns recordings into the one form that is sent to speech providers; each is converted once. */
export const createSampleMaker = (deps: {
  database: Database
  clock: Clock
  storage: ObjectStorage
  sandbox: DecodeSandbox
  enqueue: Jobs['enqueue']
}): SampleMaker => {
  const { database, storage, sandbox } = deps
  const discard = createDiscard(deps)

  const load = async (key: string, signal: AbortSignal): Promise<Uint8Array | null> => {
    const object = await storage.get(key, undefined, signal)
    return object === null ? null : buffer(object.body)
  }

  const convert = async (recording: Uint8Array, signal: AbortSignal): Promise<Uint8Array> => {
    const result = await sandbox.inspect(recording, { wantSamples: { sampleRate, maxSeconds }, signal })
    if (result.kind === 'busy') throw new Error('decode sandbox is busy')
    if (result.kind !== 'ok' || !result.samples) throw new SampleUnreadable()
    return encodeMp3({ channels: [result.samples], sampleRate, bitrate })
  }

  const prepare: SampleMaker['prepare'] = async (voiceId, signal) => {
    const voice = await queries.findVoice(database.read, voiceId)
    if (!voice || voice.recordingKey === null) return null
    if (voice.cloneSampleKey !== null && (await storage.head(voice.cloneSampleKey, signal)) !== null)
      return { key: voice.cloneSampleKey }
    const recording = await load(voice.recordingKey, signal)
    if (recording === null) return null
    const key = `${voice.recordingKey.replace(/\.[a-z0-9]+$/, '')}-${randomUUID().slice(0, 8)}.clone.mp3`
    await storage.put(key, await convert(recording, signal), { contentType: 'audio/mpeg' }, signal)
    const isStored = await database.transaction((tx) =>
      queries.storeCloneSample(tx, voiceId, key, deps.clock.now()),
    )
    if (isStored) return { key }
    await discard([key])
    return null
  }

  const read: SampleMaker['read'] = async (voiceId, signal) => {
    const prepared = await prepare(voiceId, signal)
    return prepared === null ? null : load(prepared.key, signal)
  }

  return { prepare, read }
}
