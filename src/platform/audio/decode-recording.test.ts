import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import * as fixtures from '../../../test/audio-fixtures.ts'
import { encodedBy, silence, speechLike, tone, wav } from '../../../test/audio-fixtures.ts'
import { decodeRecording } from './decode-recording.ts'
import { encodeMp3 } from './mp3-encode.ts'

const decoded = (bytes: Uint8Array, maxAudioSeconds = 601) =>
  decodeRecording({ bytes, maxAudioSeconds, wantSamples: null }).then(({ recording }) => recording)

const near = (value: number, expected: number, tolerance: number): void =>
  assert.ok(Math.abs(value - expected) <= tolerance, `${value} is not ${expected} ± ${tolerance}`)

suite('measures', () => {
  for (const format of ['pcm8', 'pcm16', 'pcm24', 'pcm32', 'float32'] as const)
    test(`a tone in ${format}`, async () => {
      const measured = await decoded(wav([tone(4), tone(4)], { format }))
      assert.equal(measured.type, 'wav')
      assert.equal(measured.durationSeconds, 4)
      assert.equal(measured.channels, 2)
      assert.equal(measured.sampleRate, 44_100)
      near(measured.rmsDbfs, 20 * Math.log10(0.2 / Math.SQRT2), 0.1)
      near(measured.peakDbfs, 20 * Math.log10(0.2), 0.2)
      near(measured.voicedSeconds, 4, 0.06)
      assert.equal(measured.clippedShare, 0)
    })

  test('silence is not voiced, a whisper below −50 dBFS neither', async () => {
    assert.equal((await decoded(wav([silence(4)]))).voicedSeconds, 0)
    assert.equal((await decoded(wav([tone(4, { amplitude: 0.003 })]))).voicedSeconds, 0)
    near((await decoded(wav([tone(4, { amplitude: 0.006 })]))).voicedSeconds, 4, 0.06)
  })

  test('pauses show in the noise floor, not in the level', async () => {
    const half = new Float32Array(44_100 * 4)
    half.set(tone(2))
    const measured = await decoded(wav([half]))
    near(measured.rmsDbfs, -17, 0.2)
    near(measured.voicedSeconds, 2, 0.06)
    assert.equal(measured.noiseFloorDbfs, -100)
  })

  test('clipping is counted', async () => {
    const { clippedShare } = await decoded(wav([tone(3, { amplitude: 2 })]))
    near(clippedShare, 2 / 3, 0.02)
  })

  test('opposite channels do not cancel out', async () => {
    near((await decoded(wav([tone(3), tone(3, { amplitude: -0.2 })]))).voicedSeconds, 3, 0.06)
  })

  test('gives the beginning as one channel at the wanted rate', async () => {
    const bytes = wav([tone(5), tone(5)], { sampleRate: 44_100 })
    const wantSamples = { sampleRate: 22_050, maxSeconds: 2 }
    const { samples, recording } = await decodeRecording({ bytes, maxAudioSeconds: 601, wantSamples })
    assert.equal(recording.durationSeconds, 5)
    assert.equal(samples?.length, 44_100)
    near(Math.max(...samples), 0.2, 0.01)
  })

  test('stops at the limit', async () => {
    assert.equal((await decoded(wav([tone(4)]), 3)).durationSeconds, 3)
  })
})

suite('types', () => {
  test('mono MP3', async () => {
    const measured = await decoded(
      await encodeMp3({ channels: [speechLike(4)], sampleRate: 44_100, bitrate: 128 }),
    )
    assert.equal(measured.type, 'mp3')
    assert.equal(measured.channels, 1)
    near(measured.durationSeconds, 4, 0.1)
  })

  for (const kind of [
    'm4a',
    'm4a-fragmented',
    'm4a-faststart',
    'webm',
    'webm-live',
    'ogg-opus',
    'ogg-vorbis',
    'mp3',
    'mp3-vbr',
  ] as const)
    for (const channels of [1, 2])
      test(`${kind} with ${channels} channels`, async (t) => {
        const source =
          channels === 1 ? [speechLike(6)] : [speechLike(6), speechLike(6, { seed: 2, pitch: 200 })]
        const file = encodedBy(wav(source), kind)
        if (file === null) return t.skip('needs ffmpeg')
        const [measured, original] = [await decoded(file), await decoded(wav(source))]
        near(measured.durationSeconds, 6, 0.1)
        assert.equal(measured.channels, channels)
        near(measured.rmsDbfs, original.rmsDbfs, 1)
        near(measured.voicedSeconds, original.voicedSeconds, 0.4)
      })

  for (const kind of ['m4a-flac', 'ogg-flac', 'flac'] as const)
    test(`${kind} is refused`, async (t) => {
      const file = encodedBy(wav([tone(4)]), kind)
      if (file === null) return t.skip('needs ffmpeg')
      await assert.rejects(decoded(file))
    })
})

