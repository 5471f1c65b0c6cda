import { formatKeyAt, frameLengthAt } from './mp3-frame-header.ts'
import { id3v2LengthAt } from './mp3-tags.ts'

/** `mp4` is any ISO file that may hold AAC, `ogg` is Opus or Vorbis in Ogg, `webm` also Matroska. */
export type AudioType = 'wav' | 'mp3' | 'mp4' | 'webm' | 'ogg'

// Major brands (mp4ra.org) of what recorders and browsers write; images (heic, avif) share the box and are refused.
const brand = /^(?:M4[ABVP] |mp4[12]|mp71|iso[m2-9]|isom|avc1|dash|MSNV|qt {2}|3g[p2][0-9a-z]|f4a |F4A )$/

const textAt = (bytes: Uint8Array, offset: number, length: number): string =>
  String.fromCharCode(...bytes.subarray(offset, offset + length))

const beginsWithTwoFrames = (bytes: Uint8Array, offset: number): boolean => {
  const length = frameLengthAt(bytes, offset)
  if (length === 0) return false
  const next = offset + length
  return frameLengthAt(bytes, next) > 0 && formatKeyAt(bytes, next) === formatKeyAt(bytes, offset)
}

/** Padding between a tag and the first frame is common (LAME, iTunes); other content there is not. */
const firstNonZero = (bytes: Uint8Array, offset: number): number => {
  let position = offset
  while (position < bytes.length && bytes[position] === 0) position++
  return position
}

const isMp3 = (bytes: Uint8Array): boolean => {
  let position = 0
  for (let length = id3v2LengthAt(bytes, 0); length > 0; length = id3v2LengthAt(bytes, position))
    position += length
  // A cover picture can be longer than the bytes at hand: then only the decoder can tell.
  if (position > 0 && position >= bytes.length) return true
  return beginsWithTwoFrames(bytes, position > 0 ? firstNonZero(bytes, position) : 0)
}

const isMp4 = (bytes: Uint8Array): boolean => {
  const size = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0)
  return textAt(bytes, 4, 4) === 'ftyp' && size >= 12 && size <= 4096 && brand.test(textAt(bytes, 8, 4))
}

const isWebm = (bytes: Uint8Array): boolean => {
  if (textAt(bytes, 0, 4) !== '\x1a\x45\xdf\xa3') return false
  // The EBML header is some 40 bytes; DocType is 0x4282, one length byte with its top bit set, then the name.
  return /B\x82[\x84-\x88](?:webm|matroska)/.test(textAt(bytes, 4, 128))
}

/**
 * The type of a sound file by its content; null if it is none of the accepted ones (FLAC and text among them). Wants the
 * first few KiB. Says nothing about whether the rest can be decoded.
 */
export const sniffAudio = (head: Uint8Array): AudioType | null => {
  if (head.length < 12) return null
  if (textAt(head, 0, 4) === 'RIFF' && textAt(head, 8, 4) === 'WAVE') return 'wav'
  if (textAt(head, 0, 4) === 'OggS') return 'ogg'
  if (isMp4(head)) return 'mp4'
  if (isWebm(head)) return 'webm'
  return isMp3(head) ? 'mp3' : null
}
