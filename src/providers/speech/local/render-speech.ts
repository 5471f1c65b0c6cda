import type { SpeechTiming } from '../speech.ts'
import { trimSilence } from './sound.ts'
import { speakableSentences } from './speakable-text.ts'
import { type EngineEvent, wordTimes } from './word-times.ts'

export const engineRate = 22_050

// Before the first and after the last word, together about one sentence pause: parts are joined end to start.
const leadSeconds = 0.1
const tailSeconds = 0.25
export const sentencePauseSeconds = 0.35
export const paragraphPauseSeconds = 0.65

/** Speaks one sentence with an engine that is set to the voice. */
export type SpeakSentence = (text: string) => { samples: Int16Array; events: EngineEvent[] }

/**
 * Speaks sentence by sentence, so that the pauses between them are ours and not the engine's (which vary from 0.4 to
 * 0.9 s). 16 bit mono at 22,050 Hz; times count from its start. Null when there is nothing to say.
 */
export const renderSpeech = (
  text: string,
  speak: SpeakSentence,
): { samples: Int16Array; timings: SpeechTiming[] } | null => {
  const pieces: Int16Array[] = []
  const timings: SpeechTiming[] = []
  let length = 0
  const add = (piece: Int16Array) => {
    pieces.push(piece)
    length += piece.length
  }
  const pause = (seconds: number) => add(new Int16Array(Math.round(seconds * engineRate)))
  let pauseBefore = leadSeconds
  for (const sentence of speakableSentences(text)) {
    const { samples, events } = speak(sentence.text)
    const { sound, cutInFront } = trimSilence(samples)
    if (sound.length === 0) continue
    pause(pauseBefore)
    const startSeconds = length / engineRate
    const soundSeconds = sound.length / engineRate
    const within = (seconds: number) =>
      startSeconds + Math.min(Math.max(seconds - cutInFront / engineRate, 0), soundSeconds)
    for (const [index, time] of wordTimes(sentence.words, events, samples.length / engineRate).entries()) {
      const word = sentence.words[index]
      if (word === undefined) continue
      timings.push({
        startSeconds: within(time.startSeconds),
        endSeconds: within(time.endSeconds),
        textStart: word.textStart,
        textEnd: word.textEnd,
      })
    }
    add(sound)
    pauseBefore = sentence.endsParagraph ? paragraphPauseSeconds : sentencePauseSeconds
  }
  if (length === 0) return null
  pause(tailSeconds)
  const samples = new Int16Array(length)
  let offset = 0
  for (const piece of pieces) {
    samples.set(piece, offset)
    offset += piece.length
  }
  return { samples, timings }
}
