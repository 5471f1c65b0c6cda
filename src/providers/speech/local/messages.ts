import type { SpeechTiming } from '../speech.ts'
import type { VoiceAnalysis, VoiceParameters } from './voice-analysis.ts'

/** What the speech process is asked. */
export type SpeechTask =
  | { op: 'speak'; text: string; voice: VoiceParameters }
  | { op: 'measure'; recording: Uint8Array }

/** What it answers. Messages between the processes are structured clones, so bytes stay bytes. */
export type SpeechReply =
  | { outcome: 'spoken'; audio: Uint8Array; timings: SpeechTiming[] }
  | { outcome: 'measured'; analysis: VoiceAnalysis }
  | { outcome: 'refused'; reason: 'nothing_to_say' | 'unreadable' }

type Fields = Record<string, unknown>

const isFields = (value: unknown): value is Fields => typeof value === 'object' && value !== null

const numbers = (value: unknown, ...names: string[]): boolean =>
  isFields(value) && names.every((name) => typeof value[name] === 'number')

const isTiming = (value: unknown): value is SpeechTiming =>
  numbers(value, 'startSeconds', 'endSeconds', 'textStart', 'textEnd')

const isVoice = (value: unknown): value is VoiceParameters =>
  isFields(value) &&
  (value['timbre'] === 'male' || value['timbre'] === 'female') &&
  numbers(value, 'pitch', 'range', 'rate')

const isAnalysis = (value: unknown): value is VoiceAnalysis =>
  numbers(value, 'pitchSpreadSemitones', 'voicedShare') &&
  isFields(value) &&
  ['medianPitchHz', 'syllablesPerSecond'].every((name) => value[name] === null || numbers(value, name))

/** A numbered task as it came through the channel, or null. */
export const readTask = (message: unknown): { id: number; task: SpeechTask } | null => {
  if (!isFields(message) || typeof message['id'] !== 'number' || !isFields(message['task'])) return null
  const { id, task } = message
  if (task['op'] === 'speak' && typeof task['text'] === 'string' && isVoice(task['voice']))
    return { id, task: { op: 'speak', text: task['text'], voice: task['voice'] } }
  if (task['op'] === 'measure' && task['recording'] instanceof Uint8Array)
    return { id, task: { op: 'measure', recording: task['recording'] } }
  return null
}

/** A numbered reply as it came through the channel, or null. */
export const readReply = (message: unknown): { id: number; reply: SpeechReply } | null => {
  if (!isFields(message) || typeof message['id'] !== 'number' || !isFields(message['reply'])) return null
  const { id, reply } = message
  const { outcome, audio, timings, analysis, reason } = reply
  if (
    outcome === 'spoken' &&
    audio instanceof Uint8Array &&
    Array.isArray(timings) &&
    timings.every(isTiming)
  )
    return { id, reply: { outcome, audio, timings } }
  if (outcome === 'measured' && isAnalysis(analysis)) return { id, reply: { outcome, analysis } }
  if (outcome === 'refused' && (reason === 'nothing_to_say' || reason === 'unreadable'))
    return { id, reply: { outcome, reason } }
  return null
}
