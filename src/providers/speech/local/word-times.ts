import type { SpeakableWord } from './speakable-text.ts'

/** What the engine tells while it speaks. */
export interface EngineEvent {
  type: string
  /** One-based, in code points. */
  text_position: number
  /** Milliseconds since the start of the call. */
  audio_position: number
  /** Phoneme events: the phoneme, empty for a pause. */
  id: string | number | undefined
}

/** Seconds from the start of the sentence's sound. */
export interface WordTime {
  startSeconds: number
  endSeconds: number
}

/**
 * Times for every word of a sentence, in order and without overlap. The engine's word events point at the word or a
 * few characters before it, come several times for one word ("1234") and not at all for some: the first event of a
 * word counts, and words without one share the time of the word before them by length.
 */
export const wordTimes = (
  words: readonly SpeakableWord[],
  events: readonly EngineEvent[],
  soundSeconds: number,
): WordTime[] => {
  const starts: (number | undefined)[] = words.map(() => undefined)
  const ends: (number | undefined)[] = words.map(() => undefined)
  let current = -1
  let pauseAt: number | undefined
  let lastAt = 0
  for (const event of events) {
    const at = Math.min(Math.max(event.audio_position / 1000, lastAt), soundSeconds)
    if (event.type === 'phoneme') {
      if (event.id !== '') pauseAt = undefined
      else pauseAt ??= at
    }
    if (event.type !== 'word') continue
    lastAt = at
    const position = event.text_position - 1
    const found = words.findIndex(({ end }) => position < end)
    if (found <= current) continue
    if (current >= 0) ends[current] = pauseAt ?? at
    starts[found] = at
    current = found
    pauseAt = undefined
  }
  if (current >= 0) ends[current] = pauseAt ?? soundSeconds
  return fillGaps(words, starts, ends, soundSeconds)
}

const fillGaps = (
  words: readonly SpeakableWord[],
  starts: readonly (number | undefined)[],
  ends: readonly (number | undefined)[],
  soundSeconds: number,
): WordTime[] => {
  const times: WordTime[] = []
  for (let first = 0; first < words.length;) {
    let next = first + 1
    while (next < words.length && starts[next] === undefined) next += 1
    const from = starts[first] ?? 0
    const to = Math.max(
      from,
      starts[first] === undefined ? (starts[next] ?? soundSeconds) : (ends[first] ?? soundSeconds),
    )
    const letters = words.slice(first, next).map(({ start, end }) => end - start)
    const total = letters.reduce((sum, count) => sum + count, 0)
    let before = 0
    for (const count of letters) {
      times.push({
        startSeconds: from + ((to - from) * before) / total,
        endSeconds: from + ((to - from) * (before + count)) / total,
      })
      before += count
    }
    first = next
  }
  return times
}
