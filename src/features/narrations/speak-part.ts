import { createHash } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseMp3 } from '../../platform/audio/mp3-frames.ts'
import { SpeechError, type SpeechProvider, type SpokenAudio } from '../../providers/speech/speech.ts'
import type { TextPart } from './split-text.ts'

/** What the sound of a part depends on: two parts with one key need to be bought only once. */
export const renderKey = (
  part: Pick<TextPart, 'text' | 'before' | 'after'>,
  voice: {
    provider: string
    usesContext: boolean
    model: string
    settings: unknown
    recordingSha256: string
    regenerationNumber: number
  },
): string => {
  const context = voice.usesContext ? [part.before, part.after] : []
  const format = 'mp3_44100_128'
  const { provider, model, settings, recordingSha256, regenerationNumber } = voice
  return createHash('sha256')
    .update(
      JSON.stringify([
        part.text,
        context,
        provider,
        model,
        settings,
        format,
        recordingSha256,
        regenerationNumber,
      ]),
    )
    .digest('hex')
}

export interface CheckedPart extends SpokenAudio {
  frames: number
  durationSeconds: number
  isSuspect: boolean
}

const transientWaitsMs = [1000, 4000, 15_000, 45_000]
const lettersPerSecond = { min: 4, max: 45 }

/** 20 §5.3 step 5: unreadable audio is a transient fault, an implausible length is only flagged. */
export const checkPart = (spoken: SpokenAudio, text: string): CheckedPart => {
  const parsed = parseMp3(spoken.audio)
  if (parsed.validShare < 0.95 || parsed.durationSeconds <= 0)
    throw new SpeechError('transient', 'the provider answered audio that cannot be read')
  const letters = text.match(/\p{L}/gu)?.length ?? 0
  const pace = letters / parsed.durationSeconds
  const isSuspect = letters > 20 && (pace < lettersPerSecond.min || pace > lettersPerSecond.max)
  return { ...spoken, frames: parsed.frameOffsets.length, durationSeconds: parsed.durationSeconds, isSuspect }
}

const jitter = (ms: number): number => ms * (0.75 + Math.random() * 0.5)

const throttleWaitMs = (error: SpeechError, round: number): number =>
  error.retryAfterSeconds === undefined
    ? jitter(Math.min(60_000, 2000 * 2 ** Math.min(round, 5)))
    : Math.min(120, Math.max(1, error.retryAfterSeconds)) * 1000

/**
 * Speaks one part, waiting out what passes (20 §5.5): throttling uses up no try, a transient fault gets five, an
 * implausible result one more. Everything else is thrown as the provider's classified error.
 */
export const speakPart = async (
  provider: SpeechProvider,
  request: { externalId: string; part: TextPart; beforeCall?: () => Promise<void> },
  signal: AbortSignal,
): Promise<CheckedPart> => {
  const { part, externalId } = request
  let failures = 0
  let throttled = 0
  let suspect: CheckedPart | null = null
  for (;;) {
    signal.throwIfAborted()
    await request.beforeCall?.()
    try {
      const call = { externalId, text: part.text, before: part.before, after: part.after }
      const checked = checkPart(await provider.speak(call, signal), part.text)
      if (!checked.isSuspect || suspect) return checked
      suspect = checked
    } catch (error) {
      if (!(error instanceof SpeechError) || signal.aborted) throw error
      if (error.kind === 'throttled' || error.kind === 'concurrency') {
        await sleep(throttleWaitMs(error, throttled), undefined, { signal })
        throttled += 1
        continue
      }
      const wait = transientWaitsMs[failures]
      if (error.kind !== 'transient' || wait === undefined) throw error
      failures += 1
      await sleep(jitter(wait), undefined, { signal })
    }
  }
}
