import { UnreadableAudio, type PcmBlock } from './pcm-block.ts'

const blockFrames = 32_768
const pcm = 1
const float = 3
const extensible = 0xfffe
const untilEnd = 0xffffffff

type Reader = (view: DataView, offset: number) => number

const readerOf = (format: number, bits: number): Reader => {
  if (format === float && bits === 32) return (view, offset) => view.getFloat32(offset, true)
  if (format === float && bits === 64) return (view, offset) => view.getFloat64(offset, true)
  if (format === pcm && bits === 8) return (view, offset) => (view.getUint8(offset) - 128) / 128
  if (format === pcm && bits === 16) return (view, offset) => view.getInt16(offset, true) / 32_768
  if (format === pcm && bits === 24)
    return (view, offset) => (view.getInt16(offset + 1, true) * 256 + view.getUint8(offset)) / 8_388_608
  if (format === pcm && bits === 32) return (view, offset) => view.getInt32(offset, true) / 2_147_483_648
  throw new UnreadableAudio(`WAV format ${format} with ${bits} bits`)
}

interface Layout {
  channels: number
  sampleRate: number
  bits: number
  read: Reader
}

const layoutOf = (view: DataView, offset: number, size: number): Layout => {
  if (size < 16) throw new UnreadableAudio('WAV format chunk is too short')
  const tag = view.getUint16(offset, true)
  const bits = view.getUint16(offset + 14, true)
  if (tag === extensible && size < 40) throw new UnreadableAudio('WAV format chunk is too short')
  const format = tag === extensible ? view.getUint16(offset + 24, true) : tag
  return {
    channels: view.getUint16(offset + 2, true),
    sampleRate: view.getUint32(offset + 4, true),
    bits,
    read: readerOf(format, bits),
  }
}

/** RIFF/WAVE with a size beyond the file is a cut file, except 0xFFFFFFFF: writers to a pipe cannot know it. */
const findChunks = (bytes: Uint8Array): { layout: Layout; start: number; end: number } => {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const riffSize = view.getUint32(4, true)
  const riffEnd = riffSize === untilEnd ? bytes.length : riffSize + 8
  if (riffEnd > bytes.length + 1) throw new UnreadableAudio('WAV is cut')
  // Bytes after the RIFF are no part of a recording; one pad byte is.
  if (riffEnd + 1 < bytes.length) throw new UnreadableAudio('WAV is followed by other data')
  let layout: Layout | null = null
  let position = 12
  while (position + 8 <= bytes.length) {
    const id = view.getUint32(position)
    const size = view.getUint32(position + 4, true)
    const start = position + 8
    if (id === 0x64617461 /* data */ && size === untilEnd && riffSize === untilEnd && layout)
      return { layout, start, end: bytes.length }
    if (start + size > bytes.length) throw new UnreadableAudio('WAV is cut')
    if (id === 0x666d7420 /* fmt */) layout = layoutOf(view, start, size)
    if (id === 0x64617461 && layout) return { layout, start, end: start + size }
    position = start + size + (size & 1)
  }
  throw new UnreadableAudio('WAV without format or data')
}

/** The samples of a RIFF/WAVE file (PCM 8 to 32 bit, float), block by block. Throws `UnreadableAudio`. */
export const readWav = function* (bytes: Uint8Array): Generator<PcmBlock> {
  const { layout, start, end } = findChunks(bytes)
  const { channels, sampleRate, read } = layout
  if (channels < 1 || channels > 16) throw new UnreadableAudio(`WAV with ${channels} channels`)
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const sampleBytes = layout.bits / 8
  const frames = Math.floor((end - start) / (sampleBytes * channels))
  for (let first = 0; first < frames; first += blockFrames) {
    const count = Math.min(blockFrames, frames - first)
    const channelData = Array.from({ length: channels }, () => new Float32Array(count))
    let offset = start + first * sampleBytes * channels
    for (let frame = 0; frame < count; frame++)
      for (const channel of channelData) {
        channel[frame] = read(view, offset)
        offset += sampleBytes
      }
    yield { channelData, sampleRate }
  }
}
