import decodeAudio from 'audio-decode'

export interface MonoSound {
  samples: Float32Array
  sampleRate: number
}

/** Decodes WAV, MP3 and what else `audio-decode` knows to one channel; null when the bytes are no sound. */
export const decodeRecording = async (bytes: Uint8Array): Promise<MonoSound | null> => {
  const wav = readPcmWav(bytes)
  if (wav !== null) return wav
  const decoded = await decodeAudio(bytes).catch(() => null)
  if (decoded === null || !(decoded.sampleRate >= 8000)) return null
  const [first, ...others] = decoded.channelData
  if (first === undefined || first.length === 0) return null
  const samples = Float32Array.from(first)
  for (const other of others)
    for (let index = 0; index < samples.length; index += 1)
      samples[index] = (samples[index] ?? 0) + (other[index] ?? 0)
  const channels = others.length + 1
  for (let index = 0; index < samples.length; index += 1) samples[index] = (samples[index] ?? 0) / channels
  return { samples, sampleRate: decoded.sampleRate }
}

/** 16 bit PCM in RIFF/WAVE, without a copy of the decoder's machinery; null for anything else. */
const readPcmWav = (bytes: Uint8Array): MonoSound | null => {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const tag = (offset: number) => String.fromCharCode(...bytes.subarray(offset, offset + 4))
  if (bytes.length < 44 || tag(0) !== 'RIFF' || tag(8) !== 'WAVE') return null
  let format: { channels: number; sampleRate: number } | null = null
  for (let offset = 12; offset + 8 <= bytes.length;) {
    const size = view.getUint32(offset + 4, true)
    const body = offset + 8
    if (tag(offset) === 'fmt ' && body + 16 <= bytes.length) {
      if (view.getUint16(body, true) !== 1 || view.getUint16(body + 14, true) !== 16) return null
      format = { channels: view.getUint16(body + 2, true), sampleRate: view.getUint32(body + 4, true) }
      if (format.channels < 1 || format.sampleRate < 8000) return null
    }
    if (tag(offset) === 'data' && format !== null) {
      const { channels, sampleRate } = format
      const frames = Math.floor(Math.min(size, bytes.length - body) / (2 * channels))
      const samples = new Float32Array(frames)
      for (let frame = 0; frame < frames; frame += 1) {
        let sum = 0
        for (let channel = 0; channel < channels; channel += 1)
          sum += view.getInt16(body + 2 * (frame * channels + channel), true)
        samples[frame] = sum / channels / 32_768
      }
      return frames > 0 ? { samples, sampleRate } : null
    }
    offset = body + size + (size % 2)
  }
  return null
}
