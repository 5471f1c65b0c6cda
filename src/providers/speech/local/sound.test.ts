import assert from 'node:assert/strict'
import { test } from 'node:test'
import { doubleRate, levelGain, limitPeak, trimSilence } from './sound.ts'

const tone = (hertz: number, amplitude: number, length = 4096) =>
  Int16Array.from({ length }, (_, index) => amplitude * Math.sin((2 * Math.PI * hertz * index) / 22_050))

test('doubling the rate keeps tones and adds no image of them', () => {
  for (const hertz of [200, 2000, 8000, 9500]) {
    const doubled = doubleRate(tone(hertz, 16_000), 0, 4096, 1 / 32_768)
    let error = 0
    for (let index = 200; index < 7900; index += 1)
      error = Math.max(
        error,
        Math.abs((doubled[index] ?? 0) - 0.48828 * Math.sin((Math.PI * hertz * index) / 22_050)),
      )
    assert.ok(error < 0.002, `${hertz} Hz: ${error}`)
  }
})

test('blocks join without a seam', () => {
  const samples = tone(700, 9000)
  const whole = doubleRate(samples, 0, 4096, 1e-4)
  const joined = [...doubleRate(samples, 0, 1000, 1e-4), ...doubleRate(samples, 1000, 4096, 1e-4)]
  assert.deepEqual(joined, [...whole])
})

test('level, limit, trim', () => {
  assert.ok(Math.abs(levelGain(tone(441, 10_000)) * (10_000 / Math.SQRT2) - 0.1) < 0.001)
  assert.equal(levelGain(new Int16Array(10)), 0)
  assert.equal(limitPeak(0.5), 0.5)
  for (const loud of [0.7, 1, 50]) {
    assert.ok(limitPeak(loud) <= 0.8 && limitPeak(-loud) === -limitPeak(loud))
    assert.ok(limitPeak(loud) > limitPeak(0.6))
  }
  const { sound, cutInFront } = trimSilence(Int16Array.of(0, 100, 5000, -20, -6000, 90))
  assert.deepEqual([[...sound], cutInFront], [[5000, -20, -6000], 2])
})
