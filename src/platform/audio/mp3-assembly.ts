import { setImmediate as nextTurn } from 'node:timers/promises'
import decode from 'audio-decode'
import { writeId3, type Id3Tag } from './id3.ts'
import { encodeMp3 } from './mp3-encode.ts'
import { isCrcProtectedAt, mainDataBeginAt, readFrame, sideInfoLengthAt } from './mp3-frame-header.ts'
import { parseMp3, type Mp3Stream } from './mp3-frames.ts'
import { copyOf, muteFrame, silentFrame, writeHeaderFrame } from './mp3-header-frame.ts'
import { resample } from './resample.ts'

// What parts of differing formats are brought to.
const commonSampleRate = 44_100
const commonBitrate = 128

export interface Mp3Part {
  audio: Uint8Array
  /** Silence after the part, rounded to whole frames (26 ms at 44.1 kHz). */
  gapAfterSeconds: number
}

export interface AssembledMp3 {
  bytes: Uint8Array
  /** Samples ÷ rate of the sound frames; the header frame holds no sound. */
  durationSeconds: number
  /** Where each part begins, in seconds. */
  partStarts: number[]
}

interface ParsedPart extends Mp3Part {
  stream: Mp3Stream
}

const parsePart = (part: Mp3Part): ParsedPart => {
  const stream = parseMp3(part.audio)
  if (stream.format === null) throw new Error('a part of the narration holds no MP3 frames')
  return { ...part, stream }
}

const isOneFormat = (parts: ParsedPart[]): boolean => {
  const first = parts[0]?.stream.format
  return parts.every(
    ({ stream: { format } }) =>
      format?.sampleRate === first?.sampleRate &&
      format?.channels === first?.channels &&
      format?.bitrate === first?.bitrate,
  )
}

const decodeToMono = async (part: ParsedPart, signal: AbortSignal | undefined): Promise<Float32Array> => {
  const decoder = await decode.mp3()
  const blocks: Float32Array[] = []
  let sampleRate = part.stream.format?.sampleRate ?? commonSampleRate
  try {
    for (let start = 0; start < part.audio.length; start += 16_384) {
      signal?.throwIfAborted()
      const { channelData, sampleRate: rate } = await decoder(part.audio.subarray(start, start + 16_384))
      const [left, right = left] = channelData
      if (left && right) {
        blocks.push(left.map((value, index) => (value + (right[index] ?? value)) / 2))
        sampleRate = rate
      }
      await nextTurn()
    }
  } finally {
    decoder.free()
  }
  const mono = new Float32Array(blocks.reduce((sum, block) => sum + block.length, 0))
  let offset = 0
  for (const block of blocks) {
    mono.set(block, offset)
    offset += block.length
  }
  return resample(mono, sampleRate, commonSampleRate)
}

const reencode = async (part: ParsedPart, signal: AbortSignal | undefined): Promise<ParsedPart> => {
  const mono = await decodeToMono(part, signal)
  const audio = await encodeMp3({
    channels: [mono],
    sampleRate: commonSampleRate,
    bitrate: commonBitrate,
    signal,
  })
  return parsePart({ audio, gapAfterSeconds: part.gapAfterSeconds })
}

/**
 * Layer III frames may use bytes of frames before them (the bit reservoir). LAME, here and at the providers, begins each
 * stream with no reference back and flushes at its end (measured: `main_data_begin` is 0 in the first frame), so
 * whole parts can stand next to each other. A part cut from a longer stream begins with frames that would read the end
 * of the part before as their own sound: those, which nobody could decode, are made silent.
 */
const selfContained = (part: ParsedPart): Uint8Array[] => {
  const chunks: Uint8Array[] = []
  let reservoir = 0
  let isComplete = false
  for (const offset of part.stream.frameOffsets) {
    const frame = readFrame(part.audio, offset)
    if (frame === null) continue
    let bytes = part.audio.subarray(offset, offset + frame.length)
    if (!isComplete) {
      if (mainDataBeginAt(bytes, 0) > reservoir) {
        bytes = copyOf(bytes)
        muteFrame(bytes)
      } else isComplete = true
      reservoir += frame.length - 4 - (isCrcProtectedAt(bytes, 0) ? 2 : 0) - sideInfoLengthAt(bytes, 0)
    }
    chunks.push(bytes)
  }
  return chunks
}

/**
 * Joins MP3 parts into one file: an ID3v2.4 tag, a header frame with seek table, then the sound frames of all parts
 * without their tags and header frames, and silent frames for the gaps. Parts that agree in sample rate, channels and
 * bitrate are joined as they are; otherwise all are decoded and encoded once, to mono 44.1 kHz 128 kbit/s.
 *
 * Gaps are frames of all-zero side information, which is how silence is encoded; they need no encoder and leave the
 * reservoir empty. `TLEN` is written from the true length. Throws if there is no part or a part without frames.
 */
export const assembleMp3 = async (input: {
  parts: readonly Mp3Part[]
  tags: Omit<Id3Tag, 'lengthMilliseconds'>
  signal?: AbortSignal | undefined
}): Promise<AssembledMp3> => {
  let parts = input.parts.map(parsePart)
  if (!isOneFormat(parts)) {
    const encoded: ParsedPart[] = []
    for (const part of parts) encoded.push(await reencode(part, input.signal))
    parts = encoded
  }
  const format = parts[0]?.stream.format
  if (!format) throw new Error('a narration needs at least one part')

  const chunks: Uint8Array[] = []
  const lengths: number[] = []
  const partStarts: number[] = []
  let secondsPerFrame = 0
  const add = (frame: Uint8Array): void => {
    chunks.push(frame)
    lengths.push(frame.length)
  }
  for (const part of parts) {
    const sound = selfContained(part)
    const model = sound[0]
    const samples = model && readFrame(model, 0)?.samples
    if (!samples) throw new Error('a part of the narration holds no MP3 frames')
    secondsPerFrame = samples / format.sampleRate
    partStarts.push(lengths.length * secondsPerFrame)
    for (const chunk of sound) add(chunk)
    const silence = silentFrame(model)
    for (let left = Math.round(part.gapAfterSeconds / secondsPerFrame); left > 0; left--) add(silence)
  }
  const durationSeconds = lengths.length * secondsPerFrame
  let end = 0
  const frameEnds = Uint32Array.from(lengths, (length) => (end += length))
  const header = writeHeaderFrame(chunks[0] ?? new Uint8Array(), frameEnds, format.bitrate !== null)
  const tag = writeId3({ ...input.tags, lengthMilliseconds: durationSeconds * 1000 })
  return { bytes: Buffer.concat([tag, header, ...chunks]), durationSeconds, partStarts }
}
