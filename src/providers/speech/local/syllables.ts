import { quantile } from './pitch-track.ts'

const hopSeconds = 0.01
/** Loudness is smoothed over this length; shorter ones count the periods of a low voice. */
const windowSeconds = 0.06
/** A nucleus stands at least this far above the dips beside it (de Jong & Wempe 2009). */
const dipDecibels = 2
const silenceDecibels = 25
const shortestPauseSeconds = 0.25

/**
 * Syllables per second of speaking time (pauses from 250 ms on do not count), by the peaks of the loudness that fall
 * on voice: de Jong & Wempe, "Praat script to detect syllable nuclei". Null when nobody speaks.
 * `isVoiced` tells whether there is voice at a time in seconds.
 */
export const syllableRate = (
  samples: Float32Array,
  sampleRate: number,
  isVoiced: (seconds: number) => boolean,
): number | null => {
  const levels = loudness(samples, sampleRate)
  const floor = (quantile(levels, 0.99) ?? 0) - silenceDecibels
  let nuclei = 0
  let dip = Infinity
  let peak = -Infinity
  let peakAt = 0
  for (const [index, level] of levels.entries()) {
    if (level > peak) {
      peak = level
      peakAt = index
    }
    // A fall from the peak ends it; it counts if it also rose far enough out of the dip before.
    if (level <= peak - dipDecibels && peak > -Infinity) {
      if (peak >= dip + dipDecibels && peak > floor && isVoiced(peakAt * hopSeconds)) nuclei += 1
      dip = level
      peak = -Infinity
    }
    if (level < dip) {
      dip = level
      peak = -Infinity
    }
  }
  const speaking = speakingSeconds(levels, floor)
  return nuclei === 0 || speaking < 0.5 ? null : nuclei / speaking
}

const loudness = (samples: Float32Array, sampleRate: number): number[] => {
  const hop = Math.round(hopSeconds * sampleRate)
  const half = Math.round((windowSeconds * sampleRate) / 2)
  const window = Float64Array.from(
    { length: 2 * half + 1 },
    (_, index) => 0.5 + 0.5 * Math.cos((Math.PI * (index - half)) / (half + 1)),
  )
  const levels: number[] = []
  for (let centre = 0; centre < samples.length; centre += hop) {
    let energy = 0
    for (let index = 0; index < window.length; index += 1)
      energy += (window[index] ?? 0) * (samples[centre + index - half] ?? 0) ** 2
    levels.push(10 * Math.log10(energy / half + 1e-10))
  }
  return levels
}

const speakingSeconds = (levels: readonly number[], floor: number): number => {
  let loud = 0
  let gap = Infinity
  for (const level of levels) {
    if (level <= floor) {
      gap += hopSeconds
      continue
    }
    loud += hopSeconds + (gap < shortestPauseSeconds ? gap : 0)
    gap = 0
  }
  return loud
}
