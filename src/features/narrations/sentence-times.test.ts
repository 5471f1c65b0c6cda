import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { timeSentences, wordTimesOf, type SpokenPart, type TimedText } from './sentence-times.ts'
import { splitText } from './split-text.ts'

const slice = (text: string, timed: TimedText): string =>
  Array.from(text).slice(timed.textStart, timed.textEnd).join('')
const timing = (startSeconds: number, endSeconds: number, textStart: number, textEnd: number): TimedText => ({
  startSeconds,
  endSeconds,
  textStart,
  textEnd,
})
/** 0.1 s per code point, as an aligner that gives every character its time. */
const characterTimes = (text: string): TimedText[] =>
  Array.from(text).map((_, index) => timing(index / 10, (index + 1) / 10, index, index + 1))
const part = (text: string, given: Partial<SpokenPart> = {}): SpokenPart => ({
  start: 0,
  end: Array.from(text).length,
  startSeconds: 0,
  durationSeconds: Array.from(text).length / 10,
  timings: characterTimes(text),
  timingsOf: 'characters',
  ...given,
})

test('character times become word times without punctuation', () => {
  const text = '— Łódź 😀, w!'
  const words = wordTimesOf(text, characterTimes(text))
  assert.deepEqual(
    words.map((word) => slice(text, word)),
    ['Łódź', 'w'],
  )
  assert.deepEqual(words[0], timing(0.2, 0.6, 2, 6))
})

test('a word is timed by those of its characters that have a time, and left out without any', () => {
  const times = characterTimes('Ala ma kota').filter(
    (one) => one.textStart !== 0 && (one.textStart < 4 || one.textStart > 5),
  )
  const words = wordTimesOf('Ala ma kota', times)
  assert.deepEqual(words, [timing(0.1, 0.3, 0, 3), timing(0.7, 1.1, 7, 11)])
})

test('words make sentences, shifted by the start of their part', () => {
  const text = 'Był kot. Miau!'
  const { source, sentences } = timeSentences(text, [part(text, { startSeconds: 10 })])
  assert.equal(source, 'provider')
  assert.deepEqual(
    sentences.map((one) => [
      slice(text, one),
      one.startSeconds,
      one.endSeconds,
      one.words.map((word) => slice(text, word)),
    ]),
    [
      ['Był kot.', 10, 10.7, ['Był', 'kot']],
      ['Miau!', 10.9, 11.3, ['Miau']],
    ],
  )
})

test('word times of the provider that do not fit the text are skipped', () => {
  const text = 'Był kot.'
  const timings = [
    timing(0, 0.2, 0, 3),
    timing(0.1, 0.4, 2, 5),
    timing(0.2, 0.3, 3, 4),
    timing(Number.NaN, 1, 4, 7),
    timing(0.3, 0.6, 4.5, 7),
    timing(0.5, 99, 4, 7),
    timing(0.5, 0.6, 8, 12),
    timing(0.5, 0.6, -1, 2),
  ]
  const { sentences } = timeSentences(text, [part(text, { timings, timingsOf: 'words' })])
  assert.deepEqual(sentences[0]?.words, [timing(0, 0.2, 0, 3), timing(0.5, 0.8, 4, 7)])
})

test('a part without provider times gets sentence times by length', () => {
  const text = 'Aaaa. Bbbb bbbb bbbb.'
  const { source, sentences } = timeSentences(text, [
    part(text, { timings: null, startSeconds: 5, durationSeconds: 20 }),
  ])
  assert.equal(source, 'estimated')
  assert.deepEqual(sentences, [
    { startSeconds: 5, endSeconds: 10, textStart: 0, textEnd: 5, words: [] },
    { startSeconds: 10, endSeconds: 25, textStart: 6, textEnd: 21, words: [] },
  ])
})

test('a sentence without a timed word fills the gap between its neighbours', () => {
  const text = 'Tak.\n???\nNie.'
  const { sentences } = timeSentences(text, [
    part(text, {
      timings: [timing(0, 1, 0, 3), timing(3, 4, 9, 12)],
      timingsOf: 'words',
      durationSeconds: 5,
    }),
  ])
  assert.deepEqual(
    sentences.map((one) => [slice(text, one), one.startSeconds, one.endSeconds]),
    [
      ['Tak.', 0, 1],
      ['???', 1, 3],
      ['Nie.', 3, 4],
    ],
  )
})

