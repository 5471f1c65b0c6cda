/** A word: code points `start`..`end` of the sentence's own text, and the same word in the whole text. */
export interface SpeakableWord {
  start: number
  end: number
  textStart: number
  textEnd: number
}

export interface SpeakableSentence {
  /** What the engine is given: composed letters, nothing it would spell out by name. */
  text: string
  words: SpeakableWord[]
  /** Whether a line break follows before the next sentence. */
  endsParagraph: boolean
}

const word = /[\p{L}\p{N}][\p{L}\p{M}\p{N}]*(?:['’][\p{L}\p{N}][\p{L}\p{M}\p{N}]*)*/gu
// Everything else (emoji, quotation marks, brackets, markup) would be read out by name in the middle of a story.
const kept = /[\p{L}\p{M}\p{N}\s.,;:!?…–—'’%+°€$/=-]/u
const unseen = /[\p{Cf}\p{Cc}]/u

/** Splits into sentences of plain letters; every word keeps its code point range in the original text. */
export const speakableSentences = (text: string): SpeakableSentence[] => {
  const sentences: SpeakableSentence[] = []
  let offset = 0
  for (const { segment } of new Intl.Segmenter('pl', { granularity: 'sentence' }).segment(text)) {
    const points = Array.from(segment)
    const sentence = speakableSentence(points, offset)
    offset += points.length
    if (sentence.words.length > 0) sentences.push(sentence)
    const last = sentences.at(-1)
    if (last && /[\n\r\u2028\u2029]/.test(segment)) last.endsParagraph = true
  }
  return sentences
}

const speakableSentence = (points: string[], offset: number): SpeakableSentence => {
  const spoken: string[] = []
  const origins: number[] = []
  for (const [index, point] of points.entries()) {
    const previous = spoken.at(-1)
    // The engine knows `ó`, not `o` + accent: decomposed text (as macOS writes it) is composed here.
    if (previous !== undefined && /\p{M}/u.test(point)) {
      const composed = (previous + point).normalize('NFC')
      if (Array.from(composed).length === 1) spoken[spoken.length - 1] = composed
      continue
    }
    if (/\s/.test(point)) spoken.push(' ')
    else if (unseen.test(point)) continue
    else spoken.push(kept.test(point) ? point : ' ')
    origins.push(index)
  }
  const text = spoken.join('')
  const words: SpeakableWord[] = []
  let unit = 0
  let start = 0
  for (const match of text.matchAll(word)) {
    start += Array.from(text.slice(unit, match.index)).length
    unit = match.index
    const end = start + Array.from(match[0]).length
    const textStart = origins[start] ?? 0
    const textEnd = wordEnd(points, origins[end - 1] ?? textStart)
    words.push({ start, end, textStart: offset + textStart, textEnd: offset + textEnd })
  }
  // A dash that opens a line of dialogue is a sign for the eye; the engine would pause before the first word.
  return { text: text.replace(/^[\s–—-]+/, (lead) => ' '.repeat(lead.length)), words, endsParagraph: false }
}

/** Takes in the marks that were composed into the last letter. */
const wordEnd = (points: string[], lastLetter: number): number => {
  let end = lastLetter + 1
  while (/^\p{M}$/u.test(points[end] ?? '')) end += 1
  return end
}
