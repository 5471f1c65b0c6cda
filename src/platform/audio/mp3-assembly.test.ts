import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import decode from 'audio-decode'
import { parseBuffer } from 'music-metadata'
import sharp from 'sharp'
import { decodedByFfmpeg, encodedBy, speechLike, tone, wav } from '../../../test/audio-fixtures.ts'
import { writeId3 } from './id3.ts'
import { assembleMp3 } from './mp3-assembly.ts'
import { encodeMp3 } from './mp3-encode.ts'
import { parseMp3 } from './mp3-frames.ts'

const jpeg = await sharp({ create: { width: 8, height: 8, channels: 3, background: 'navy' } })
  .jpeg()
  .toBuffer()

const tags = {
  title: 'Zażółć gęślą jaźń 🦊',
  artist: 'Julian Tuwim',
  album: 'Bajki',
  language: 'pol',
  comment: 'uwaga / note',
  userText: { FIRST: 'jeden', SECOND: 'http://example.org/two' },
  cover: { mimeType: 'image/jpeg', bytes: jpeg },
}

const part = async (
  seconds: number,
  gapAfterSeconds = 0,
  seed = 1,
  bitrate: 128 | 64 = 128,
  sampleRate = 44_100,
) => ({
  audio: await encodeMp3({ channels: [speechLike(seconds, { seed, sampleRate })], sampleRate, bitrate }),
  gapAfterSeconds,
})

const rmsBetween = (samples: Float32Array, from: number, to: number): number => {
  const slice = samples.subarray(Math.round(from * 44_100), Math.round(to * 44_100))
  return Math.sqrt(slice.reduce((sum, value) => sum + value * value, 0) / slice.length)
}

