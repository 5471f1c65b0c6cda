import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { halveText, splitText, type SplitText } from './split-text.ts'

const codePoints = (text: string): string[] => Array.from(text)
const sentence = (length: number, ending = '.') => `A${'b'.repeat(length - 2)}${ending}`
const sentences = (count: number, length: number) =>
  Array.from({ length: count }, () => sentence(length)).join(' ')
const lengths = (split: SplitText) => split.parts.map((part) => part.end - part.start)

const polish = fc.constantFrom(
  'Była',
  'sobie',
  'żaba',
  'w',
  'źródle',
  'i',
  'śpiewała',
  'ciągle',
  'Łódź',
  'ćma',
)
const exotic = fc.constantFrom('👨‍👩‍👧‍👦', '🏳️‍🌈', '👍🏽', 'e\u0301\u0323', '🇵🇱', 'ż', '😀', '\ud800', 'a\u0308\u0308')
const mark = fc.constantFrom(
  '. ',
  ', ',
  '! ',
  '? ',
  '; ',
  ': ',
  ' – ',
  ' - ',
  '… ',
  '.\n',
  '.\r\n\r\n',
  '\u2028',
  ' ',
  '   ',
  '',
)
const words = (word: fc.Arbitrary<string>, maxLength: number) =>
  fc.array(fc.tuple(word, mark), { maxLength }).map((pairs) => pairs.flat().join(''))
const unbroken = fc
  .array(fc.oneof(exotic, polish), { minLength: 100, maxLength: 900 })
  .map((list) => list.join(''))
const stories = fc.oneof(
  words(polish, 900),
  words(fc.oneof(polish, exotic), 500),
  words(fc.string({ unit: 'binary', maxLength: 12 }), 120),
  unbroken,
)
const limits = fc.constantFrom(50, 51, 73, 199, 250, 600, 1000, 1200, 1300, 3000, 10_000, 40_000)

const check = (property: (split: SplitText, source: string, limit: number) => void, arbitrary = stories) => {
  fc.assert(
    fc.property(arbitrary, limits, (source, limit) =>
      property(splitText(source, { maxCharacters: limit }), source, limit),
    ),
    { numRuns: 150 },
  )
}

test('parts are ordered, disjoint and cover every non-space character once', () => {
  check(({ text, parts }) => {
    const points = codePoints(text)
    let end = 0
    for (const [index, part] of parts.entries()) {
      assert.equal(part.index, index)
      assert.ok(part.start >= end && part.end > part.start)
      assert.match(points.slice(end, part.start).join(''), /^\s*$/u)
      assert.equal(part.text, points.slice(part.start, part.end).join(''))
      end = part.end
    }
    assert.match(points.slice(end).join(''), /^\s*$/u)
  })
})

test('no part is above the limit of the provider or, but for a joined last one, above 1,200', () => {
  check((split, _source, limit) => {
    for (const [index, length] of lengths(split).entries()) {
      assert.ok(length <= limit)
      assert.ok(length <= (index === split.parts.length - 1 ? 1400 : 1200))
    }
  })
})

test('the split text differs from the source in its line ends only', () => {
  check(({ text }, source) => {
    assert.doesNotMatch(text, /[\r\u0085\u2028\u2029]/)
    assert.equal(text, source.replaceAll('\r\n', '\n').replaceAll(/[\r\u0085\u2028\u2029]/g, '\n'))
  })
})

test('the same text is split the same way again, and its normalised form too', () => {
  check((split, source, limit) => {
    assert.deepEqual(splitText(source, { maxCharacters: limit }), split)
    assert.deepEqual(splitText(split.text, { maxCharacters: limit }), split)
  })
})

test('context is the neighbouring text, at most 500 code points', () => {
  check(({ text, parts }) => {
    const points = codePoints(text)
    for (const part of parts) {
      assert.equal(part.before, points.slice(Math.max(0, part.start - 500), part.start).join(''))
      assert.equal(part.after, points.slice(part.end, part.end + 500).join(''))
    }
  })
})

test('no part starts or ends inside a grapheme', () => {
  const segmenter = new Intl.Segmenter('pl', { granularity: 'grapheme' })
  const wellFormed = fc.oneof(unbroken, words(fc.oneof(polish, exotic), 400))
  check(({ text, parts }) => {
    const boundaries = new Set([0])
    let at = 0
    for (const { segment } of segmenter.segment(text)) boundaries.add((at += codePoints(segment).length))
    for (const part of parts) assert.ok(boundaries.has(part.start) && boundaries.has(part.end))
  }, wellFormed)
})

test('a part ends with a sentence unless it says that it cuts one, and only long sentences are cut', () => {
  check(({ text, parts }, _source, limit) => {
    const points = codePoints(text)
    for (const part of parts) {
      const rest = points.slice(part.end).join('')
      if (part.endsParagraph) assert.match(rest, /^[^\S\n]*(\n|$)/u)
      if (part.cutInsideSentence && limit >= 1400) {
        // Whatever cut it, the paragraph around the cut had no room for it as a whole.
        const left = points.slice(0, part.end).lastIndexOf('\n') + 1
        const right = points.indexOf('\n', part.end)
        assert.ok((right === -1 ? points.length : right) - left > 1200)
      }
    }
  })
})

