import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { contentRange, ifRangeHolds, matchesEtag, parseRange, planDelivery } from './byte-range.ts'

const none = { kind: 'none' } as const
const unsatisfiable = { kind: 'unsatisfiable' } as const
const range = (start: number, end: number) => ({ kind: 'range', range: { start, end } }) as const

test('a single range is read and clamped to the size', () => {
  assert.deepEqual(parseRange('bytes=0-0', 10), range(0, 0))
  assert.deepEqual(parseRange('bytes=2-4', 10), range(2, 4))
  assert.deepEqual(parseRange('bytes=2-', 10), range(2, 9))
  assert.deepEqual(parseRange('bytes=2-99999999999999999999999', 10), range(2, 9))
  assert.deepEqual(parseRange('bytes=-3', 10), range(7, 9))
  assert.deepEqual(parseRange('bytes=-30', 10), range(0, 9))
  assert.deepEqual(parseRange('Bytes= 2-4 ', 10), range(2, 4))
})

test('malformed, multiple and foreign ranges are ignored', () => {
  const ignored = [
    undefined,
    '',
    'bytes',
    'bytes=',
    'bytes=-',
    'bytes=5-4',
    'bytes=a-b',
    'bytes=1-2,4-5',
    'bytes=0x1-2',
    'bytes=1.5-2',
    'bytes=--5',
    'bytes = 0-1',
    'items=0-1',
    'bytes=+0-1',
  ]
  for (const header of ignored) assert.deepEqual(parseRange(header, 10), none, String(header))
})

test('a range past the end, an empty suffix and an empty object are unsatisfiable', () => {
  assert.deepEqual(parseRange('bytes=10-', 10), unsatisfiable)
  assert.deepEqual(parseRange('bytes=10-20', 10), unsatisfiable)
  assert.deepEqual(parseRange('bytes=-0', 10), unsatisfiable)
  assert.deepEqual(parseRange('bytes=0-', 0), unsatisfiable)
  assert.deepEqual(parseRange('bytes=-5', 0), unsatisfiable)
})

test('whatever the header, a range lies inside the object', () => {
  const header = fc.oneof(
    fc.string(),
    fc
      .tuple(fc.option(fc.nat(), { nil: '' }), fc.option(fc.nat(), { nil: '' }))
      .map(([a, b]) => `bytes=${a}-${b}`),
  )
  fc.assert(
    fc.property(header, fc.nat(5000), (value, size) => {
      const parsed = parseRange(value, size)
      if (parsed.kind !== 'range') return
      const { start, end } = parsed.range
      assert.ok(start >= 0 && start <= end && end < size)
    }),
  )
})

test('Content-Range names the part or only the size', () => {
  assert.equal(contentRange({ start: 1, end: 3 }, 10), 'bytes 1-3/10')
  assert.equal(contentRange(null, 10), 'bytes */10')
})

test('If-None-Match compares weakly, over lists, with commas inside tags', () => {
  assert.equal(matchesEtag(undefined, '"a"'), false)
  assert.equal(matchesEtag('*', '"a"'), true)
  assert.equal(matchesEtag('"b", W/"a"', '"a"'), true)
  assert.equal(matchesEtag('"x,a"', '"a"'), false)
  assert.equal(matchesEtag('"x,a"', '"x,a"'), true)
  assert.equal(matchesEtag('a', '"a"'), false)
})

test('If-Range compares strongly: etag or exact date', () => {
  const modified = new Date('2026-01-02T03:04:05.678Z')
  assert.equal(ifRangeHolds(undefined, '"a"', modified), true)
  assert.equal(ifRangeHolds('"a"', '"a"', modified), true)
  assert.equal(ifRangeHolds('W/"a"', '"a"', modified), false)
  assert.equal(ifRangeHolds('"b"', '"a"', modified), false)
  assert.equal(ifRangeHolds('Fri, 02 Jan 2026 03:04:05 GMT', '"a"', modified), true)
  assert.equal(ifRangeHolds('Fri, 02 Jan 2026 03:04:06 GMT', '"a"', modified), false)
  assert.equal(ifRangeHolds('nonsense', '"a"', modified), false)
})

test('validators come before the range, and HEAD ignores the range', () => {
  const object = { size: 10, etag: '"a"', lastModified: new Date('2026-01-02T03:04:05Z') }
  const plan = (headers: Record<string, string>, method = 'GET') => planDelivery({ method, headers }, object)
  assert.deepEqual(plan({}), { status: 200 })
  assert.deepEqual(plan({ range: 'bytes=1-2' }), { status: 206, range: { start: 1, end: 2 } })
  assert.deepEqual(plan({ range: 'bytes=1-2' }, 'HEAD'), { status: 200 })
  assert.deepEqual(plan({ range: 'bytes=99-' }), { status: 416 })
  assert.deepEqual(plan({ range: 'bytes=99-', 'if-none-match': '"a"' }), { status: 304 })
  assert.deepEqual(plan({ range: 'bytes=99-', 'if-range': '"b"' }), { status: 200 })
  assert.deepEqual(plan({ 'if-modified-since': 'Fri, 02 Jan 2026 03:04:05 GMT' }), { status: 304 })
  assert.deepEqual(plan({ 'if-modified-since': 'Fri, 02 Jan 2026 03:04:04 GMT' }), { status: 200 })
  assert.deepEqual(plan({ 'if-modified-since': 'Fri, 02 Jan 2026 03:04:05 GMT', 'if-none-match': '"b"' }), {
    status: 200,
  })
})
