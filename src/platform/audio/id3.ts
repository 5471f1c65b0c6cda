export interface Id3Tag {
  title?: string
  artist?: string
  album?: string
  /** ISO 639-2, three letters. */
  language?: string
  lengthMilliseconds?: number
  /** `COMM`, in `language`. */
  comment?: string
  /** `TXXX`: name to value. */
  userText?: Record<string, string>
  /** `APIC`, front cover. */
  cover?: { mimeType: string; bytes: Uint8Array }
}

const utf8 = 3
const frontCover = 3

const encode = (text: string): Buffer => Buffer.from(text.replaceAll('\0', ''), 'utf8')
const languageCode = (code: string): Buffer => Buffer.from(/^[a-z]{3}$/.test(code) ? code : 'und', 'latin1')

/** 28 bits, seven a byte, so that no player takes a size for an MPEG sync word. */
const syncsafe = (value: number): Buffer => {
  if (value > 0x0fffffff) throw new RangeError('ID3 tag is too large')
  return Buffer.from([(value >> 21) & 0x7f, (value >> 14) & 0x7f, (value >> 7) & 0x7f, value & 0x7f])
}

const frame = (id: string, ...content: Uint8Array[]): Buffer => {
  const body = Buffer.concat(content)
  return Buffer.concat([Buffer.from(id, 'latin1'), syncsafe(body.length), Buffer.from([0, 0]), body])
}

const textFrame = (id: string, value: string): Buffer => frame(id, Buffer.from([utf8]), encode(value))
const zero = Buffer.from([0])

/**
 * An ID3v2.4 tag (id3.org "id3v2.4.0-structure" and "-frames"), all text in UTF-8. Left-out values write no frame.
 * Throws `RangeError` above 256 MiB.
 */
export const writeId3 = (tag: Id3Tag): Uint8Array => {
  const frames: Buffer[] = []
  if (tag.title !== undefined) frames.push(textFrame('TIT2', tag.title))
  if (tag.artist !== undefined) frames.push(textFrame('TPE1', tag.artist))
  if (tag.album !== undefined) frames.push(textFrame('TALB', tag.album))
  if (tag.language !== undefined)
    frames.push(textFrame('TLAN', languageCode(tag.language).toString('latin1')))
  if (tag.lengthMilliseconds !== undefined)
    frames.push(textFrame('TLEN', String(Math.round(tag.lengthMilliseconds))))
  if (tag.comment !== undefined)
    frames.push(
      frame('COMM', Buffer.from([utf8]), languageCode(tag.language ?? 'und'), zero, encode(tag.comment)),
    )
  for (const [name, value] of Object.entries(tag.userText ?? {}))
    frames.push(frame('TXXX', Buffer.from([utf8]), encode(name), zero, encode(value)))
  if (tag.cover) {
    const mimeType = Buffer.from(tag.cover.mimeType, 'latin1')
    const kind = Buffer.from([frontCover])
    // The zero after the kind ends an empty description.
    frames.push(frame('APIC', Buffer.from([utf8]), mimeType, zero, kind, zero, tag.cover.bytes))
  }
  const body = Buffer.concat(frames)
  return Buffer.concat([Buffer.from([0x49, 0x44, 0x33, 4, 0, 0]), syncsafe(body.length), body])
}
