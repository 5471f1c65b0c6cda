// Zero crossings of the sinc on each side: 16 with a Blackman-Harris-like window keeps aliases of speech below −80 dB.
const halfWidth = 16

const greatestCommonDivisor = (a: number, b: number): number =>
  b === 0 ? a : greatestCommonDivisor(b, a % b)

const window = (x: number): number => {
  // Blackman on −1…1.
  return 0.42 + 0.5 * Math.cos(Math.PI * x) + 0.08 * Math.cos(2 * Math.PI * x)
}

const kernels = (phases: number, cutoff: number, taps: number): Float32Array => {
  const table = new Float32Array(phases * taps)
  const half = taps / 2
  for (let phase = 0; phase < phases; phase++) {
    let sum = 0
    for (let tap = 0; tap < taps; tap++) {
      const distance = tap - half + 1 - phase / phases
      const x = distance * cutoff
      const sinc = x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x)
      const value = Math.abs(distance) < half ? sinc * window(distance / half) : 0
      table[phase * taps + tap] = value
      sum += value
    }
    // Each phase sums to one, or a constant signal would ripple.
    for (let tap = 0; tap < taps; tap++) table[phase * taps + tap] = (table[phase * taps + tap] ?? 0) / sum
  }
  return table
}

/**
 * Changes the sample rate (hertz, whole numbers) by a windowed sinc; returns the input itself when they are equal.
 * Length is that of the input × `toRate` ÷ `fromRate`, rounded down.
 */
export const resample = (samples: Float32Array, fromRate: number, toRate: number): Float32Array => {
  if (fromRate === toRate) return samples
  const divisor = greatestCommonDivisor(fromRate, toRate)
  const phases = toRate / divisor
  const step = fromRate / divisor
  const cutoff = Math.min(1, toRate / fromRate) * 0.95
  const taps = 2 * Math.ceil(halfWidth / Math.min(1, toRate / fromRate))
  const table = kernels(phases, cutoff, taps)
  const length = Math.floor((samples.length * toRate) / fromRate)
  const output = new Float32Array(length)
  let position = 0
  let phase = 0
  for (let index = 0; index < length; index++) {
    const first = position - taps / 2 + 1
    const kernel = phase * taps
    let sum = 0
    const from = Math.max(0, -first)
    const to = Math.min(taps, samples.length - first)
    for (let tap = from; tap < to; tap++) sum += (samples[first + tap] ?? 0) * (table[kernel + tap] ?? 0)
    output[index] = sum
    phase += step
    position += Math.floor(phase / phases)
    phase %= phases
  }
  return output
}
