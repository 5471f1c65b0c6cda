import {
  formatKeyAt,
  frameLengthAt,
  isCrcProtectedAt,
  readFrame,
  sideInfoLengthAt,
  type Mp3Frame,
} from './mp3-frame-header.ts'
import { tagAt, tagBefore, type Mp3Tag } from './mp3-tags.ts'

export interface Mp3Format {
  /** Hertz. */
  sampleRate: number
  channels: 1 | 2
  /** kbit/s; null if frames differ. */
  bitrate: number | null
}

export interface Mp3Stream {
  /** Byte offsets of the sound frames of the one format, in order; header frames are not among them. */
  frameOffsets: Uint32Array
  frameCount: number
  /** Null if there is no frame at all. */
  format: Mp3Format | null
  /** Per channel, over all sound frames. */
  samples: number
  durationSeconds: number
  /** Bytes in valid frames of the one format (header frames too) ÷ bytes that are not tags; 0 to 1. */
  validShare: number
  tags: Mp3Tag[]
  /** `Xing`, `Info` or `VBRI` frames: they carry a seek table, not sound. */
  headerFrames: { offset: number; length: number }[]
}

// 'Xing', 'Info' and 'VBRI' as big-endian numbers.
const xing = 0x58696e67
const info = 0x496e666f
const vbri = 0x56425249

const bigEndian32 = (bytes: Uint8Array, offset: number): number =>
  ((bytes[offset] ?? 0) << 24) |
  ((bytes[offset + 1] ?? 0) << 16) |
  ((bytes[offset + 2] ?? 0) << 8) |
  (bytes[offset + 3] ?? 0)

const isHeaderFrame = (bytes: Uint8Array, offset: number, length: number): boolean => {
  // Encoders disagree whether a CRC in front moves the mark, so both places count.
  const place = offset + 4 + sideInfoLengthAt(bytes, offset)
  const end = offset + length
  const mark = place + 8 <= end ? bigEndian32(bytes, place) : 0
  if (mark === xing || mark === info) return true
  if (isCrcProtectedAt(bytes, offset) && place + 10 <= end) {
    const shifted = bigEndian32(bytes, place + 2)
    if (shifted === xing || shifted === info) return true
  }
  return offset + 40 <= end && bigEndian32(bytes, offset + 36) === vbri
}

interface Scan {
  offsets: Uint32Array
  count: number
  /** By format key: bytes of its frames. */
  bytesOf: Float64Array
  tags: Mp3Tag[]
  headerFrames: { offset: number; length: number }[]
}

const grown = (offsets: Uint32Array): Uint32Array => {
  const larger = new Uint32Array(offsets.length * 2)
  larger.set(offsets)
  return larger
}

/** Between frames only a second valid header of the same format makes a frame: junk holds single headers by chance. */
const isConfirmed = (bytes: Uint8Array, offset: number, length: number, end: number): boolean => {
  const next = offset + length
  if (next === end) return true
  return frameLengthAt(bytes, next) > 0 && formatKeyAt(bytes, next) === formatKeyAt(bytes, offset)
}

const scan = (bytes: Uint8Array, start: number, end: number): Scan => {
  const found: Scan = {
    offsets: new Uint32Array(4096),
    count: 0,
    bytesOf: new Float64Array(32),
    tags: [],
    headerFrames: [],
  }
  let position = start
  let isInSync = false
  while (position + 4 <= end) {
    const length = bytes[position] === 0xff ? frameLengthAt(bytes, position) : 0
    if (length > 0 && position + length <= end && (isInSync || isConfirmed(bytes, position, length, end))) {
      const key = formatKeyAt(bytes, position)
      found.bytesOf[key] = (found.bytesOf[key] ?? 0) + length
      if (isHeaderFrame(bytes, position, length)) found.headerFrames.push({ offset: position, length })
      else {
        if (found.count === found.offsets.length) found.offsets = grown(found.offsets)
        found.offsets[found.count++] = position
      }
      position += length
      isInSync = true
      continue
    }
    isInSync = false
    const tag = tagAt(bytes, position)
    if (tag !== null && tag.offset + tag.length <= end) {
      found.tags.push(tag)
      position += tag.length
      continue
    }
    position++
    // 0xFF begins a frame, 'I' an ID3 tag, 'A' an APE tag.
    while (position < end) {
      const byte = bytes[position]
      if (byte === 0xff || byte === 0x49 || byte === 0x41) break
      position++
    }
  }
  return found
}

/**
 * Finds the MPEG 1, 2 and 2.5 Layer III frames of `bytes` without decoding them. Tags (ID3v2, ID3v1, APE) are set
 * apart wherever they stand. The format is the one with most bytes; frames of another version, sample rate or
 * channel count do not count. Never throws: no frames means `format: null` and `validShare: 0`.
 */
export const parseMp3 = (bytes: Uint8Array): Mp3Stream => {
  const tags: Mp3Tag[] = []
  let end = bytes.length
  for (let tag = tagBefore(bytes, 0, end); tag !== null; tag = tagBefore(bytes, 0, end)) {
    tags.unshift(tag)
    end = tag.offset
  }
  const found = scan(bytes, 0, end)
  tags.unshift(...found.tags)

  let format: Mp3Format | null = null
  let samplesPerFrame = 0
  const bestKey = found.bytesOf.indexOf(Math.max(...found.bytesOf))
  const frameOffsets = found.offsets
    .subarray(0, found.count)
    .filter((offset) => formatKeyAt(bytes, offset) === bestKey)
  let firstBitrate = -1
  for (const offset of frameOffsets) {
    const bitrateBits = (bytes[offset + 2] ?? 0) >> 4
    if (format === null) {
      const frame = readFrame(bytes, offset)
      if (frame === null) break
      format = { sampleRate: frame.sampleRate, channels: frame.channels, bitrate: frame.bitrate }
      samplesPerFrame = frame.samples
      firstBitrate = bitrateBits
    } else if (bitrateBits !== firstBitrate) {
      format.bitrate = null
      break
    }
  }
  const tagBytes = tags.reduce((sum, tag) => sum + tag.length, 0)
  const soundBytes = bytes.length - tagBytes
  const samples = frameOffsets.length * samplesPerFrame
  return {
    frameOffsets,
    frameCount: frameOffsets.length,
    format,
    samples,
    durationSeconds: format === null ? 0 : samples / format.sampleRate,
    validShare: format === null || soundBytes <= 0 ? 0 : (found.bytesOf[bestKey] ?? 0) / soundBytes,
    tags,
    headerFrames: found.headerFrames,
  }
}

/** One object per sound frame, made as they are asked for. */
export const eachFrame = function* (bytes: Uint8Array, stream: Mp3Stream): Generator<Mp3Frame> {
  for (const offset of stream.frameOffsets) {
    const frame = readFrame(bytes, offset)
    if (frame !== null) yield frame
  }
}
