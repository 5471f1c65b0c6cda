import assert from 'node:assert/strict'
import * as runner from 'node:test'
import { SpeechError, type SpeechProvider } from './speech.ts'

/** An adapter with no voices, over a stub or a real engine. */
export interface SpeechUnderTest {
  provider: SpeechProvider
  /** A recording that can be cloned. */
  sample: Uint8Array
  sampleType: string
  /** An id for which the provider says that there is no such voice. */
  goneExternalId: string
  /** False: voices are not kept by the provider, so nothing can be found, listed or removed. */
  remembersVoices: boolean
  /** Breaks the call that has just been started, as a fault of the network or the engine would. */
  interrupt(): Promise<void> | void
  close(): Promise<void>
}

const test = (name: string, run: () => Promise<void>): void => void runner.test(name, run)

const story = '„Dobranoc” – powiedział miś 🐻. Mała Zosia zasnęła, a za oknem świecił księżyc.'
const longStory = 'Za siedmioma górami stał domek, a w domku mieszkał stary zegar. '.repeat(40)

/** Frames of MPEG 1 layer III from the first sync on, as long as they follow each other without a gap. */
const readFrames = (audio: Uint8Array) => {
  const bitrates = [0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320]
  let offset = 0
  if (audio[0] === 0x49 && audio[1] === 0x44 && audio[2] === 0x33)
    offset = 10 + audio.subarray(6, 10).reduce((size, byte) => size * 128 + byte, 0)
  let frames = 0
  let framed = 0
  let first: { sampleRate: number; channels: number; bitrate: number } | null = null
  while (offset + 4 <= audio.length) {
    const [sync, version, rates, mode] = audio.subarray(offset, offset + 4)
    if (sync !== 0xff || ((version ?? 0) & 0xfe) !== 0xfa) break
    const bitrate = bitrates[(rates ?? 0) >> 4] ?? 0
    const sampleRate = [44_100, 48_000, 32_000][((rates ?? 0) >> 2) & 3] ?? 0
    if (bitrate === 0 || sampleRate === 0) break
    first ??= { sampleRate, channels: (mode ?? 0) >> 6 === 3 ? 1 : 2, bitrate }
    const size = Math.floor((144_000 * bitrate) / sampleRate) + (((rates ?? 0) >> 1) & 1)
    offset += size
    framed += size
    frames += 1
  }
  return { format: first, share: framed / audio.length, seconds: (frames * 1152) / (first?.sampleRate ?? 1) }
}

const refusalOf = async (call: Promise<unknown>): Promise<SpeechError> => {
  const error = await call.then(
    () => assert.fail('the call succeeded'),
    (reason: unknown) => reason,
  )
  assert.ok(error instanceof SpeechError, `not a SpeechError: ${String(error)}`)
  return error
}

