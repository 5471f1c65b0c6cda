import { median, quantile, trackPitch } from './pitch-track.ts'
import { thinForAnalysis } from './sound.ts'
import { syllableRate } from './syllables.ts'

export interface VoiceAnalysis {
  /** Null when the recording holds no voice. */
  medianPitchHz: number | null
  /** Half the width of the middle 68 % of the pitches: the standard deviation, were they spread evenly. */
  pitchSpreadSemitones: number
  /** While speaking, without pauses; null when no syllables were found. */
  syllablesPerSecond: number | null
  /** Share of the time with voice, 0..1. */
  voicedShare: number
}

/** What the engine is set to. */
export interface VoiceParameters {
  timbre: 'male' | 'female'
  /** eSpeak pitch, 15..90. */
  pitch: number
  /** eSpeak pitch range, 30..80; its own default is 50. */
  range: number
  /** Words per minute, 110..180. */
  rate: number
}

const analysedSeconds = 60
const trackStepSeconds = 0.015

/** Measures a recording (mono, −1..1, any rate from 8 kHz); only the first minute is looked at. */
export const analyseVoice = (recording: Float32Array, recordingRate: number): VoiceAnalysis => {
  const head = recording.subarray(0, analysedSeconds * recordingRate)
  const { samples, sampleRate } = thinForAnalysis(head, recordingRate)
  const track = trackPitch(samples, sampleRate)
  const pitches = track.filter((hertz) => hertz !== null)
  const semitones = pitches.map((hertz) => 12 * Math.log2(hertz))
  const low = quantile(semitones, 0.16) ?? 0
  const high = quantile(semitones, 0.84) ?? 0
  return {
    medianPitchHz: median(pitches),
    pitchSpreadSemitones: (high - low) / 2,
    syllablesPerSecond: syllableRate(samples, sampleRate, (seconds) => {
      const index = Math.round(seconds / trackStepSeconds)
      // The window of a frame reaches 50 ms ahead, so the frames before may hold the voice of this moment.
      return track.slice(Math.max(0, index - 3), index + 2).some((hertz) => hertz !== null)
    }),
    voicedShare: track.length === 0 ? 0 : pitches.length / track.length,
  }
}

type Curve = readonly (readonly [from: number, to: number])[]

// Measured: what the two timbres sound at (hertz) for an eSpeak pitch, range 50.
const pitchCurves: Record<VoiceParameters['timbre'], Curve> = {
  male: [
    [79, 15],
    [88, 30],
    [105, 50],
    [128, 70],
    [158, 90],
  ],
  female: [
    [146, 15],
    [166, 30],
    [197, 50],
    [240, 70],
    [295, 90],
  ],
}
const timbreBorderHz = 160
const rangeCurve: Curve = [
  [0.5, 30],
  [2, 50],
  [5, 80],
]
// Measured with `syllableRate` on the engine's own speech.
const rateCurve: Curve = [
  [3.5, 110],
  [4.6, 145],
  [5.4, 180],
]
const neutral = { medianPitchHz: 190, syllablesPerSecond: 4.5 }

/**
 * Engine settings whose pitch and tempo come nearest to the recording's. The sounding pitch never falls when the
 * recording's rises: within a timbre by the eSpeak pitch, at 160 Hz by the change to the higher timbre. The rate
 * rises with the syllable rate, the range with the spread. What could not be measured is neutral.
 */
export const voiceParameters = (analysis: VoiceAnalysis): VoiceParameters => {
  const hertz = analysis.medianPitchHz ?? neutral.medianPitchHz
  const timbre = hertz < timbreBorderHz ? 'male' : 'female'
  return {
    timbre,
    pitch: Math.round(along(pitchCurves[timbre], hertz)),
    range: Math.round(along(rangeCurve, analysis.pitchSpreadSemitones)),
    rate: Math.round(along(rateCurve, analysis.syllablesPerSecond ?? neutral.syllablesPerSecond)),
  }
}

/** Straight lines between the points; the first and last value beyond them. */
const along = (curve: Curve, value: number): number => {
  let [before, result] = curve[0] ?? [0, 0]
  for (const [from, to] of curve) {
    if (value <= from) {
      const share = from === before ? 1 : Math.max(0, (value - before) / (from - before))
      return result + (to - result) * share
    }
    before = from
    result = to
  }
  return result
}
