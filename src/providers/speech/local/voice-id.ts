import type { VoiceParameters } from './voice-analysis.ts'

// The whole voice is in its id, so any process on any machine can speak with it and nothing has to be stored.
const form = /^local-[a-z0-9-]{1,200}-(m|f)-p(\d{2})r(\d{2})w(\d{3})$/

const within = (value: number, low: number, high: number): boolean => value >= low && value <= high

/** `local-<name>-f-p46r62w145`: at most 255 characters of a–z, 0–9 and `-`; the end of long names is kept. */
export const voiceId = (name: string, { timbre, pitch, range, rate }: VoiceParameters): string => {
  const plain = name.toLowerCase().replace(/[^a-z0-9]+/g, '-')
  const suffix = plain.slice(-200).replace(/^-+|-+$/g, '') || 'voice'
  return `local-${suffix}-${timbre === 'male' ? 'm' : 'f'}-p${pitch}r${range}w${rate}`
}

/** Null for ids that were not made by `voiceId`. */
export const readVoiceId = (externalId: string): VoiceParameters | null => {
  const match = form.exec(externalId)
  if (match === null) return null
  const voice: VoiceParameters = {
    timbre: match[1] === 'm' ? 'male' : 'female',
    pitch: Number(match[2]),
    range: Number(match[3]),
    rate: Number(match[4]),
  }
  const isKnown = within(voice.pitch, 15, 90) && within(voice.range, 30, 80) && within(voice.rate, 110, 180)
  return isKnown ? voice : null
}
