import assert from 'node:assert/strict'
import { test } from 'node:test'
import { encodedBy, id3ThenHtml, tone, wav, type EncodedKind } from '../../../test/audio-fixtures.ts'
import { writeId3 } from './id3.ts'
import { encodeMp3 } from './mp3-encode.ts'
import { sniffAudio } from './sniff.ts'

const bytes = (text: string): Uint8Array => Buffer.from(text.padEnd(64, ' '), 'latin1')
const sound = await encodeMp3({ channels: [tone(1)], sampleRate: 44_100, bitrate: 128 })

test('knows WAV and MP3, bare and tagged, by content', () => {
  assert.equal(sniffAudio(wav([tone(0.1)])), 'wav')
  assert.equal(sniffAudio(sound), 'mp3')
  assert.equal(sniffAudio(Buffer.concat([writeId3({ title: 'x' }), sound])), 'mp3')
  assert.equal(sniffAudio(Buffer.concat([writeId3({ title: 'x' }), Buffer.alloc(500), sound])), 'mp3')
})

test('a tag longer than the head passes: only the decoder can tell', () => {
  const tagged = Buffer.concat([
    writeId3({ cover: { mimeType: 'image/jpeg', bytes: Buffer.alloc(99_000) } }),
    sound,
  ])
  assert.equal(sniffAudio(tagged.subarray(0, 8192)), 'mp3')
  assert.equal(sniffAudio(tagged), 'mp3')
})

const expected: [EncodedKind, string | null][] = [
  ['m4a', 'mp4'],
  ['m4a-fragmented', 'mp4'],
  ['webm', 'webm'],
  ['webm-live', 'webm'],
  ['ogg-opus', 'ogg'],
  ['ogg-vorbis', 'ogg'],
  ['mp3', 'mp3'],
  ['mp3-vbr', 'mp3'],
  ['flac', null],
]
for (const [kind, type] of expected)
  test(`${kind} is ${type ?? 'not accepted'}`, (t) => {
    const file = encodedBy(wav([tone(2)]), kind)
    if (file === null) return t.skip('needs ffmpeg')
    assert.equal(sniffAudio(file.subarray(0, 8192)), type)
  })

test('nothing else is sound', () => {
  for (const other of [
    new Uint8Array(),
    Buffer.from([0xff]),
    Buffer.from([0xff, 0xfb, 0x90, 0xc4]),
    id3ThenHtml(),
    Buffer.concat([sound.subarray(0, 4), bytes('<html>'.repeat(200))]),
    bytes('#EXTM3U\n#EXTINF:10,\nhttp://127.0.0.1/x.ts'),
    bytes('fLaC'),
    bytes('RIFF\x10\0\0\0AVI '),
    bytes('PK\x03\x04'),
    bytes('\0\0\0\x1cftypheic\0\0\0\0mif1heic'),
    bytes('\x1a\x45\xdf\xa3 no document type'),
  ])
    assert.equal(sniffAudio(other), null, Buffer.from(other).toString('latin1', 0, 20))
})
