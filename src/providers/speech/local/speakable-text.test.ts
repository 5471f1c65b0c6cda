import assert from 'node:assert/strict'
import { test } from 'node:test'
import { speakableSentences } from './speakable-text.ts'
import { wordTimes } from './word-times.ts'

const wordsOf = (text: string) => {
  const points = Array.from(text)
  return speakableSentences(text).flatMap(({ words }) =>
    words.map(({ textStart, textEnd }) => points.slice(textStart, textEnd).join('')),
  )
}

test('words keep their code point ranges past emoji, quotation marks and decomposed letters', () => {
  const text = '🐻🐻 „Żółw” (mały) <b>śpi</b>… A jeż\u00AD – nie. 👩‍👩‍👧 Koniec'
  const decomposed = text.normalize('NFD')
  assert.deepEqual(wordsOf(text), ['Żółw', 'mały', 'b', 'śpi', 'b', 'A', 'jeż', 'nie', 'Koniec'])
  assert.deepEqual(
    wordsOf(decomposed).map((word) => word.normalize('NFC')),
    wordsOf(text),
  )
  assert.ok(speakableSentences(decomposed)[0]?.text.includes('Żółw'))
})

test('a word’s place in the spoken sentence is that word', () => {
  for (const { text, words } of speakableSentences('— „Zósia 🐻 i Ćma”!\n\n*** \nJeż, lis.'.normalize('NFD')))
    for (const { start, end } of words) assert.match(Array.from(text).slice(start, end).join(''), /^\p{L}+$/u)
})

test('nothing reaches the engine that it would read out by name or take for markup', () => {
  for (const { text } of speakableSentences('<b>Kot</b> & pies [[x]] „no” 🐻 #1 _a_ \u0000\u200B'))
    assert.match(text, /^[\p{L}\d ./]*$/u)
})

test('sentences without a word are left out, their line break is kept', () => {
  const sentences = speakableSentences('Raz. Dwa.\n* * *\nTrzy.')
  assert.deepEqual(
    sentences.map(({ text }) => text.trim()),
    ['Raz.', 'Dwa.', 'Trzy.'],
  )
  assert.deepEqual(
    sentences.map(({ endsParagraph }) => endsParagraph),
    [false, true, false],
  )
  assert.deepEqual(speakableSentences(' 🐻 — \n'), [])
})

test('words without an event of the engine share the time of the word before', () => {
  const word = (start: number, end: number) => ({ start, end, textStart: start, textEnd: end })
  const event = (type: string, position: number, ms: number, id: string | number = 1) => ({
    type,
    text_position: position,
    audio_position: ms,
    id,
  })
  const events = [
    event('word', 1, 0),
    event('phoneme', 1, 10, 'a'),
    event('word', 9, 600),
    event('word', 9, 700),
    event('phoneme', 9, 800, 'a'),
    event('phoneme', 9, 900, ''),
    event('phoneme', 9, 1000, ''),
  ]
  const times = wordTimes([word(0, 2), word(3, 7), word(8, 10), word(11, 13)], events, 1)
  const rounded = times.map(({ startSeconds, endSeconds }) => [
    startSeconds.toFixed(3),
    endSeconds.toFixed(3),
  ])
  assert.deepEqual(rounded, [
    ['0.000', '0.200'],
    ['0.200', '0.600'],
    ['0.600', '0.750'],
    ['0.750', '0.900'],
  ])
  assert.deepEqual(wordTimes([word(0, 2)], [], 1), [{ startSeconds: 0, endSeconds: 1 }])
})