test('a sentence cut over two parts is one sentence, and ends with the last part that is there', () => {
  const text = 'Raz dwa trzy.'
  const first = part('Raz dwa', { end: 7 })
  const second = part('trzy.', { start: 8, end: 13, startSeconds: 1 })
  const whole = timeSentences(text, [first, second]).sentences
  assert.equal(whole.length, 1)
  assert.deepEqual(
    whole[0]?.words.map((word) => slice(text, word)),
    ['Raz', 'dwa', 'trzy'],
  )
  assert.equal(whole[0]?.endSeconds, 1.4)
  assert.equal(slice(text, timeSentences(text, [first]).sentences[0]!), 'Raz dwa')
  assert.deepEqual(timeSentences(text, []), { source: 'estimated', sentences: [] })
})

const stories = fc
  .array(
    fc.tuple(
      fc.constantFrom('Żaba', 'w', 'źródle', 'i', '😀', 'e\u0301cole', '1,5', '?!', 'biało-czerwony', '👨‍👩‍👧'),
      fc.constantFrom(' ', ', ', '. ', '! ', '.\r\n', '…\n\n', ' – '),
    ),
    { minLength: 1, maxLength: 250 },
  )
  .map((pairs) => pairs.flat().join(''))
const seconds = fc.double({ min: -5, max: 40 })
const wildTimes = fc.array(
  fc
    .tuple(seconds, seconds, fc.integer({ min: -3, max: 130 }), fc.integer({ min: -3, max: 130 }))
    .map((values) => timing(...values)),
  { maxLength: 60 },
)
const given = fc.tuple(
  fc.constantFrom('none' as const, 'characters' as const, 'wild' as const),
  fc.constantFrom('characters' as const, 'words' as const),
  fc.double({ min: 0.01, max: 60, noNaN: true }),
  wildTimes,
)

test('whatever a provider answers: times ordered and inside their parts, each range that text', () => {
  fc.assert(
    fc.property(
      stories,
      fc.array(given, { minLength: 30, maxLength: 30 }),
      fc.nat(30),
      (source, answers, spoken) => {
        const { text, parts } = splitText(source, { maxCharacters: 120 })
        let startSeconds = 0
        const spokenParts = parts.slice(0, spoken).map((one, index): SpokenPart => {
          const [kind, timingsOf, durationSeconds, wild] = answers[index % answers.length]!
          const timings = { none: null, characters: characterTimes(one.text), wild }[kind]
          const made = { start: one.start, end: one.end, startSeconds, durationSeconds, timings, timingsOf }
          startSeconds += durationSeconds + (one.endsParagraph ? 0.35 : 0)
          return made
        })
        const { source: origin, sentences } = timeSentences(text, spokenParts)
        const all = sentences.flatMap((one) => one.words)
        assert.equal(origin === 'provider', all.length > 0)
        for (const list of [sentences, all]) {
          let [heard, read] = [0, 0]
          for (const one of list) {
            assert.ok(one.startSeconds >= heard - 1e-9 && one.endSeconds >= one.startSeconds - 1e-9)
            assert.ok(one.endSeconds <= startSeconds + 1e-9)
            assert.ok(one.textStart >= read && one.textEnd > one.textStart)
            assert.match(slice(text, one), /^\S(.*\S)?$/su)
            heard = one.endSeconds
            read = one.textEnd
          }
        }
        for (const one of sentences)
          for (const word of one.words)
            assert.ok(word.textStart >= one.textStart && word.textEnd <= one.textEnd)
        // Every visible character of the spoken prefix lies in a sentence.
        const covered = sentences.reduce(
          (sum, one) => sum + slice(text, one).replaceAll(/\s/gu, '').length,
          0,
        )
        const visible = parts
          .slice(0, spoken)
          .reduce((sum, one) => sum + one.text.replaceAll(/\s/gu, '').length, 0)
        assert.equal(covered, visible)
      },
    ),
    { numRuns: 120 },
  )
})
