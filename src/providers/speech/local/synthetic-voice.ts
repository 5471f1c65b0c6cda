/** A recording for tests and measurements: what a voice is to the analysis, and nothing of anybody's voice. */
export interface SyntheticVoice {
  hertz: number
  seconds: number
  /** Amplitudes of the harmonics, from the fundamental on. */
  harmonics?: readonly number[]
  /** Bursts per second; without it the tone is steady. */
  syllablesPerSecond?: number
  /** Standard deviation of white noise, relative to the loudest harmonic. */
  noise?: number
  /** Depth of a rise and fall of the pitch, once a second. */
  vibratoSemitones?: number
}

/** Mono samples of −1..1. */
export const syntheticVoice = (voice: SyntheticVoice, sampleRate: number): Float32Array => {
  const { hertz, seconds, harmonics = [1, 0.7, 0.5, 0.35, 0.25], noise = 0.01, vibratoSemitones = 0 } = voice
  const samples = new Float32Array(Math.round(seconds * sampleRate))
  const scale = 0.5 / harmonics.reduce((sum, amplitude) => sum + amplitude, 0)
  let phase = 0
  // A fixed linear congruential generator: every run hears the same noise.
  let state = 12_345
  const random = () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32 - 0.5
  }
  for (let index = 0; index < samples.length; index += 1) {
    const time = index / sampleRate
    phase +=
      (2 * Math.PI * hertz * 2 ** ((vibratoSemitones / 12) * Math.sin(2 * Math.PI * time))) / sampleRate
    let sample = 0
    for (const [order, amplitude] of harmonics.entries())
      sample += amplitude * Math.sin((order + 1) * phase + order)
    const rate = voice.syllablesPerSecond
    const envelope = rate === undefined ? 1 : 0.06 + 0.94 * Math.sin(Math.PI * rate * time) ** 2
    // Twelve uniform values make a normal one.
    let hiss = 0
    for (let count = 0; count < 12; count += 1) hiss += random()
    samples[index] = scale * (sample * envelope + hiss * noise)
  }
  return samples
}

/** 16 bit mono WAV. */
export const wavFile = (samples: Float32Array, sampleRate: number): Uint8Array => {
  const file = Buffer.alloc(44 + 2 * samples.length)
  file.write('RIFF', 0, 'latin1')
  file.writeUInt32LE(36 + 2 * samples.length, 4)
  file.write('WAVEfmt ', 8, 'latin1')
  file.writeUInt32LE(16, 16)
  file.writeUInt16LE(1, 20)
  file.writeUInt16LE(1, 22)
  file.writeUInt32LE(sampleRate, 24)
  file.writeUInt32LE(2 * sampleRate, 28)
  file.writeUInt16LE(2, 32)
  file.writeUInt16LE(16, 34)
  file.write('data', 36, 'latin1')
  file.writeUInt32LE(2 * samples.length, 40)
  for (const [index, sample] of samples.entries())
    file.writeInt16LE(Math.round(Math.max(-1, Math.min(1, sample)) * 32_767), 44 + 2 * index)
  return new Uint8Array(file)
}