/** What every adapter of `SpeechProvider` must do, as a suite of tests. */
export const speechProviderContract = (name: string, createForTest: () => Promise<SpeechUnderTest>): void => {
  void runner.suite(`speech provider contract: ${name}`, () => {
    const { signal } = new AbortController()
    let underTest: SpeechUnderTest
    let provider: SpeechProvider
    let clones = 0

    runner.beforeEach(async () => {
      underTest = await createForTest()
      provider = underTest.provider
    })
    runner.afterEach(() => underTest.close())

    const clone = async () => {
      clones += 1
      const voiceName = `contract-${clones}`
      const { sample, sampleType } = underTest
      const { externalId } = await provider.clone(
        { name: voiceName, sample, sampleType, language: 'pl' },
        signal,
      )
      return { name: voiceName, externalId }
    }
    const speak = (externalId: string, text: string, stop: AbortSignal = signal) =>
      provider.speak({ externalId, text, before: '', after: '' }, stop)

    test('says what its sound depends on and what it takes', async () => {
      assert.notEqual(provider.model, '')
      assert.ok(provider.limits.maxCharacters >= 1200)
      assert.ok(['characters', 'words'].includes(provider.limits.timings))
      for (const value of Object.values(provider.settings))
        assert.ok(['string', 'number', 'boolean'].includes(typeof value))
    })

    test('it says of itself whether it remembers voices', async () => {
      assert.equal(underTest.provider.remembersVoices, underTest.remembersVoices)
    })

    test('a clone exists, under an id that fits the database', async () => {
      const { externalId } = await clone()
      assert.ok(externalId.length >= 1 && externalId.length <= 255)
      assert.equal(await provider.exists({ externalId }, signal), true)
      assert.equal(await provider.exists({ externalId: underTest.goneExternalId }, signal), false)
    })

    test('a clone speaks MP3 of the announced format', async () => {
      const { externalId } = await clone()
      const spoken = await speak(externalId, story)
      const { format, share } = readFrames(spoken.audio)
      assert.deepEqual(format, spoken.format)
      assert.ok(share >= 0.95, `only ${share} of the bytes are frames`)
      assert.ok(spoken.requestId === null || spoken.requestId.length > 0)
      assert.ok(Number.isInteger(spoken.billedCharacters) && spoken.billedCharacters >= 0)
    })

    test('timings are ordered, inside the sound, and name words or characters of the text', async () => {
      const { externalId } = await clone()
      const { timings, audio } = await speak(externalId, story)
      if (timings === null) return
      const { seconds } = readFrames(audio)
      const points = Array.from(story)
      assert.notEqual(timings.length, 0)
      let [time, place] = [0, 0]
      for (const { startSeconds, endSeconds, textStart, textEnd } of timings) {
        assert.ok(startSeconds >= time && endSeconds >= startSeconds && endSeconds <= seconds)
        assert.ok(textStart >= place && textEnd > textStart && textEnd <= points.length)
        const range = points.slice(textStart, textEnd).join('')
        if (provider.limits.timings === 'words') assert.match(range, /^\S+$/)
        ;[time, place] = [startSeconds, textEnd]
      }
    })

    test('speech of a voice that is not there is refused as voice_gone, without the text', async () => {
      const error = await refusalOf(speak(underTest.goneExternalId, story))
      assert.equal(error.kind, 'voice_gone')
      assert.doesNotMatch(error.message, /Zosia/)
    })

    test('removing twice is no error', async () => {
      const { externalId } = await clone()
      const first = await provider.remove({ externalId }, signal)
      assert.equal(first, underTest.remembersVoices ? 'removed' : 'absent')
      assert.equal(await provider.remove({ externalId }, signal), 'absent')
      if (underTest.remembersVoices) assert.equal(await provider.exists({ externalId }, signal), false)
    })

    test('voices are found by their exact name only', async () => {
      const voice = await clone()
      const found = await provider.findByName({ name: voice.name }, signal)
      assert.deepEqual(found, underTest.remembersVoices ? { externalId: voice.externalId } : null)
      assert.equal(await provider.findByName({ name: voice.name.slice(0, -1) }, signal), null)
    })

    test('the list is complete', async () => {
      const voices = [await clone(), await clone(), await clone()]
      const listed = (await Array.fromAsync(provider.list(signal))).map((voice) => voice.externalId)
      const expected = underTest.remembersVoices ? voices.map(({ externalId }) => externalId) : []
      assert.deepEqual(listed.sort(), expected.sort())
    })

    test('account figures are numbers, or null where unknown', async () => {
      const { resetsAt, ...figures } = await provider.account(signal)
      assert.ok(resetsAt === null || Number.isFinite(resetsAt.getTime()))
      assert.deepEqual(
        Object.keys(figures).sort(),
        ['charactersLeft', 'voiceAdditionsLeft', 'voiceLimit', 'voiceSlotsUsed'].sort(),
      )
      for (const figure of Object.values(figures)) assert.ok(figure === null || Number.isFinite(figure))
    })

    test('the caller’s abort ends a call at once, with the caller’s reason', async () => {
      const { externalId } = await clone()
      const reason = new Error('no longer wanted')
      await assert.rejects(speak(externalId, story, AbortSignal.abort(reason)), (error) => error === reason)
      const stop = new AbortController()
      const speaking = speak(externalId, longStory, stop.signal)
      stop.abort(reason)
      await assert.rejects(speaking, (error) => error === reason)
      // The next call is not touched by it.
      await speak(externalId, story)
    })

    test('a broken call is transient, is not repeated inside, and the next one works', async () => {
      const { externalId } = await clone()
      const speaking = refusalOf(speak(externalId, longStory))
      await underTest.interrupt()
      assert.equal((await speaking).kind, 'transient')
      await speak(externalId, story)
    })
  })
}
