import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** One channel of a sine; amplitude 0.2 is about −17 dBFS RMS. */
export const tone = (
  seconds: number,
  { sampleRate = 44_100, frequency = 220, amplitude = 0.2 } = {},
): Float32Array =>
  Float32Array.from(
    { length: Math.round(seconds * sampleRate) },
    (_, index) => amplitude * Math.sin((2 * Math.PI * frequency * index) / sampleRate),
  )

export const silence = (seconds: number, sampleRate = 44_100): Float32Array =>
  new Float32Array(Math.round(seconds * sampleRate))

/** Small deterministic noise source (mulberry32), 0…1, so that fixtures never differ between runs. */
export const randomFrom = (seed: number): (() => number) => {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}

/** Harmonics of a wandering pitch plus noise, in four syllables a second with a pause every two seconds. */
export const speechLike = (
  seconds: number,
  { sampleRate = 44_100, pitch = 120, amplitude = 0.3, syllablesPerSecond = 4, seed = 1 } = {},
): Float32Array => {
  const random = randomFrom(seed)
  let phase = 0
  return Float32Array.from({ length: Math.round(seconds * sampleRate) }, (_, index) => {
    const time = index / sampleRate
    phase += (2 * Math.PI * pitch * (1 + 0.05 * Math.sin(2 * Math.PI * 0.7 * time))) / sampleRate
    const voice =
      Math.sin(phase) + 0.5 * Math.sin(2 * phase) + 0.3 * Math.sin(3 * phase) + 0.1 * (random() - 0.5)
    const syllable = Math.sin(Math.PI * syllablesPerSecond * time) ** 2
    return time % 2 > 1.7 ? 0 : amplitude * 0.6 * voice * syllable
  })
}

export type WavFormat = 'pcm8' | 'pcm16' | 'pcm24' | 'pcm32' | 'float32'
const bitsOf = { pcm8: 8, pcm16: 16, pcm24: 24, pcm32: 32, float32: 32 }

/** A RIFF/WAVE file; `claimedDataBytes` puts another size into the headers than there is. */
export const wav = (
  channels: Float32Array[],
  options: { sampleRate?: number; format?: WavFormat; claimedDataBytes?: number } = {},
): Uint8Array => {
  const { sampleRate = 44_100, format = 'pcm16' } = options
  const bits = bitsOf[format]
  const frames = channels[0]?.length ?? 0
  const dataBytes = frames * channels.length * (bits / 8)
  const file = Buffer.alloc(44 + dataBytes)
  const claimed = options.claimedDataBytes ?? dataBytes
  file.write('RIFF', 0, 'latin1')
  file.writeUInt32LE(Math.min(0xffffffff, claimed + 36), 4)
  file.write('WAVEfmt ', 8, 'latin1')
  file.writeUInt32LE(16, 16)
  file.writeUInt16LE(format === 'float32' ? 3 : 1, 20)
  file.writeUInt16LE(channels.length, 22)
  file.writeUInt32LE(sampleRate, 24)
  file.writeUInt32LE((sampleRate * channels.length * bits) / 8, 28)
  file.writeUInt16LE((channels.length * bits) / 8, 32)
  file.writeUInt16LE(bits, 34)
  file.write('data', 36, 'latin1')
  file.writeUInt32LE(claimed, 40)
  let offset = 44
  for (let frame = 0; frame < frames; frame++)
    for (const channel of channels) {
      const value = channel[frame] ?? 0
      const clamped = Math.max(-1, Math.min(1, value))
      if (format === 'float32') file.writeFloatLE(value, offset)
      else if (format === 'pcm8') file.writeUInt8(Math.min(255, Math.round(clamped * 128 + 128)), offset)
      else if (format === 'pcm16') file.writeInt16LE(Math.round(clamped * 32_767), offset)
      else if (format === 'pcm24') file.writeIntLE(Math.round(clamped * 8_388_607), offset, 3)
      else file.writeInt32LE(Math.round(clamped * 2_147_483_647), offset)
      offset += bits / 8
    }
  return file
}

export const wavOf200Channels = (): Uint8Array => wav(Array.from({ length: 200 }, () => tone(0.5)))

export const wavWithNaN = (): Uint8Array => {
  const samples = tone(4)
  samples[100_000] = Number.NaN
  return wav([samples], { format: 'float32' })
}

/** Four seconds under a header that promises 2 GB. */
export const wavClaiming2GB = (): Uint8Array => wav([tone(4)], { claimedDataBytes: 2 ** 31 })

export const cut = (file: Uint8Array, share: number): Uint8Array =>
  file.subarray(0, Math.floor(file.length * share))

/** Markup that begins like an MP3. */
export const id3ThenHtml = (): Uint8Array =>
  Buffer.concat([
    Buffer.from([0x49, 0x44, 0x33, 4, 0, 0, 0, 0, 0, 0]),
    Buffer.from('<!doctype html><script>alert(1)</script>'.repeat(200)),
  ])

