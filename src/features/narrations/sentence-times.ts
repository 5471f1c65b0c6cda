import { codePointsOf, lengthOf, sentencesOf, trimRange, type TextRange } from './spoken-text.ts'

/** When a range of the text is heard: seconds into the audio, code points into the text, ends exclusive. */
export interface TimedText {
  startSeconds: number
  endSeconds: number
  textStart: number
  textEnd: number
}

export interface TimedSentence extends TimedText {
  words: TimedText[]
}

/** A spoken part: where it lies in the text (code points) and in the audio (seconds, joins before it counted in). */
export interface SpokenPart {
  start: number
  end: number
  startSeconds: number
  durationSeconds: number
  /** The provider's times, with offsets into the part's own text and seconds from the part's start; null = it gave none. */
  timings: readonly TimedText[] | null
  timingsOf: 'characters' | 'words'
}

export interface SentenceTimes {
  /** `estimated`: no provider times at all, every sentence is timed by its length and has no words. */
  source: 'provider' | 'estimated'
  sentences: TimedSentence[]
}

interface Piece extends TextRange {
  sentence: number
  words: TimedText[]
}

interface Span {
  startSeconds: number
  endSeconds: number
}

const wordSegmenter = new Intl.Segmenter('pl', { granularity: 'word' })

/**
 * Times of the sentences of `text` (`\n` line ends) in the parts spoken so far: the gapless prefix, in order. Sentences
 * are ordered, do not overlap and stay inside their parts; a sentence that goes on in a part not given ends with the last
 * given one. A sentence without a timed word fills the gap around it in proportion to its length.
 */
export const timeSentences = (text: string, parts: readonly SpokenPart[]): SentenceTimes => {
  const points = codePointsOf(text)
  const sentences = sentencesOf(points)
  const timed = new Map<number, TimedSentence>()
  for (const part of parts) {
    const words = wordsOfPart(points, part)
    const pieces = sentences.flatMap((sentence, index): Piece[] => {
      const range = trimRange(points, {
        start: Math.max(sentence.start, part.start),
        end: Math.min(sentence.end, part.end),
      })
      if (range.end <= range.start) return []
      const own = words.filter((word) => word.textStart >= range.start && word.textEnd <= range.end)
      return [{ ...range, sentence: index, words: own }]
    })
    for (const [index, span] of timePieces(pieces, part).entries()) {
      const piece = pieces[index]
      if (!piece) continue
      const begun = timed.get(piece.sentence)
      timed.set(piece.sentence, {
        startSeconds: begun?.startSeconds ?? span.startSeconds,
        endSeconds: span.endSeconds,
        textStart: begun?.textStart ?? piece.start,
        textEnd: piece.end,
        words: [...(begun?.words ?? []), ...piece.words],
      })
    }
  }
  const made = [...timed.values()]
  return { source: made.some(({ words }) => words.length > 0) ? 'provider' : 'estimated', sentences: made }
}

/**
 * Character times → word times, both relative to `text`. A word is what Unicode's word rules call one, without the
 * punctuation around it; a word of which no character was timed is left out.
 */
export const wordTimesOf = (text: string, characters: readonly TimedText[]): TimedText[] => {
  const timedAt = new Map<number, TimedText>()
  for (const timing of characters)
    for (let at = timing.textStart; at < timing.textEnd; at += 1)
      if (!timedAt.has(at)) timedAt.set(at, timing)
  const words: TimedText[] = []
  let textStart = 0
  for (const { segment, isWordLike } of wordSegmenter.segment(text)) {
    const textEnd = textStart + codePointsOf(segment).length
    const own: TimedText[] = []
    if (isWordLike)
      for (let at = textStart; at < textEnd; at += 1) {
        const timing = timedAt.get(at)
        if (timing) own.push(timing)
      }
    if (own.length > 0) {
      const startSeconds = Math.min(...own.map((timing) => timing.startSeconds))
      const endSeconds = Math.max(...own.map((timing) => timing.endSeconds))
      words.push({ startSeconds, endSeconds, textStart, textEnd })
    }
    textStart = textEnd
  }
  return words
}

/** Words of a part in the whole text and audio. What does not fit (out of range, overlapping, no number) is skipped. */
const wordsOfPart = (points: readonly string[], part: SpokenPart): TimedText[] => {
  if (part.timings === null) return []
  const length = lengthOf(part)
  const sound = part.timings.filter(
    ({ startSeconds, endSeconds, textStart, textEnd }) =>
      [startSeconds, endSeconds].every(Number.isFinite) &&
      [textStart, textEnd].every(Number.isInteger) &&
      textStart >= 0 &&
      textEnd > textStart &&
      textEnd <= length,
  )
  const partText = points.slice(part.start, part.end).join('')
  const own = part.timingsOf === 'characters' ? wordTimesOf(partText, sound) : [...sound]
  const words: TimedText[] = []
  let [heard, read] = [part.startSeconds, part.start]
  const partEnd = part.startSeconds + part.durationSeconds
  for (const word of own.sort((a, b) => a.textStart - b.textStart)) {
    const range = trimRange(points, { start: part.start + word.textStart, end: part.start + word.textEnd })
    if (range.start < read || range.end <= range.start) continue
    // Providers round each time on its own, so neighbours may overlap by a few milliseconds.
    const startSeconds = Math.min(partEnd, Math.max(heard, part.startSeconds + word.startSeconds))
    const endSeconds = Math.min(partEnd, Math.max(startSeconds, part.startSeconds + word.endSeconds))
    words.push({ startSeconds, endSeconds, textStart: range.start, textEnd: range.end })
    heard = endSeconds
    read = range.end
  }
  return words
}

/** One span per piece: from its words, else a share of the silence between its neighbours' words. */
const timePieces = (pieces: readonly Piece[], part: SpokenPart): Span[] => {
  const spans: Span[] = []
  let heard = part.startSeconds
  for (let index = 0; index < pieces.length;) {
    const [first, last] = [pieces[index]?.words[0], pieces[index]?.words.at(-1)]
    if (first && last) {
      spans.push({ startSeconds: first.startSeconds, endSeconds: last.endSeconds })
      heard = last.endSeconds
      index += 1
      continue
    }
    const isTimed = (piece: Piece, at: number) => at > index && piece.words.length > 0
    const next = pieces.findIndex(isTimed)
    const run = pieces.slice(index, next === -1 ? undefined : next)
    const until = pieces[next]?.words[0]?.startSeconds ?? part.startSeconds + part.durationSeconds
    const total = run.reduce((sum, piece) => sum + lengthOf(piece), 0)
    const from = heard
    let before = 0
    for (const piece of run) {
      const startSeconds = heard
      before += lengthOf(piece)
      heard = before === total ? until : from + ((until - from) * before) / total
      spans.push({ startSeconds, endSeconds: heard })
    }
    index += run.length
  }
  return spans
}