suite('joining', () => {
  test('keeps every frame, adds gaps and tells where parts begin', async () => {
    const parts = [await part(2, 0.35), await part(3, 0, 2), await part(1.5, 0.35, 3)]
    const frames = parts.map(({ audio }) => parseMp3(audio).frameCount)
    const file = await assembleMp3({ parts, tags })
    const stream = parseMp3(file.bytes)
    const gap = Math.round(0.35 / (1152 / 44_100))
    assert.equal(stream.frameCount, frames.reduce((sum, count) => sum + count) + 2 * gap)
    assert.equal(stream.validShare, 1)
    assert.equal(stream.headerFrames.length, 1)
    assert.deepEqual(stream.tags.length, 1)
    assert.equal(file.durationSeconds, stream.durationSeconds)
    const seconds = (count: number): number => count * (1152 / 44_100)
    assert.deepEqual(file.partStarts, [0, seconds(frames[0]! + gap), seconds(frames[0]! + gap + frames[1]!)])
  })

  test('the header frame holds frame count, byte count and a rising seek table', async () => {
    const { bytes } = await assembleMp3({ parts: [await part(4), await part(4, 0, 2)], tags })
    const stream = parseMp3(bytes)
    const header = stream.headerFrames[0]!
    const view = new DataView(bytes.buffer, bytes.byteOffset + header.offset, header.length)
    assert.equal(Buffer.from(bytes).toString('latin1', header.offset + 21, header.offset + 25), 'Info')
    assert.equal(view.getUint32(29), stream.frameCount)
    assert.equal(view.getUint32(33), bytes.length - header.offset)
    const table = [...bytes.subarray(header.offset + 37, header.offset + 137)]
    assert.deepEqual(
      table,
      table.toSorted((a, b) => a - b),
    )
    assert.ok(Math.abs(table[50]! - 128) <= 2)
  })

  test('parts are audible, gaps are silent', async () => {
    const voice = async (gapAfterSeconds: number) => ({
      audio: await encodeMp3({ channels: [tone(1)], sampleRate: 44_100, bitrate: 128 as const }),
      gapAfterSeconds,
    })
    const file = await assembleMp3({ parts: [await voice(0.5), await voice(0)], tags: {} })
    const { channelData } = await decode(file.bytes)
    const sound = channelData[0]!
    const second = file.partStarts[1]!
    assert.ok(Math.abs(sound.length / 44_100 - file.durationSeconds) < 0.1)
    assert.ok(rmsBetween(sound, 0.2, 0.9) > 0.1)
    assert.ok(rmsBetween(sound, second - 0.35, second - 0.1) < 0.001)
    assert.ok(rmsBetween(sound, second + 0.2, second + 0.9) > 0.1)
  })

  test('ffmpeg decodes the whole without a complaint and finds the same length', async (t) => {
    const parts = [await part(2, 0.35), await part(3, 0, 2), await part(1.5, 0, 3)]
    const file = await assembleMp3({ parts, tags: { title: 'x' } })
    const decoded = decodedByFfmpeg(file.bytes)
    if (decoded === null) return t.skip('needs ffmpeg')
    assert.equal(decoded.errors, '')
    assert.ok(
      Math.abs(decoded.seconds - file.durationSeconds) < 0.1,
      `${decoded.seconds} ${file.durationSeconds}`,
    )
  })

  test('header frames and tags of the parts are dropped', async (t) => {
    const encoded = encodedBy(wav([speechLike(3)]), 'mp3')
    if (encoded === null) return t.skip('needs ffmpeg')
    const file = await assembleMp3({
      parts: [1, 2].map(() => ({ audio: encoded, gapAfterSeconds: 0.35 })),
      tags,
    })
    const stream = parseMp3(file.bytes)
    assert.equal(stream.headerFrames.length, 1)
    assert.equal(stream.tags.length, 1)
    assert.equal(decodedByFfmpeg(file.bytes)?.errors, '')
  })

  test('a part cut from a longer stream does not play the end of the part before', async () => {
    const whole = await part(3)
    const offsets = parseMp3(whole.audio).frameOffsets
    const middle = whole.audio.subarray(offsets[20], offsets[60])
    const before = new Uint8Array(middle)
    const file = await assembleMp3({
      parts: [await part(1), { audio: middle, gapAfterSeconds: 0 }],
      tags: {},
    })
    assert.deepEqual(new Uint8Array(middle), before, 'the input stays as it was')
    assert.equal(parseMp3(file.bytes).validShare, 1)
    const decoded = decodedByFfmpeg(file.bytes)
    if (decoded !== null) assert.equal(decoded.errors, '')
    const { channelData } = await decode(file.bytes)
    assert.ok(Math.abs(channelData[0]!.length / 44_100 - file.durationSeconds) < 0.1)
  })

  test('parts of differing formats become one mono 128 kbit/s stream', async () => {
    const parts = [await part(2, 0.35), await part(2, 0, 2, 64, 22_050), await part(1, 0, 3, 64)]
    const file = await assembleMp3({ parts, tags })
    const stream = parseMp3(file.bytes)
    assert.deepEqual(stream.format, { sampleRate: 44_100, channels: 1, bitrate: 128 })
    assert.equal(stream.validShare, 1)
    assert.ok(Math.abs(stream.durationSeconds - 5.35) < 0.4, String(stream.durationSeconds))
    const decoded = decodedByFfmpeg(file.bytes)
    if (decoded !== null) assert.equal(decoded.errors, '')
  })

  test('variable bitrate is announced as Xing', async (t) => {
    const vbr = encodedBy(wav([speechLike(3)]), 'mp3-vbr')
    if (vbr === null) return t.skip('needs ffmpeg')
    const file = await assembleMp3({ parts: [{ audio: vbr, gapAfterSeconds: 0 }], tags: {} })
    const header = parseMp3(file.bytes).headerFrames[0]!
    assert.match(Buffer.from(file.bytes).toString('latin1', header.offset, header.offset + 40), /Xing/)
    assert.equal(decodedByFfmpeg(file.bytes)?.errors, '')
  })

  test('no part, or a part without sound, is a bug of the caller', async () => {
    await assert.rejects(assembleMp3({ parts: [], tags }), /at least one part/)
    await assert.rejects(
      assembleMp3({ parts: [{ audio: Buffer.from('x'), gapAfterSeconds: 0 }], tags }),
      /no MP3 frames/,
    )
  })
})

test('a player reads the tag back', async () => {
  const file = await assembleMp3({ parts: [await part(2)], tags })
  const { common, format, native } = await parseBuffer(file.bytes, 'audio/mpeg', { duration: true })
  assert.equal(common.title, tags.title)
  assert.equal(common.artist, tags.artist)
  assert.equal(common.album, tags.album)
  assert.equal(common.language, 'pol')
  assert.deepEqual(
    common.comment?.map(({ language, text }) => [language, text]),
    [['pol', 'uwaga / note']],
  )
  assert.equal(common.picture?.[0]?.format, 'image/jpeg')
  assert.deepEqual(Buffer.from(common.picture?.[0]?.data ?? []), tags.cover.bytes)
  const frames = Object.fromEntries(native['ID3v2.4']!.map(({ id, value }) => [id, value]))
  assert.equal(frames['TXXX:FIRST'], 'jeden')
  assert.equal(frames['TXXX:SECOND'], 'http://example.org/two')
  assert.equal(Number(frames['TLEN']), Math.round(file.durationSeconds * 1000))
  assert.ok(Math.abs(format.duration! - file.durationSeconds) < 0.1)
})

test('left-out values write no frame', () => {
  assert.deepEqual(writeId3({}), Buffer.from([0x49, 0x44, 0x33, 4, 0, 0, 0, 0, 0, 0]))
})
