import {
  codePointsOf,
  isExtender,
  isSpace,
  lengthOf,
  textOf,
  trimRange,
  type TextRange,
} from './spoken-text.ts'

const graphemes = new Intl.Segmenter('pl', { granularity: 'grapheme' })
const clauseMarks = new Set([';', ':', ',', '–', '—', '―'])
const digit = /^\p{Nd}$/u
// Enough code points past a window to see whether its last grapheme goes on.
const graphemeLookahead = 32

type Boundary = 'clause' | 'word' | 'mark'

/** What lies between code points `index - 1` and `index`: the end of a clause, a space, a mark inside a word, or nothing. */
const boundaryAt = (points: readonly string[], index: number): Boundary | null => {
  const left = points[index - 1]
  const right = points[index]
  if (left === undefined || right === undefined || isSpace(points, index - 1)) return null
  if (isSpace(points, index)) {
    // A hyphen is a dash only between spaces: "biało-czerwony" stays whole.
    const isDash = left === '-' && isSpace(points, index - 2)
    return clauseMarks.has(left) || isDash ? 'clause' : 'word'
  }
  const isNumber = digit.test(points[index - 2] ?? '') && digit.test(right)
  return clauseMarks.has(left) && !isNumber && !isExtender(right) ? 'mark' : null
}

/** Grapheme boundaries strictly inside a range, ascending. */
const graphemeCuts = (points: readonly string[], range: TextRange): number[] => {
  const visible = { start: range.start, end: Math.min(points.length, range.end + graphemeLookahead) }
  const cuts: number[] = []
  let at = range.start
  for (const { segment } of graphemes.segment(textOf(points, visible))) {
    at += codePointsOf(segment).length
    if (at >= range.end) break
    cuts.push(at)
  }
  return cuts
}

const lastBoundary = (
  points: readonly string[],
  range: TextRange,
  matches: (found: Boundary | null) => boolean,
): number | null => {
  for (let index = range.end; index > range.start; index -= 1)
    if (matches(boundaryAt(points, index))) return index
  return null
}

/**
 * Where a sentence that is too long is cut first; the answer is at most `start + max`. A clause end in the second half of
 * the room is worth more than a fuller part (the voice breathes there); then the last space or mark that fits, then the
 * last grapheme, and only inside a grapheme longer than `max` a bare code point.
 */
export const cutLongSentence = (points: readonly string[], start: number, max: number): number => {
  const room = { start, end: start + max }
  return (
    lastBoundary(
      points,
      { start: start + Math.floor(max / 2), end: room.end },
      (found) => found === 'clause',
    ) ??
    lastBoundary(points, room, (found) => found !== null) ??
    graphemeCuts(points, { start, end: room.end + 1 }).at(-1) ??
    room.end
  )
}

/**
 * Cuts a range in two of similar length: at the boundary nearest the middle, of the best kind that leaves the shorter
 * side at least a quarter of the whole and neither side above `max`. `sentenceEnds` are positions inside the range.
 */
export const halveRange = (
  points: readonly string[],
  range: TextRange,
  options: { sentenceEnds: readonly number[]; max: number },
): [TextRange, TextRange] => {
  const inside = Array.from(
    { length: Math.max(0, lengthOf(range) - 1) },
    (_, offset) => range.start + offset + 1,
  )
  const of = (boundary: Boundary) => () => inside.filter((index) => boundaryAt(points, index) === boundary)
  const grades = [
    () => options.sentenceEnds,
    of('clause'),
    of('word'),
    of('mark'),
    () => graphemeCuts(points, range),
    () => inside,
  ]
  const split = (at: number): [TextRange, TextRange] => [
    trimRange(points, { start: range.start, end: at }),
    trimRange(points, { start: at, end: range.end }),
  ]
  const middle = (range.start + range.end) / 2
  for (const grade of grades) {
    const cuts = [...grade()].sort((a, b) => Math.abs(a - middle) - Math.abs(b - middle) || a - b)
    for (const cut of cuts) {
      const halves = split(cut)
      const [left, right] = [lengthOf(halves[0]), lengthOf(halves[1])]
      if (Math.max(left, right) <= options.max && Math.min(left, right) * 4 >= lengthOf(range)) return halves
    }
  }
  return split(Math.ceil(middle))
}
