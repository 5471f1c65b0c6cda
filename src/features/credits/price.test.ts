import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { priceOf } from './price.ts'

const table: [codePoints: number, points: number][] = [
  [0, 1],
  [1, 1],
  [999, 1],
  [1000, 1],
  [1001, 2],
  [1999, 2],
  [2000, 2],
  [2001, 3],
  [10_000, 10],
]

test('price by the table, for letters inside and outside the basic plane', () => {
  for (const letter of ['a', 'ą', ' ', '\n', '🙂'])
    for (const [codePoints, points] of table)
      assert.equal(
        priceOf(letter.repeat(codePoints), 1000),
        points,
        `${codePoints} × ${JSON.stringify(letter)}`,
      )
})

test('code points count, not UTF-16 units, bytes or graphemes', () => {
  const mixed = 'ą'.repeat(250) + '🙂'.repeat(250)
  assert.equal(priceOf(mixed, 500), 1)
  assert.equal(priceOf(mixed, 499), 2)
  // A family is one grapheme of five code points.
  assert.equal(priceOf('👨‍👩‍👧', 1), 5)
})

test('nothing is trimmed or normalised', () => {
  assert.equal(priceOf('  a  ', 1), 5)
  assert.equal(priceOf('ó'.normalize('NFC'), 1), 1)
  assert.equal(priceOf('ó'.normalize('NFD'), 1), 2)
})

test('lone surrogates count one each', () => {
  assert.equal(priceOf('\ud83d', 1), 1)
  assert.equal(priceOf('\ude42\ud83d', 1), 2)
  assert.equal(priceOf('\ud83d\ud83d\ude42', 1), 2)
  assert.equal(priceOf('\ud83d\ude42\ude42', 1), 2)
})

test('other unit sizes', () => {
  assert.equal(priceOf('a'.repeat(500), 500), 1)
  assert.equal(priceOf('a'.repeat(501), 500), 2)
  assert.equal(priceOf('abc', 1), 3)
})

// I18, over every kind of UTF-16 text: broken surrogate pairs too.
const text = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 60 }),
  fc
    .array(fc.integer({ min: 0, max: 0xffff }), { maxLength: 60 })
    .map((units) => String.fromCharCode(...units)),
)
const wellFormed = fc.string({ unit: 'binary', maxLength: 60 })
const unitSize = fc.integer({ min: 1, max: 25 })

test('property: equals the count of code points, at least 1', () => {
  fc.assert(
    fc.property(text, unitSize, (story, size) => {
      assert.equal(priceOf(story, size), Math.max(1, Math.ceil([...story].length / size)))
    }),
  )
})

test('property: longer texts never cost less, and two parts never less than the whole', () => {
  fc.assert(
    fc.property(wellFormed, wellFormed, unitSize, (first, second, size) => {
      const whole = priceOf(first + second, size)
      assert.ok(whole >= priceOf(first, size))
      assert.ok(whole <= priceOf(first, size) + priceOf(second, size))
    }),
  )
})

test('property: exact at multiples of the unit, astral characters included', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 20 }),
      unitSize,
      fc.constantFrom('a', 'ż', '🙂'),
      (units, size, letter) => {
        assert.equal(priceOf(letter.repeat(units * size), size), units)
        assert.equal(priceOf(letter.repeat(units * size + 1), size), units + 1)
      },
    ),
  )
})