suite('refuses', () => {
  const whole = wav([speechLike(4)])
  for (const [name, bytes] of [
    ['nothing', new Uint8Array()],
    ['one byte', Buffer.from('R')],
    ['200 channels', fixtures.wavOf200Channels()],
    ['no channels', wav([])],
    ['NaN', fixtures.wavWithNaN()],
    ['a header that claims 2 GB', fixtures.wavClaiming2GB()],
    ['a cut WAV', fixtures.cut(whole, 0.5)],
    ['a WAV header alone', whole.subarray(0, 44)],
    ['a WAV with a ZIP behind it', Buffer.concat([whole, Buffer.from('PK\x03\x04 and so on')])],
    ['a tag and HTML', fixtures.id3ThenHtml()],
    ['a sample rate of 1 Hz', wav([tone(1)], { sampleRate: 1 })],
  ] as const)
    test(name, () => assert.rejects(decoded(bytes)))

  test('an MP3 that is mostly something else', async () => {
    const sound = await encodeMp3({ channels: [speechLike(4)], sampleRate: 44_100, bitrate: 128 })
    await assert.rejects(decoded(Buffer.concat([sound, Buffer.alloc(sound.length, '<script>')])))
  })

  for (const kind of ['m4a', 'm4a-fragmented', 'm4a-faststart', 'webm', 'ogg-opus', 'ogg-vorbis'] as const)
    test(`a cut or extended ${kind}`, async (t) => {
      const file = encodedBy(wav([speechLike(6)]), kind)
      if (file === null) return t.skip('needs ffmpeg')
      await assert.rejects(decoded(fixtures.cut(file, 0.6)))
      await assert.rejects(decoded(fixtures.cut(file, 0.03)))
      await assert.rejects(
        decoded(Buffer.concat([file, Buffer.from('PK\x03\x04 a ZIP follows the recording')])),
      )
    })

  test('accepts a WAV written to a pipe, whose sizes are unknown', async () => {
    const piped = Buffer.from(wav([tone(4)], { claimedDataBytes: 0xffffffff }))
    assert.equal((await decoded(piped)).durationSeconds, 4)
  })
})

test('no mutation of a recording does more than make it unreadable', async (t) => {
  // mpg123 and the Vorbis decoder complain on the console; in the sandbox nobody reads that.
  for (const name of ['error', 'warn', 'log'] as const) t.mock.method(console, name, () => {})
  const source = wav([speechLike(3.5, { sampleRate: 16_000 })], { sampleRate: 16_000 })
  const files = [
    source,
    await encodeMp3({ channels: [speechLike(3.5)], sampleRate: 44_100, bitrate: 64 }),
    ...(['m4a', 'm4a-fragmented', 'webm', 'ogg-opus', 'ogg-vorbis'] as const).map((kind) =>
      encodedBy(source, kind),
    ),
  ].filter((file) => file !== null)
  const random = fixtures.randomFrom(42)
  const outcomes = { read: 0, refused: 0 }
  for (let round = 0; round < 210; round++) {
    const original = files[round % files.length]!
    const mutated = new Uint8Array(original)
    const isHeader = round % 2 === 0
    for (let count = 1 + Math.floor(random() * 20); count > 0; count--) {
      const place = Math.floor(random() * (isHeader ? Math.min(600, mutated.length) : mutated.length))
      mutated[place] = random() < 0.3 ? 0xff : Math.floor(random() * 256)
    }
    const bytes = random() < 0.2 ? mutated.subarray(0, Math.floor(random() * mutated.length)) : mutated
    try {
      const measured = await decoded(bytes, 30)
      for (const [key, value] of Object.entries(measured))
        assert.ok(key === 'type' || Number.isFinite(value), `${key} of round ${round} is ${value}`)
      assert.ok(measured.durationSeconds <= 30.001)
      outcomes.read++
    } catch (error) {
      if (error instanceof assert.AssertionError) throw error
      outcomes.refused++
    }
  }
  t.diagnostic(JSON.stringify(outcomes))
  assert.equal(outcomes.read + outcomes.refused, 210)
  assert.ok(outcomes.read > 10 && outcomes.refused > 10)
})
