/** Speech is brought to this mean level (whole recording, pauses included), as `ffmpeg -af volumedetect` shows it. */
const meanLevel = 10 ** (-20 / 20)
/** The limiter bends peaks above the knee and never passes the ceiling (−1.9 dBFS; MP3 overshoots a little). */
const knee = 0.6
const ceiling = 0.8

/** The sound without silence at both ends (|sample| ≤ 0.4 % of full scale), and how many samples were cut in front. */
export const trimSilence = (samples: Int16Array): { sound: Int16Array; cutInFront: number } => {
  const quiet = 130
  let start = 0
  let end = samples.length
  while (start < end && Math.abs(samples[start] ?? 0) <= quiet) start += 1
  while (end > start && Math.abs(samples[end - 1] ?? 0) <= quiet) end -= 1
  return { sound: samples.subarray(start, end), cutInFront: start }
}

/** Factor that brings 16 bit samples to floating point ones of the wanted mean level. */
export const levelGain = (samples: Int16Array): number => {
  let energy = 0
  for (const sample of samples) energy += sample * sample
  return energy === 0 ? 0 : meanLevel / Math.sqrt(energy / samples.length)
}

/** Bends peaks softly; below the knee nothing changes. */
export const limitPeak = (sample: number): number => {
  const size = Math.abs(sample)
  if (size <= knee) return sample
  return Math.sign(sample) * (knee + (ceiling - knee) * Math.tanh((size - knee) / (ceiling - knee)))
}

// Half-band filter (Kaiser window, β 8): every second tap but the middle one is zero, so one output sample in two is
// the input itself. Flat to 9.5 kHz, images above 12.5 kHz more than 75 dB down.
const halfTaps = 24
const oddTaps = (() => {
  const bessel = (x: number) => {
    let sum = 1
    let term = 1
    for (let k = 1; k < 30; k += 1) {
      term *= (x / (2 * k)) ** 2
      sum += term
    }
    return sum
  }
  const taps = Float64Array.from({ length: halfTaps }, (_, index) => {
    const distance = index + 0.5
    const window = bessel(8 * Math.sqrt(1 - (distance / halfTaps) ** 2)) / bessel(8)
    return (Math.sin(Math.PI * distance) / (Math.PI * distance)) * window
  })
  const sum = 2 * taps.reduce((total, tap) => total + tap, 0)
  return taps.map((tap) => tap / sum)
})()

/** Samples `from`..`to` at twice the rate, scaled by `gain` and limited. Neighbours outside the range are used. */
export const doubleRate = (samples: Int16Array, from: number, to: number, gain: number): Float32Array => {
  const doubled = new Float32Array(2 * (to - from))
  for (let index = from; index < to; index += 1) {
    let between = 0
    for (let tap = 0; tap < halfTaps; tap += 1)
      between += (oddTaps[tap] ?? 0) * ((samples[index - tap] ?? 0) + (samples[index + 1 + tap] ?? 0))
    doubled[2 * (index - from)] = limitPeak((samples[index] ?? 0) * gain)
    doubled[2 * (index - from) + 1] = limitPeak(between * gain)
  }
  return doubled
}

/** Low-passed and thinned to about 11 kHz: enough for pitch up to 400 Hz and for the loudness of syllables. */
export const thinForAnalysis = (
  samples: Float32Array,
  sampleRate: number,
): { samples: Float32Array; sampleRate: number } => {
  const factor = Math.max(1, Math.round(sampleRate / 11_025))
  if (factor === 1) return { samples, sampleRate }
  const reach = 4 * factor
  const taps = Float64Array.from({ length: 2 * reach + 1 }, (_, index) => {
    const distance = (index - reach) / factor
    const sinc = distance === 0 ? 1 : Math.sin(Math.PI * distance * 0.8) / (Math.PI * distance * 0.8)
    return sinc * (0.54 + 0.46 * Math.cos((Math.PI * (index - reach)) / (reach + 1)))
  })
  const sum = taps.reduce((total, tap) => total + tap, 0)
  const thinned = new Float32Array(Math.floor(samples.length / factor))
  for (let index = 0; index < thinned.length; index += 1) {
    let value = 0
    for (let tap = 0; tap < taps.length; tap += 1)
      value += (taps[tap] ?? 0) * (samples[index * factor + tap - reach] ?? 0)
    thinned[index] = value / sum
  }
  return { samples: thinned, sampleRate: sampleRate / factor }
}
