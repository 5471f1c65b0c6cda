import {
  codePointsOf,
  lengthOf,
  normaliseLineEnds,
  sentencesOf,
  textOf,
  trimRange,
  type Sentence,
  type TextRange,
} from './spoken-text.ts'
import { cutLongSentence, halveRange } from './text-cuts.ts'

/** Code points. Long enough for steady intonation, short enough that the first part can be heard soon. */
const fullPart = 1200
const paragraphPart = 600
const shortPart = 200
const joinedPart = 1400
const contextLength = 500

/** A piece of the text that one provider call speaks. Offsets are code points into the split text, end exclusive. */
export interface TextPart {
  index: number
  start: number
  end: number
  text: string
  /** Up to 500 code points of the text right before and after the part. */
  before: string
  after: string
  endsParagraph: boolean
  /** The part ends in the middle of a sentence that was too long. */
  cutInsideSentence: boolean
}

export interface SplitText {
  /** The text that is spoken, with `\n` line ends; what offsets refer to. */
  text: string
  parts: TextPart[]
}

type Piece = Sentence & { isWhole: boolean }

/**
 * Splits a story for a provider: whole sentences, up to 1,200 code points a part, closing at a paragraph end from 600 on;
 * never above `maxCharacters` (code points, an integer ≥ 1). Pure and deterministic: the same text gives the same parts
 * whatever was made before. Parts are ordered, disjoint and cover every non-space character; a text without any has none.
 */
export const splitText = (
  source: string,
  limits: { maxCharacters: number } = { maxCharacters: Infinity },
): SplitText => {
  if (!(limits.maxCharacters >= 1)) throw new RangeError('maxCharacters must be at least 1')
  const max = Math.min(fullPart, Math.floor(limits.maxCharacters))
  const text = normaliseLineEnds(source)
  const points = codePointsOf(text)
  const pieces = sentencesOf(points).flatMap((sentence) => piecesOf(points, sentence, max))
  const joined = Math.min(joinedPart, limits.maxCharacters)
  const ranges = settleLastPart(points, pieces, pack(pieces, max), { max, joined })
  return { text, parts: ranges.map((range, index) => describePart(points, pieces, range, index)) }
}

/** For a part that the provider found too long: its two halves, cut at the best boundary; ranges into `text`. */
export const halveText = (text: string): [TextRange, TextRange] => {
  const points = codePointsOf(text)
  const sentenceEnds = sentencesOf(points).map((sentence) => sentence.end)
  return halveRange(points, trimRange(points, { start: 0, end: points.length }), {
    sentenceEnds,
    max: Infinity,
  })
}

const piecesOf = (points: readonly string[], sentence: Sentence, max: number): Piece[] => {
  const pieces: Piece[] = []
  let { start } = sentence
  while (sentence.end - start > max) {
    const cut = cutLongSentence(points, start, max)
    pieces.push({ ...trimRange(points, { start, end: cut }), endsParagraph: false, isWhole: false })
    start = trimRange(points, { start: cut, end: sentence.end }).start
  }
  pieces.push({ ...sentence, start, isWhole: true })
  return pieces
}

const pack = (pieces: readonly Piece[], max: number): TextRange[] => {
  const [first, last] = [pieces[0], pieces.at(-1)]
  if (!first || !last) return []
  if (last.end - first.start <= max) return [{ start: first.start, end: last.end }]
  const ranges: TextRange[] = []
  let open: TextRange | null = null
  for (const piece of pieces) {
    if (open && piece.end - open.start <= max) open.end = piece.end
    else ranges.push((open = { start: piece.start, end: piece.end }))
    if (piece.endsParagraph && lengthOf(open) >= paragraphPart) open = null
  }
  return ranges
}

/** A last part that is too short to sound natural on its own joins the one before, or shares its text. */
const settleLastPart = (
  points: readonly string[],
  pieces: readonly Piece[],
  ranges: readonly TextRange[],
  limits: { max: number; joined: number },
): TextRange[] => {
  const [previous, last] = [ranges.at(-2), ranges.at(-1)]
  if (!previous || !last || lengthOf(last) >= shortPart) return [...ranges]
  const both = { start: previous.start, end: last.end }
  if (lengthOf(both) <= limits.joined) return [...ranges.slice(0, -2), both]
  const sentenceEnds = pieces.filter(
    (piece) => piece.isWhole && piece.end > both.start && piece.end < both.end,
  )
  const halves = halveRange(points, both, {
    sentenceEnds: sentenceEnds.map(({ end }) => end),
    max: limits.max,
  })
  // White space between the two can make the range longer than what two parts hold; then they stay as they were.
  const fits = halves.every((half) => lengthOf(half) > 0 && lengthOf(half) <= limits.max)
  return fits ? [...ranges.slice(0, -2), ...halves] : [...ranges]
}

const describePart = (
  points: readonly string[],
  pieces: readonly Piece[],
  { start, end }: TextRange,
  index: number,
): TextPart => {
  const ending = pieces.find((piece) => piece.end === end)
  return {
    index,
    start,
    end,
    text: textOf(points, { start, end }),
    before: textOf(points, { start: Math.max(0, start - contextLength), end: start }),
    after: textOf(points, { start: end, end: end + contextLength }),
    endsParagraph: ending?.endsParagraph ?? false,
    cutInsideSentence: !(ending?.isWhole ?? false),
  }
}
