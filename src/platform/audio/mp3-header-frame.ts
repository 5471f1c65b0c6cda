import { frameLengthAt, sideInfoLengthAt } from './mp3-frame-header.ts'

const seekEntries = 100

/** Not `slice`: on a Buffer that is a view, and writing would change the caller's bytes. */
export const copyOf = (bytes: Uint8Array): Uint8Array<ArrayBuffer> => new Uint8Array(bytes)

/** CRC-16 of ISO/IEC 11172-3 §2.4.3.1 (polynomial 0x8005, start 0xFFFF) over header bytes 3 and 4 and side information. */
const frameCrc = (frame: Uint8Array, sideInfoLength: number): number => {
  let crc = 0xffff
  const feed = (byte: number): void => {
    for (let bit = 7; bit >= 0; bit--) {
      const isSet = ((crc >> 15) & 1) !== ((byte >> bit) & 1)
      crc = ((crc << 1) & 0xffff) ^ (isSet ? 0x8005 : 0)
    }
  }
  for (const byte of frame.subarray(2, 4)) feed(byte)
  for (const byte of frame.subarray(6, 6 + sideInfoLength)) feed(byte)
  return crc
}

/** Turns the frame in place into silence that refers to no earlier frame; the rest of its bytes stay a reservoir. */
export const muteFrame = (frame: Uint8Array): void => {
  const hasCrc = ((frame[1] ?? 0) & 1) === 0
  const start = hasCrc ? 6 : 4
  const length = sideInfoLengthAt(frame, 0)
  frame.fill(0, start, start + length)
  if (!hasCrc) return
  const crc = frameCrc(frame, length)
  frame[4] = crc >> 8
  frame[5] = crc & 0xff
}

/** A frame of silence in the format (version, rate, bitrate, mode) of `model`: all-zero side information, no CRC. */
export const silentFrame = (model: Uint8Array): Uint8Array => {
  const header = copyOf(model.subarray(0, 4))
  header[1] = (header[1] ?? 0) | 1 // no CRC
  header[2] = (header[2] ?? 0) & ~2 // no padding
  const frame = new Uint8Array(frameLengthAt(header, 0))
  frame.set(header)
  return frame
}

/** The smallest frame of `model`'s format that holds the seek table, silent; LAME and others use the same bitrate or more. */
const carrierFrame = (model: Uint8Array): { frame: Uint8Array; start: number } => {
  const start = 4 + sideInfoLengthAt(model, 0)
  const needed = start + 16 + seekEntries
  const header = copyOf(model.subarray(0, 4))
  for (let index = (header[2] ?? 0) >> 4; index < 15; index++) {
    header[2] = ((header[2] ?? 0) & 0x0f) | (index << 4)
    const frame = silentFrame(header)
    if (frame.length >= needed) return { frame, start }
  }
  throw new Error('no MP3 bitrate holds a seek table')
}

/**
 * The frame in front of the sound with frame count, byte count (this frame included) and a seek table of 100 entries:
 * entry i is where i % of the time lies, in 256ths of the bytes. `Info` announces constant, `Xing` variable bitrate.
 * `model` is the first sound frame; `frameEnds` are the byte ends of all sound frames, from the first sound byte.
 */
export const writeHeaderFrame = (
  model: Uint8Array,
  frameEnds: Uint32Array,
  isConstant: boolean,
): Uint8Array => {
  const { frame, start } = carrierFrame(model)
  const view = new DataView(frame.buffer)
  const totalBytes = frame.length + (frameEnds.at(-1) ?? 0)
  frame.set(Buffer.from(isConstant ? 'Info' : 'Xing', 'latin1'), start)
  view.setUint32(start + 4, 0b0111) // frames, bytes and table are present; no quality
  view.setUint32(start + 8, frameEnds.length)
  view.setUint32(start + 12, totalBytes)
  for (let entry = 0; entry < seekEntries; entry++) {
    const index = Math.floor((entry * frameEnds.length) / seekEntries)
    const place = frame.length + (index === 0 ? 0 : (frameEnds[index - 1] ?? 0))
    frame[start + 16 + entry] = entry === 0 ? 0 : Math.min(255, Math.floor((place * 256) / totalBytes))
  }
  return frame
}