const oggCrc = (page: Uint8Array): number => {
  let crc = 0
  for (const byte of page) {
    crc ^= byte << 24
    for (let bit = 0; bit < 8; bit++) crc = crc & 0x80000000 ? (crc << 1) ^ 0x04c11db7 : crc << 1
  }
  return crc >>> 0
}

const oggPage = (number: number, flags: number, granule: number, packets: Uint8Array[]): Buffer => {
  const header = Buffer.alloc(27 + packets.length)
  header.write('OggS', 'latin1')
  header[5] = flags
  header.writeBigUInt64LE(BigInt(granule), 6)
  header.writeUInt32LE(1, 14)
  header.writeUInt32LE(number, 18)
  header[26] = packets.length
  for (const [index, packet] of packets.entries()) header[27 + index] = packet.length
  const page = Buffer.concat([header, ...packets])
  page.writeUInt32LE(oggCrc(page), 22)
  return page
}

/** Ogg Opus of packets of three bytes, each 20 ms of silence: ten hours take 7 MB. */
export const oggOpusSilence = (seconds: number): Uint8Array => {
  const head = Buffer.from('OpusHead\x01\x01\0\0\x80\xbb\0\0\0\0\0', 'latin1')
  const comment = Buffer.from('OpusTags\x04\0\0\0test\0\0\0\0', 'latin1')
  const packets = Array.from({ length: 250 }, () => Buffer.from([0xf8, 0xff, 0xfe]))
  const pages = [oggPage(0, 2, 0, [head]), oggPage(1, 0, 0, [comment])]
  const count = Math.ceil(seconds / 5)
  for (let page = 1; page <= count; page++)
    pages.push(oggPage(page + 1, page === count ? 4 : 0, page * 250 * 960, packets))
  return Buffer.concat(pages)
}

const ffmpegArguments = {
  m4a: ['-c:a', 'aac', '-f', 'ipod'],
  'm4a-fragmented': ['-c:a', 'aac', '-f', 'mp4', '-movflags', '+frag_keyframe+empty_moov+default_base_moof'],
  'm4a-faststart': ['-c:a', 'aac', '-f', 'ipod', '-movflags', '+faststart'],
  'm4a-flac': ['-c:a', 'flac', '-strict', '-2', '-f', 'mp4'],
  webm: ['-c:a', 'libopus', '-f', 'webm'],
  'webm-live': ['-c:a', 'libopus', '-f', 'webm', '-live', '1'],
  'ogg-opus': ['-c:a', 'libopus', '-f', 'ogg'],
  'ogg-vorbis': ['-c:a', 'libvorbis', '-f', 'ogg'],
  mp3: ['-c:a', 'libmp3lame', '-b:a', '128k', '-f', 'mp3'],
  'mp3-vbr': ['-c:a', 'libmp3lame', '-q:a', '4', '-f', 'mp3'],
  flac: ['-c:a', 'flac', '-f', 'flac'],
  'ogg-flac': ['-c:a', 'flac', '-f', 'ogg'],
}
export type EncodedKind = keyof typeof ffmpegArguments

/** Runs ffmpeg on a WAV; null if there is no ffmpeg here or it lacks the encoder. */
export const encodedBy = (file: Uint8Array, kind: EncodedKind, extra: string[] = []): Uint8Array | null => {
  const folder = mkdtempSync(join(tmpdir(), 'audio-fixture-'))
  try {
    const [source, target] = [join(folder, 'in.wav'), join(folder, 'out')]
    writeFileSync(source, file)
    const args = ['-v', 'error', '-y', '-i', source, ...extra, ...ffmpegArguments[kind], target]
    return spawnSync('ffmpeg', args).status === 0 ? readFileSync(target) : null
  } finally {
    rmSync(folder, { recursive: true })
  }
}

/** What ffmpeg complains about when it decodes the file, and the seconds it gets; null without ffmpeg. */
export const decodedByFfmpeg = (file: Uint8Array): { errors: string; seconds: number } | null => {
  const folder = mkdtempSync(join(tmpdir(), 'audio-fixture-'))
  try {
    // A file, not a pipe: ffmpeg misjudges the byte count of the header frame when it cannot ask for the size.
    const source = join(folder, 'in')
    writeFileSync(source, file)
    const args = [
      '-v',
      'warning',
      '-i',
      source,
      '-map',
      '0:a',
      '-f',
      's16le',
      '-ac',
      '1',
      '-ar',
      '44100',
      'pipe:1',
    ]
    const result = spawnSync('ffmpeg', args, { maxBuffer: 2 ** 28 })
    if (result.error) return null
    // Every attached picture, also in files ffmpeg wrote itself, makes its JPEG decoder complain.
    const errors = result.stderr.toString().replaceAll(/^\[mjpeg .*\n/gm, '')
    return { errors, seconds: result.stdout.length / 2 / 44_100 }
  } finally {
    rmSync(folder, { recursive: true })
  }
}
