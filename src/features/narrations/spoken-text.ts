/** A range of code points, end exclusive. */
export interface TextRange {
  start: number
  end: number
}

/** One sentence without the white space around it. */
export interface Sentence extends TextRange {
  endsParagraph: boolean
}

const sentenceSegmenter = new Intl.Segmenter('pl', { granularity: 'sentence' })
const space = /^\s$/u
// After one of these a break would fall inside a grapheme, so a space that carries one counts as a visible character.
const extender = /^[\p{M}\p{Emoji_Modifier}\u200c\u200d]$/u

/** The text as it is spoken: every kind of line end becomes `\n`, nothing else changes. */
export const normaliseLineEnds = (text: string): string =>
  text.replaceAll(/\r\n?|[\u0085\u2028\u2029]/g, '\n')

/** One string per code point (a lone surrogate counts as one). */
export const codePointsOf = (text: string): string[] => Array.from(text)

export const isExtender = (point: string | undefined): boolean => point !== undefined && extender.test(point)

export const isSpace = (points: readonly string[], index: number): boolean => {
  const point = points[index]
  return point !== undefined && space.test(point) && !(point !== '\n' && isExtender(points[index + 1]))
}

export const trimRange = (points: readonly string[], range: TextRange): TextRange => {
  let { start, end } = range
  while (start < end && isSpace(points, start)) start += 1
  while (end > start && isSpace(points, end - 1)) end -= 1
  return { start, end }
}

export const lengthOf = (range: TextRange): number => range.end - range.start

export const textOf = (points: readonly string[], range: TextRange): string =>
  points.slice(range.start, range.end).join('')

/** Sentences of a text with `\n` line ends, in order: paragraphs (lines) first, then Unicode sentence rules for Polish. */
export const sentencesOf = (points: readonly string[]): Sentence[] => {
  const sentences: Sentence[] = []
  let paragraphStart = 0
  for (let index = 0; index <= points.length; index += 1) {
    if (index < points.length && points[index] !== '\n') continue
    sentences.push(...sentencesOfParagraph(points, { start: paragraphStart, end: index }))
    paragraphStart = index + 1
  }
  return sentences
}

const sentencesOfParagraph = (points: readonly string[], paragraph: TextRange): Sentence[] => {
  const sentences: Sentence[] = []
  let start = paragraph.start
  for (const { segment } of sentenceSegmenter.segment(textOf(points, paragraph))) {
    const end = start + codePointsOf(segment).length
    const range = trimRange(points, { start, end })
    if (lengthOf(range) > 0) sentences.push({ ...range, endsParagraph: false })
    start = end
  }
  const last = sentences.at(-1)
  if (last) last.endsParagraph = true
  return sentences
}
