import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { syntheticVoice, type SyntheticVoice } from './synthetic-voice.ts'
import { analyseVoice, voiceParameters, type VoiceAnalysis } from './voice-analysis.ts'

const analyse = (voice: Omit<SyntheticVoice, 'seconds'> & { seconds?: number }, sampleRate = 44_100) =>
  analyseVoice(syntheticVoice({ seconds: 2, ...voice }, sampleRate), sampleRate)

suite('median pitch, error below 3 %', () => {
  const kinds: Record<string, Partial<SyntheticVoice>> = {
    plain: {},
    'in noise': { noise: 0.25 },
    'missing fundamental': { harmonics: [0, 0.8, 0.7, 0.5, 0.3], noise: 0.05 },
    'weak fundamental, strong octave': { harmonics: [0.2, 1, 0.15, 0.6, 0.1], noise: 0.02 },
    'only the second harmonic is weak': { harmonics: [1, 0.05, 0.6, 0.05, 0.3], noise: 0.05 },
    'in syllables, moving': { syllablesPerSecond: 4, vibratoSemitones: 1.5 },
  }
  for (const [kind, voice] of Object.entries(kinds))
    for (const hertz of [90, 120, 180, 240, 300])
      test(`${kind}, ${hertz} Hz`, () => {
        const { medianPitchHz } = analyse({ hertz, ...voice })
        assert.ok(medianPitchHz !== null && Math.abs(medianPitchHz / hertz - 1) < 0.03, `${medianPitchHz} Hz`)
      })
  test('at other sample rates', () => {
    for (const sampleRate of [8000, 16_000, 22_050, 48_000]) {
      const { medianPitchHz } = analyse({ hertz: 210 }, sampleRate)
      assert.ok(
        medianPitchHz !== null && Math.abs(medianPitchHz / 210 - 1) < 0.03,
        `${sampleRate}: ${medianPitchHz}`,
      )
    }
  })
})

test('the spread follows the movement of the pitch', () => {
  const still = analyse({ hertz: 180 })
  const lively = analyse({ hertz: 180, vibratoSemitones: 3 })
  assert.ok(still.pitchSpreadSemitones < 0.2)
  assert.ok(
    lively.pitchSpreadSemitones > 1.8 && lively.pitchSpreadSemitones < 3.2,
    String(lively.pitchSpreadSemitones),
  )
})

test('syllables are counted', () => {
  for (const syllablesPerSecond of [2.5, 4, 5, 6.5]) {
    const counted = analyse({ hertz: 140, syllablesPerSecond, seconds: 6 }).syllablesPerSecond
    assert.ok(
      counted !== null && Math.abs(counted / syllablesPerSecond - 1) < 0.1,
      `${syllablesPerSecond}: ${counted}`,
    )
  }
})

test('pauses do not make a speaker slow', () => {
  const sampleRate = 22_050
  const phrase = syntheticVoice({ hertz: 140, seconds: 2, syllablesPerSecond: 5 }, sampleRate)
  const paused = new Float32Array(4 * 3 * sampleRate)
  for (let index = 0; index < 4; index += 1) paused.set(phrase, index * 3 * sampleRate)
  const { syllablesPerSecond, voicedShare } = analyseVoice(paused, sampleRate)
  assert.ok(
    syllablesPerSecond !== null && Math.abs(syllablesPerSecond / 5 - 1) < 0.12,
    String(syllablesPerSecond),
  )
  assert.ok(voicedShare > 0.5 && voicedShare < 0.75, String(voicedShare))
})

test('noise and silence have no pitch, and give a neutral voice', () => {
  for (const samples of [
    new Float32Array(44_100),
    new Float32Array(0),
    syntheticVoice({ hertz: 100, seconds: 2, harmonics: [1e-6], noise: 1e5 }, 44_100),
  ]) {
    const analysis = analyseVoice(samples, 44_100)
    assert.ok(analysis.voicedShare < 0.05, String(analysis.voicedShare))
    if (analysis.medianPitchHz !== null) continue
    const { pitch, range, rate } = voiceParameters(analysis)
    assert.ok(pitch >= 15 && pitch <= 90 && range >= 30 && range <= 80 && rate >= 110 && rate <= 180)
  }
})

test('engine settings rise with what was measured and stay in range', () => {
  const base: VoiceAnalysis = {
    medianPitchHz: 150,
    pitchSpreadSemitones: 2,
    syllablesPerSecond: 4.5,
    voicedShare: 0.7,
  }
  let before = { timbre: 0, pitch: 0 }
  for (let hertz = 70; hertz <= 400; hertz += 1) {
    const { timbre, pitch } = voiceParameters({ ...base, medianPitchHz: hertz })
    const now = { timbre: timbre === 'male' ? 0 : 1, pitch }
    assert.ok(pitch >= 15 && pitch <= 90)
    assert.ok(
      now.timbre > before.timbre || (now.timbre === before.timbre && now.pitch >= before.pitch),
      `${hertz} Hz`,
    )
    before = now
  }
  assert.deepEqual(before, { timbre: 1, pitch: 90 })
  const rates = [1, 3, 4, 5, 6, 9].map((rate) => voiceParameters({ ...base, syllablesPerSecond: rate }).rate)
  assert.deepEqual(
    rates,
    rates.toSorted((a, b) => a - b),
  )
  assert.deepEqual([rates[0], rates.at(-1)], [110, 180])
  const ranges = [0, 1, 2, 4, 9].map(
    (spread) => voiceParameters({ ...base, pitchSpreadSemitones: spread }).range,
  )
  assert.deepEqual(
    ranges,
    ranges.toSorted((a, b) => a - b),
  )
})
