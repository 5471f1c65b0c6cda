import { UnreadableAudio } from './pcm-block.ts'

/** Checks that Ogg pages (RFC 3533) tile the file and tells the codec of the first stream. Throws `UnreadableAudio`. */
export const checkOgg = (bytes: Uint8Array): 'opus' | 'vorbis' => {
  let position = 0
  let pages = 0
  let codec: 'opus' | 'vorbis' | null = null
  while (position < bytes.length) {
    if (
      position + 27 > bytes.length ||
      Buffer.from(bytes.subarray(position, position + 4)).toString('latin1') !== 'OggS'
    )
      throw new UnreadableAudio('Ogg is cut or followed by other data')
    const segments = bytes[position + 26] ?? 0
    const body = position + 27 + segments
    let end = body
    for (let index = position + 27; index < body; index++) end += bytes[index] ?? 0
    if (end > bytes.length) throw new UnreadableAudio('Ogg is cut')
    if (pages === 0) {
      const head = Buffer.from(bytes.subarray(body, body + 8)).toString('latin1')
      if (head === 'OpusHead') codec = 'opus'
      else if (head.startsWith('\x01vorbis')) codec = 'vorbis'
    }
    if (codec === null) throw new UnreadableAudio('Ogg holds neither Opus nor Vorbis')
    pages++
    position = end
  }
  if (codec === null) throw new UnreadableAudio('Ogg is empty')
  return codec
}

// Elements whose content matters (RFC 9559); all others are passed by their size.
const segment = 0x18538067
const cluster = 0x1f43b675
const tracks = 0x1654ae6b
const trackEntry = 0xae
const codecId = 0x86
const simpleBlock = 0xa3
const blockGroup = 0xa0
const masters = new Set([segment, cluster, tracks, trackEntry])

const vintAt = (bytes: Uint8Array, offset: number, isId: boolean): { value: number; length: number } => {
  const first = bytes[offset] ?? 0
  const length = Math.clz32(first) - 23
  if (first === 0 || length > (isId ? 4 : 8) || offset + length > bytes.length)
    throw new UnreadableAudio('WebM is cut')
  let value = isId ? first : first & (0xff >> length)
  let isUnknown = !isId && value === 0xff >> length
  for (let index = 1; index < length; index++) {
    const byte = bytes[offset + index] ?? 0
    value = value * 256 + byte
    isUnknown &&= byte === 0xff
  }
  return { value: isUnknown ? -1 : value, length }
}

/**
 * Checks that EBML elements tile the file, that there is sound and that each sound track is Opus or Vorbis.
 * Segments and clusters of unknown size, as browsers record them, end with the file. Throws `UnreadableAudio`.
 */
export const checkWebm = (bytes: Uint8Array): void => {
  let position = 0
  let isSound = false
  let blocks = 0
  while (position < bytes.length) {
    const id = vintAt(bytes, position, true)
    const size = vintAt(bytes, position + id.length, false)
    const body = position + id.length + size.length
    const isMaster = masters.has(id.value)
    if (size.value < 0 && id.value !== segment && id.value !== cluster)
      throw new UnreadableAudio('WebM element without size')
    if (size.value >= 0 && body + size.value > bytes.length) throw new UnreadableAudio('WebM is cut')
    if (id.value === simpleBlock || id.value === blockGroup) blocks++
    if (id.value === codecId) {
      const name = Buffer.from(bytes.subarray(body, body + size.value))
        .toString('latin1')
        .replaceAll('\0', '')
      if (name === 'A_OPUS' || name === 'A_VORBIS') isSound = true
      else if (name.startsWith('A_')) throw new UnreadableAudio(`WebM codec ${name.slice(0, 20)}`)
    }
    position = isMaster ? body : body + size.value
  }
  if (!isSound || blocks === 0) throw new UnreadableAudio('WebM without sound')
}
