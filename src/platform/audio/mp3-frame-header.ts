// ISO/IEC 11172-3 and 13818-3 (Layer III); MPEG 2.5 is Fraunhofer's extension for 8, 11.025 and 12 kHz.
const bitratesMpeg1 = [0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 0]
const bitratesMpeg2 = [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160, 0]
const sampleRates = [
  [11_025, 12_000, 8000], // 2.5
  [0, 0, 0],
  [22_050, 24_000, 16_000], // 2
  [44_100, 48_000, 32_000], // 1
] as const

export interface Mp3Frame {
  /** Bytes from the start of the data. */
  offset: number
  /** Bytes. */
  length: number
  /** Per channel. */
  samples: number
  /** Hertz. */
  sampleRate: number
  channels: 1 | 2
  /** kbit/s. */
  bitrate: number
}

const isHeaderAt = (bytes: Uint8Array, offset: number): boolean => {
  if (offset + 4 > bytes.length || bytes[offset] !== 0xff) return false
  const second = bytes[offset + 1] ?? 0
  const third = bytes[offset + 2] ?? 0
  if ((second & 0xe0) !== 0xe0 || (second & 0x06) !== 0x02) return false // sync, Layer III
  if (((second >> 3) & 3) === 1) return false // reserved version
  const bitrateIndex = third >> 4
  // Free format (0) has no length in its header: no encoder we meet writes it, and junk often looks like it.
  if (bitrateIndex === 0 || bitrateIndex === 15 || ((third >> 2) & 3) === 3) return false
  return ((bytes[offset + 3] ?? 0) & 3) !== 2 // reserved emphasis
}

/** Bytes of the Layer III frame whose header is at `offset`; 0 if there is no valid header. */
export const frameLengthAt = (bytes: Uint8Array, offset: number): number => {
  if (!isHeaderAt(bytes, offset)) return 0
  const version = ((bytes[offset + 1] ?? 0) >> 3) & 3
  const third = bytes[offset + 2] ?? 0
  const bitrate = (version === 3 ? bitratesMpeg1 : bitratesMpeg2)[third >> 4] ?? 0
  const rate = sampleRates[version]?.[(third >> 2) & 3] ?? 0
  if (rate === 0) return 0
  return Math.floor(((version === 3 ? 144_000 : 72_000) * bitrate) / rate) + ((third >> 1) & 1)
}

/** Five bits that are equal exactly for frames of one version, sample rate and channel count. */
export const formatKeyAt = (bytes: Uint8Array, offset: number): number => {
  const isMono = (bytes[offset + 3] ?? 0) >> 6 === 3
  return (((bytes[offset + 1] ?? 0) >> 3) & 3) | ((bytes[offset + 2] ?? 0) & 0x0c) | (isMono ? 16 : 0)
}

/** The frame at `offset`, or null if there is no valid Layer III header. Its bytes may reach past the end. */
export const readFrame = (bytes: Uint8Array, offset: number): Mp3Frame | null => {
  const length = frameLengthAt(bytes, offset)
  if (length === 0) return null
  const version = ((bytes[offset + 1] ?? 0) >> 3) & 3
  const third = bytes[offset + 2] ?? 0
  return {
    offset,
    length,
    samples: version === 3 ? 1152 : 576,
    sampleRate: sampleRates[version]?.[(third >> 2) & 3] ?? 0,
    channels: (bytes[offset + 3] ?? 0) >> 6 === 3 ? 1 : 2,
    bitrate: (version === 3 ? bitratesMpeg1 : bitratesMpeg2)[third >> 4] ?? 0,
  }
}

export const isCrcProtectedAt = (bytes: Uint8Array, offset: number): boolean =>
  ((bytes[offset + 1] ?? 0) & 1) === 0

/** Bytes of the side information of the frame at `offset`. */
export const sideInfoLengthAt = (bytes: Uint8Array, offset: number): number => {
  const isMpeg1 = (((bytes[offset + 1] ?? 0) >> 3) & 3) === 3
  const isMono = (bytes[offset + 3] ?? 0) >> 6 === 3
  return isMpeg1 ? (isMono ? 17 : 32) : isMono ? 9 : 17
}

/** How many bytes before this frame its sound begins (the bit reservoir): 9 bits in MPEG 1, 8 in MPEG 2 and 2.5. */
export const mainDataBeginAt = (bytes: Uint8Array, offset: number): number => {
  const start = offset + 4 + (isCrcProtectedAt(bytes, offset) ? 2 : 0)
  const first = bytes[start] ?? 0
  const isMpeg1 = (((bytes[offset + 1] ?? 0) >> 3) & 3) === 3
  return isMpeg1 ? (first << 1) | ((bytes[start + 1] ?? 0) >> 7) : first
}
