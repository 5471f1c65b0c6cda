const lowestHz = 70
const highestHz = 400
const windowSeconds = 0.04
const hopSeconds = 0.015
/** Below this likeness of neighbouring periods a frame is not voice. */
const voicedLikeness = 0.55
// Per octave, as in Boersma (1993): of equally good lags the shortest is the period. Small enough that a weak
// fundamental (even harmonics dominate) is still found.
const octaveCost = 0.03
/** Per octave away from the recording's own median: what takes single octave jumps back. */
const jumpCost = 0.1

interface Candidate {
  hertz: number
  likeness: number
}

/** Pitch in hertz for each 15 ms, null where there is no voice. Range 70–400 Hz. */
export const trackPitch = (samples: Float32Array, sampleRate: number): (number | null)[] => {
  const frames = candidateFrames(samples, sampleRate)
  const first = frames.map((candidates) => best(candidates, null))
  const middle = median(first.filter((hertz) => hertz !== null))
  if (middle === null) return first
  const second = frames.map((candidates) => best(candidates, middle))
  return second.map((hertz, index) => {
    if (hertz === null) return null
    const near = second.slice(Math.max(0, index - 2), index + 3).filter((value) => value !== null)
    return median(near)
  })
}

/** The middle value; of an even number the mean of the middle two; null of none. */
export const median = (values: readonly number[]): number | null => quantile(values, 0.5)

/** Linear between neighbours; null when there are no values. */
export const quantile = (values: readonly number[], share: number): number | null => {
  const sorted = values.toSorted((a, b) => a - b)
  const place = (sorted.length - 1) * share
  const low = sorted[Math.floor(place)]
  const high = sorted[Math.ceil(place)]
  if (low === undefined || high === undefined) return null
  return low + (high - low) * (place - Math.floor(place))
}

const best = (candidates: readonly Candidate[], middle: number | null): number | null => {
  let choice: Candidate | null = null
  let choiceScore = -Infinity
  for (const candidate of candidates) {
    const away = middle === null ? 0 : Math.abs(Math.log2(candidate.hertz / middle))
    const score = candidate.likeness + octaveCost * Math.log2(candidate.hertz) - jumpCost * away
    if (score <= choiceScore) continue
    choice = candidate
    choiceScore = score
  }
  return choice !== null && choice.likeness >= voicedLikeness ? choice.hertz : null
}

const candidateFrames = (samples: Float32Array, sampleRate: number): Candidate[][] => {
  const width = Math.round(windowSeconds * sampleRate)
  const longestLag = Math.ceil(sampleRate / lowestHz) + 1
  const hop = Math.round(hopSeconds * sampleRate)
  const levels: number[] = []
  for (let start = 0; start + width + longestLag <= samples.length; start += hop) {
    let energy = 0
    for (let index = start; index < start + width; index += 1) energy += (samples[index] ?? 0) ** 2
    levels.push(Math.sqrt(energy / width))
  }
  const quiet = (quantile(levels, 0.95) ?? 0) * 10 ** (-30 / 20)
  return levels.map((level, index) =>
    level <= quiet || level < 1e-4
      ? []
      : frameCandidates(samples, index * hop, width, longestLag, sampleRate),
  )
}

/** Peaks of the normalised autocorrelation, placed between samples by a parabola. */
const frameCandidates = (
  samples: Float32Array,
  start: number,
  width: number,
  longestLag: number,
  sampleRate: number,
): Candidate[] => {
  const frame = samples.slice(start, start + width + longestLag + 1)
  const mean = frame.reduce((sum, value) => sum + value, 0) / frame.length
  for (let index = 0; index < frame.length; index += 1) frame[index] = (frame[index] ?? 0) - mean
  const shortestLag = Math.floor(sampleRate / highestHz) - 1
  const energy = (from: number) => {
    let sum = 0
    for (let index = from; index < from + width; index += 1) sum += (frame[index] ?? 0) ** 2
    return sum
  }
  const own = energy(0)
  const likeness = new Float64Array(longestLag + 1)
  for (let lag = shortestLag; lag <= longestLag; lag += 1) {
    let product = 0
    for (let index = 0; index < width; index += 1) product += (frame[index] ?? 0) * (frame[index + lag] ?? 0)
    likeness[lag] = product / Math.sqrt(own * energy(lag) + 1e-12)
  }
  const candidates: Candidate[] = []
  for (let lag = shortestLag + 1; lag < longestLag; lag += 1) {
    const [left, peak, right] = [likeness[lag - 1] ?? 0, likeness[lag] ?? 0, likeness[lag + 1] ?? 0]
    if (peak < 0.3 || peak < left || peak <= right) continue
    const shift = (left - right) / (2 * (left - 2 * peak + right))
    const hertz = sampleRate / (lag + shift)
    if (hertz < lowestHz || hertz > highestHz) continue
    candidates.push({ hertz, likeness: peak - ((left - right) * shift) / 4 })
  }
  return candidates
}
