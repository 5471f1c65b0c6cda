import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { after, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { speechProviderContract } from '../contract.ts'
import { SpeechError, type SpokenAudio } from '../speech.ts'
import { createLocalSpeech } from './local-speech.ts'
import { decodeRecording } from './recording.ts'
import { syntheticVoice, type SyntheticVoice, wavFile } from './synthetic-voice.ts'
import { analyseVoice } from './voice-analysis.ts'

const recordingOf = (voice: Omit<SyntheticVoice, 'seconds'>): Uint8Array =>
  wavFile(syntheticVoice({ seconds: 8, syllablesPerSecond: 4.5, ...voice }, 22_050), 22_050)

speechProviderContract('local', async () => {
  const provider = createLocalSpeech({ concurrency: 1 })
  return {
    provider,
    sample: recordingOf({ hertz: 180 }),
    sampleType: 'audio/wav',
    goneExternalId: 'a-voice-of-another-provider',
    remembersVoices: false,
    interrupt: () => {
      for (const id of provider.processIds()) process.kill(id, 'SIGKILL')
    },
    close: () => provider.close(),
  }
})

const story =
  'Dawno temu w małej chatce pod lasem mieszkała babcia z wnuczką. Każdego wieczoru patrzyły na gwiazdy!\n\n' +
  'Pewnej nocy do okna zapukała sowa. „Nie mogę zasnąć” – powiedziała cicho. Babcia zagrzała jej mleka.'

const provider = createLocalSpeech()
after(() => provider.close())
const { signal } = new AbortController()

const speak = (externalId: string, text = story) =>
  provider.speak({ externalId, text, before: '', after: '' }, signal)
const cloneOf = async (sample: Uint8Array, name = 'dt-7-12') =>
  (await provider.clone({ name, sample, sampleType: 'audio/wav', language: 'pl' }, signal)).externalId
const decode = async ({ audio }: SpokenAudio) => {
  const sound = await decodeRecording(audio)
  assert.ok(sound)
  return sound
}
const kindOf = async (call: Promise<unknown>) => {
  const error = await call.catch((reason: unknown) => reason)
  assert.ok(error instanceof SpeechError, String(error))
  return error.kind
}

test('a higher recording gives a higher voice, near the recording’s pitch', async () => {
  const heard: number[] = []
  for (const hertz of [110, 220]) {
    const sound = await decode(await speak(await cloneOf(recordingOf({ hertz }))))
    const { medianPitchHz } = analyseVoice(sound.samples, sound.sampleRate)
    assert.ok(
      medianPitchHz !== null && Math.abs(medianPitchHz / hertz - 1) < 0.12,
      `${hertz} → ${medianPitchHz}`,
    )
    heard.push(medianPitchHz)
  }
  const [low = 0, high = 0] = heard
  assert.ok(high / low > 1.4)
})

test('a faster recording gives faster speech', async () => {
  const seconds: number[] = []
  for (const syllablesPerSecond of [3, 4.5, 6]) {
    const { samples, sampleRate } = await decode(
      await speak(await cloneOf(recordingOf({ hertz: 150, syllablesPerSecond }))),
    )
    seconds.push(samples.length / sampleRate)
  }
  const [slow = 0, middle = 0, fast = 0] = seconds
  assert.ok(slow > middle * 1.08 && middle > fast * 1.08, String(seconds))
})

test('a clone can be made from an MP3, and another process can speak with it', async () => {
  const { audio } = await speak(await cloneOf(recordingOf({ hertz: 110 })))
  const externalId = await cloneOf(audio, 'DawnoTemu_7-12')
  assert.match(externalId, /^local-dawnotemu-7-12-m-p\d{2}r\d{2}w\d{3}$/)
  const other = createLocalSpeech({ concurrency: 1 })
  try {
    const request = { externalId, text: 'Dobranoc.', before: '', after: '' }
    assert.ok((await other.speak(request, signal)).audio.length > 2048)
  } finally {
    await other.close()
  }
})

test('the sound is even, unclipped, and as long as such a text takes', async () => {
  const { samples, sampleRate } = await decode(await speak('local-x-f-p50r50w145'))
  const letters = Array.from(story).length / (samples.length / sampleRate)
  assert.ok(letters > 9 && letters < 18, `${letters} letters per second`)
  let [energy, peak] = [0, 0]
  for (const sample of samples) {
    energy += sample * sample
    peak = Math.max(peak, Math.abs(sample))
  }
  const mean = 10 * Math.log10(energy / samples.length)
  assert.ok(mean > -22 && mean < -18, `${mean} dBFS`)
  assert.ok(peak < 10 ** (-1 / 20), `peak ${peak}`)
  const frame = Math.round(sampleRate / 50)
  let silent = 0
  let frames = 0
  for (let start = 0; start + frame <= samples.length; start += frame) {
    frames += 1
    if (samples.subarray(start, start + frame).every((sample) => Math.abs(sample) < 0.01)) silent += 1
  }
  assert.ok(silent / frames > 0.05 && silent / frames < 0.35, `${silent / frames} silent`)
})

test('the file starts with a plain frame and FFmpeg reads it at the same level', async (t) => {
  const { audio } = await speak('local-x-m-p50r50w145')
  assert.equal(audio[0], 0xff)
  assert.equal(Buffer.from(audio.subarray(0, 1000)).includes('Info'), false)
  assert.equal(Buffer.from(audio.subarray(0, 1000)).includes('Xing'), false)
  const run = spawnSync('ffmpeg', ['-hide_banner', '-i', '-', '-af', 'volumedetect', '-f', 'null', '-'], {
    input: audio,
    encoding: 'utf8',
  })
  if (run.error) return t.skip('needs ffmpeg')
  const figure = (name: string) => Number(new RegExp(`${name}_volume: (-?[\\d.]+) dB`).exec(run.stderr)?.[1])
  assert.ok(figure('mean') > -26 && figure('mean') < -14)
  assert.ok(figure('max') < -1)
})

test('every word has its time, and pauses lie between sentences and paragraphs', async () => {
  const { timings } = await speak('local-x-f-p40r50w145')
  assert.ok(timings)
  const points = Array.from(story)
  const words = timings.map(({ textStart, textEnd }) => points.slice(textStart, textEnd).join(''))
  assert.deepEqual(words, story.match(/\p{L}+/gu))
  const pauseBefore = (word: string) => {
    const index = words.indexOf(word)
    return (timings[index]?.startSeconds ?? 0) - (timings[index - 1]?.endSeconds ?? 0)
  }
  assert.ok(Math.abs(pauseBefore('Każdego') - 0.35) < 0.1, String(pauseBefore('Każdego')))
  assert.ok(Math.abs(pauseBefore('Pewnej') - 0.65) < 0.1, String(pauseBefore('Pewnej')))
})

test('the sound is where the timings say, to a hundredth of a second', async () => {
  const spoken = await speak('local-x-f-p40r50w145', 'Była noc.\nOto ona.')
  const { samples, sampleRate } = await decode(spoken)
  const start = spoken.timings?.[2]?.startSeconds ?? 0
  const peakIn = (from: number, to: number) =>
    samples
      .subarray(Math.round(from * sampleRate), Math.round(to * sampleRate))
      .reduce((peak, sample) => Math.max(peak, Math.abs(sample)), 0)
  assert.ok(peakIn(start - 0.6, start - 0.01) < 0.01)
  assert.ok(peakIn(start, start + 0.01) > 0.03)
})

test('what cannot be spoken is refused by kind', async () => {
  const voice = 'local-x-f-p50r50w145'
  assert.equal(await kindOf(speak(voice, '')), 'rejected')
  assert.equal(await kindOf(speak(voice, ' \n *** 🐻 — ')), 'rejected')
  assert.equal(await kindOf(speak(voice, 'a'.repeat(5001))), 'too_long')
  for (const id of ['local-x-f-p99r50w145', 'local-x-f-p50r50w145 ', 'local--p50', 'abc', ''])
    assert.equal(await kindOf(speak(id)), 'voice_gone', id)
  assert.equal(await kindOf(cloneOf(Buffer.from('<html>this is no recording at all</html>'))), 'rejected')
})

test('odd texts do not break the speech process or the order of the words', async () => {
  const odd = [
    '12345678901234567890 1/2 3,5 -7',
    '你好 привет hello',
    '\u0000 \ud800 x\u0301\u0302y 🐻',
    'a.b.c d-e http://a.b [[x]] <speak>&amp;',
    'Raz\r\n\r\n(((dwa)))\u2028…trzy',
    'ąć'.repeat(150),
  ]
  for (const text of odd) {
    const { timings, audio } = await speak('local-x-m-p50r50w180', text)
    assert.ok(timings && timings.length > 0)
    let [time, place] = [0, 0]
    for (const { startSeconds, endSeconds, textStart, textEnd } of timings) {
      assert.ok(
        startSeconds >= time && endSeconds >= startSeconds && textStart >= place && textEnd > textStart,
        text,
      )
      ;[time, place] = [endSeconds, textEnd]
    }
    assert.ok(time < (audio.length * 8) / 128_000 && place <= Array.from(text).length, text)
  }
})

test('calls are counted, code points are billed, and the model names the installed engine', async () => {
  const calls: string[] = []
  const counted = createLocalSpeech({ onCall: (op) => calls.push(op) })
  try {
    const request = { externalId: 'local-x-f-p50r50w145', text: 'Miś 🐻 śpi.', before: '', after: '' }
    assert.equal((await counted.speak(request, signal)).billedCharacters, 10)
    await counted.remove(request, signal)
    assert.deepEqual(calls, ['speak', 'remove'])
  } finally {
    await counted.close()
  }
  const manifest = new URL('package.json', import.meta.resolve('@echogarden/espeak-ng-emscripten'))
  const installed: unknown = JSON.parse(readFileSync(manifest, 'utf8'))
  assert.ok(typeof installed === 'object' && installed !== null && 'version' in installed)
  assert.ok(provider.model.endsWith(`-wasm-${String(installed.version)}`))
})

test('processes are started when needed, never more than allowed, and end when idle or closed', async () => {
  const speech = createLocalSpeech({ concurrency: 2, idleMs: 200 })
  assert.deepEqual(speech.processIds(), [])
  const request = { externalId: 'local-x-f-p50r50w145', text: 'Dobranoc.', before: '', after: '' }
  const speaking = Promise.all([1, 2, 3, 4].map(() => speech.speak(request, signal)))
  assert.equal(speech.processIds().length, 2)
  await speaking
  const ids = speech.processIds()
  await delay(700)
  assert.deepEqual(speech.processIds(), [])
  for (const id of ids) assert.throws(() => process.kill(id, 0), { code: 'ESRCH' })
  await speech.close()
  assert.equal(await kindOf(speech.speak(request, signal)), 'transient')
})

test('closing refuses running and waiting calls', async () => {
  const speech = createLocalSpeech({ concurrency: 1 })
  const request = { externalId: 'local-x-f-p50r50w145', text: story, before: '', after: '' }
  const kinds = Promise.all([1, 2, 3].map(() => kindOf(speech.speak(request, signal))))
  await speech.close()
  assert.deepEqual(await kinds, ['transient', 'transient', 'transient'])
})
