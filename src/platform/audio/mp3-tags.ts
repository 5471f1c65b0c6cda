export interface Mp3Tag {
  kind: 'id3v2' | 'id3v1' | 'ape'
  offset: number
  /** Bytes, header and footer included. */
  length: number
}

const matches = (bytes: Uint8Array, offset: number, text: string): boolean => {
  for (let index = 0; index < text.length; index++)
    if (bytes[offset + index] !== text.charCodeAt(index)) return false
  return true
}

const littleEndian32 = (bytes: Uint8Array, offset: number): number =>
  ((bytes[offset] ?? 0) |
    ((bytes[offset + 1] ?? 0) << 8) |
    ((bytes[offset + 2] ?? 0) << 16) |
    ((bytes[offset + 3] ?? 0) << 24)) >>>
  0

/** Bytes of the ID3v2 tag at `offset` (id3.org, 2.2 to 2.4); 0 if there is none. May reach past the end. */
export const id3v2LengthAt = (bytes: Uint8Array, offset: number): number => {
  if (offset + 10 > bytes.length || !matches(bytes, offset, 'ID3')) return 0
  const [major = 0, , flags = 0, a = 0, b = 0, c = 0, d = 0] = bytes.subarray(offset + 3, offset + 10)
  if (major < 2 || major > 4 || (a | b | c | d) & 0x80) return 0
  const hasFooter = major === 4 && (flags & 0x10) !== 0
  return 10 + ((a << 21) | (b << 14) | (c << 7) | d) + (hasFooter ? 10 : 0)
}

const apeLengthAt = (bytes: Uint8Array, offset: number): number =>
  offset + 32 <= bytes.length && matches(bytes, offset, 'APETAGEX')
    ? littleEndian32(bytes, offset + 12) + (littleEndian32(bytes, offset + 20) >>> 31 ? 32 : 0)
    : 0

/** The tag that begins at `offset`, or null. A tag that claims more bytes than there are is no tag. */
export const tagAt = (bytes: Uint8Array, offset: number): Mp3Tag | null => {
  const id3Length = id3v2LengthAt(bytes, offset)
  if (id3Length > 0 && offset + id3Length <= bytes.length) return { kind: 'id3v2', offset, length: id3Length }
  const apeLength = apeLengthAt(bytes, offset)
  if (apeLength >= 32 && offset + apeLength <= bytes.length) return { kind: 'ape', offset, length: apeLength }
  return null
}

/** The tag that ends exactly at `end` (ID3v1, or APE with a footer), or null. */
export const tagBefore = (bytes: Uint8Array, start: number, end: number): Mp3Tag | null => {
  if (end - start >= 128 && matches(bytes, end - 128, 'TAG'))
    return { kind: 'id3v1', offset: end - 128, length: 128 }
  if (end - start < 32 || !matches(bytes, end - 32, 'APETAGEX')) return null
  // The size in the footer counts items and footer, not the header, which a flag announces.
  const length = littleEndian32(bytes, end - 20) + (littleEndian32(bytes, end - 12) & 0x80000000 ? 32 : 0)
  return length >= 32 && length <= end - start ? { kind: 'ape', offset: end - length, length } : null
}
