import assert from 'node:assert/strict'
import { test } from 'node:test'
import { encodedBy, id3ThenHtml, randomFrom, speechLike, tone, wav } from '../../../test/audio-fixtures.ts'
import { writeId3 } from './id3.ts'
import { encodeMp3 } from './mp3-encode.ts'
import { eachFrame, parseMp3 } from './mp3-frames.ts'
import { resample } from './resample.ts'

const spoken = (seconds: number) =>
  encodeMp3({ channels: [speechLike(seconds)], sampleRate: 44_100, bitrate: 128 })

test('counts frames, format and duration of a plain stream', async () => {
  const bytes = await spoken(3)
  const stream = parseMp3(bytes)
  assert.deepEqual(stream.format, { sampleRate: 44_100, channels: 1, bitrate: 128 })
  assert.equal(stream.samples, stream.frameCount * 1152)
  assert.ok(Math.abs(stream.durationSeconds - 3) < 0.1, String(stream.durationSeconds))
  assert.equal(stream.validShare, 1)
  assert.deepEqual(stream.headerFrames, [])
  const frames = [...eachFrame(bytes, stream)]
  assert.equal(
    frames.reduce((sum, frame) => sum + frame.length, 0),
    bytes.length,
  )
})

for (const [sampleRate, bitrate, samplesPerFrame] of [
  [48_000, 192, 1152],
  [22_050, 64, 576],
  [16_000, 48, 576],
  [8000, 8, 576],
] as const)
  test(`reads ${sampleRate} Hz at ${bitrate} kbit/s, two channels`, async () => {
    const channel = tone(2, { sampleRate })
    const stream = parseMp3(await encodeMp3({ channels: [channel, channel], sampleRate, bitrate }))
    assert.deepEqual(stream.format, { sampleRate, channels: 2, bitrate })
    assert.equal(stream.samples, stream.frameCount * samplesPerFrame)
    assert.equal(stream.validShare, 1)
  })

test('sets tags apart in front, between and behind', async () => {
  const sound = await spoken(1)
  const id3v2 = writeId3({ title: 'Ryś' })
  const id3v1 = Buffer.alloc(128)
  id3v1.write('TAG', 'latin1')
  const ape = Buffer.alloc(32)
  ape.write('APETAGEX', 'latin1')
  ape.writeUInt32LE(2000, 8)
  ape.writeUInt32LE(32, 12)
  const stream = parseMp3(Buffer.concat([id3v2, sound, id3v2, sound, ape, id3v1]))
  assert.deepEqual(
    stream.tags.map((tag) => tag.kind),
    ['id3v2', 'id3v2', 'ape', 'id3v1'],
  )
  assert.equal(stream.frameCount, 2 * parseMp3(sound).frameCount)
  assert.equal(stream.validShare, 1)
})

test('junk and text hold no frames', () => {
  const random = randomFrom(3)
  const noise = Uint8Array.from({ length: 300_000 }, () => Math.floor(random() * 256))
  for (const bytes of [
    new Uint8Array(),
    noise,
    id3ThenHtml(),
    Buffer.from([0xff, 0xfb]),
    new Uint8Array(5000).fill(0xff),
  ]) {
    const stream = parseMp3(bytes)
    assert.ok(stream.validShare < 0.05, String(stream.validShare))
    assert.ok(stream.frameCount < 20)
  }
})

test('the valid share tells how much is something else', async () => {
  const sound = await spoken(2)
  const stream = parseMp3(Buffer.concat([sound, Buffer.alloc(sound.length, '<p>nie dźwięk</p>')]))
  assert.ok(Math.abs(stream.validShare - 0.5) < 0.01, String(stream.validShare))
})

test('frames of a second format do not count', async () => {
  const sound = await spoken(3)
  const other = await encodeMp3({
    channels: [tone(0.5, { sampleRate: 22_050 })],
    sampleRate: 22_050,
    bitrate: 64,
  })
  const stream = parseMp3(Buffer.concat([sound, other]))
  assert.equal(stream.format?.sampleRate, 44_100)
  assert.equal(stream.frameCount, parseMp3(sound).frameCount)
  assert.ok(stream.validShare < 0.99)
})

test('recognizes the header frame and variable bitrate of LAME', (t) => {
  const vbr = encodedBy(wav([speechLike(5)]), 'mp3-vbr')
  if (vbr === null) return t.skip('needs ffmpeg')
  const stream = parseMp3(vbr)
  assert.equal(stream.headerFrames.length, 1)
  assert.equal(stream.format?.bitrate, null)
  assert.ok(Math.abs(stream.durationSeconds - 5) < 0.1)
  assert.equal(stream.validShare, 1)
})

test('25 MB take well under a second', async () => {
  const sound = await spoken(20)
  const bytes = Buffer.concat(Array.from({ length: Math.ceil(25e6 / sound.length) }, () => sound))
  const start = performance.now()
  const stream = parseMp3(bytes)
  const took = performance.now() - start
  assert.equal(stream.validShare, 1)
  // 10 to 40 ms on a quiet machine; the limit leaves room for a busy one.
  assert.ok(took < 600, `${took} ms`)
})

test('resampling keeps pitch and level and does not alias', () => {
  const rms = (samples: Float32Array): number =>
    Math.sqrt(samples.reduce((sum, value) => sum + value * value, 0) / samples.length)
  const low = resample(tone(1, { sampleRate: 48_000, frequency: 440 }), 48_000, 44_100)
  assert.equal(low.length, 44_100)
  const expected = tone(1, { sampleRate: 44_100, frequency: 440 })
  const difference = low.slice(200, -200).map((value, index) => value - (expected[index + 200] ?? 0))
  assert.ok(rms(difference) < 1e-4, String(rms(difference)))
  const above = resample(tone(1, { sampleRate: 44_100, frequency: 10_000 }), 44_100, 16_000)
  assert.ok(rms(above.slice(200, -200)) < 1e-4, String(rms(above)))
})