test('the last two parts are balanced: no tail below 200 unless the pair is small', () => {
  check((split) => {
    const [previous, last] = lengths(split).slice(-2)
    if (previous === undefined || last === undefined || last >= 200) return
    assert.ok(last * 4 >= previous - 4, `tail of ${last} after ${previous}`)
  }, unbroken)
})

test('a text of up to 1,200 code points is one part, paragraphs and emoji included', () => {
  const text = `${sentence(700)}\n\n${sentence(498)}`
  assert.deepEqual(lengths(splitText(text)), [1200])
  assert.deepEqual(lengths(splitText('😀'.repeat(1200))), [1200])
  assert.equal(splitText('😀'.repeat(1201)).parts.length, 1, 'the short tail joins')
  assert.deepEqual(splitText(text, { maxCharacters: 40_000 }), splitText(text))
})

test('nothing to say gives no part', () => {
  for (const text of ['', ' ', '\n\r\n \u2028\t']) assert.deepEqual(splitText(text).parts, [])
})

test('sentences are packed until the next one would not fit', () => {
  // 11 sentences of 100 and the spaces between them are 1,110; a twelfth would make 1,211.
  assert.deepEqual(lengths(splitText(sentences(22, 100))), [1110, 1110])
})

test('a part closes at a paragraph end once it has 600', () => {
  const text = `${sentence(590)}\n${sentence(9)}\n${sentence(400)}\n${sentence(599)}\n${sentence(300)}`
  const { parts } = splitText(text)
  assert.deepEqual(
    parts.map((part) => [part.end - part.start, part.endsParagraph, part.cutInsideSentence]),
    [
      [600, true, false],
      [1000, true, false],
      [300, true, false],
    ],
  )
  assert.equal(splitText(sentences(22, 100)).parts[0]?.endsParagraph, false)
})

test('a last part below 200 joins the one before up to 1,400 together', () => {
  assert.deepEqual(lengths(splitText(`${sentence(1200)}\n${sentence(199)}`)), [1400])
  assert.deepEqual(lengths(splitText(`${sentence(1200)}\n${sentence(200)}`)), [1200, 200])
})

test('where the provider leaves no room to join, the last two parts share their text', () => {
  const text = sentences(12, 100)
  assert.deepEqual(lengths(splitText(text)), [1211])
  assert.deepEqual(lengths(splitText(text, { maxCharacters: 1200 })), [605, 605])
  const tail = splitText(`${sentence(1200)} ${sentence(100)}`, { maxCharacters: 1250 })
  assert.deepEqual(lengths(tail), [650, 651])
})

test('a long sentence is cut after a clause, else at a space, else between graphemes', () => {
  const ends = (text: string, maxCharacters: number) =>
    splitText(text, { maxCharacters }).parts.map((part) => part.text)
  const clauses = `${'ala '.repeat(20)}kot, ${'ma '.repeat(200)}psa.`
  assert.equal(ends(clauses, 100)[0], `${'ala '.repeat(20)}kot,`)
  for (const glue of [';', ':', ',', ' –', ' -'])
    assert.equal(ends(`${'a'.repeat(70)}${glue} ${'b '.repeat(200)}`, 100)[0], `${'a'.repeat(70)}${glue}`)
  assert.equal(ends('słowo '.repeat(400), 100)[0], 'słowo '.repeat(16).trim())
  assert.equal(ends('żółw,'.repeat(400), 98)[0], 'żółw,'.repeat(19))
  assert.equal(ends('1,5'.repeat(400), 100)[0]?.length, 100, 'a decimal comma is no clause')
  const family = '👨‍👩‍👧‍👦'
  assert.equal(ends(family.repeat(100), 50)[0], family.repeat(7))
  assert.deepEqual(
    ends(`a${'\u0301'.repeat(119)}`, 60).map((part) => part.length),
    [60, 60],
  )
})

test('a limit below one character is refused', () => {
  for (const maxCharacters of [0, -1, Number.NaN])
    assert.throws(() => splitText('a', { maxCharacters }), RangeError)
})

test('a long story is split within a blink', () => {
  const story = `${sentences(40, 90)}\n`.repeat(60)
  const started = performance.now()
  const { parts } = splitText(story, { maxCharacters: 3000 })
  assert.ok(parts.length > 150)
  assert.ok(performance.now() - started < 5000)
})

test('a part that proves too long is halved at a sentence end, and both halves cover it', () => {
  const halves = halveText(sentences(8, 100))
  assert.deepEqual(halves, [
    { start: 0, end: 403 },
    { start: 404, end: 807 },
  ])
  fc.assert(
    fc.property(
      stories.filter((text) => codePoints(text.trim()).length > 60),
      (text) => {
        const points = codePoints(text)
        const [left, right] = halveText(text)
        assert.ok(left.end <= right.start && left.end > left.start && right.end > right.start)
        const outside = [
          ...points.slice(0, left.start),
          ...points.slice(left.end, right.start),
          ...points.slice(right.end),
        ]
        assert.match(outside.join(''), /^\s*$/u)
      },
    ),
    { numRuns: 60 },
  )
})
