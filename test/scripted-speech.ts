import { encodeMp3 } from '../src/platform/audio/mp3-encode.ts'
import { SpeechError, type SpeechErrorKind, type SpeechProvider } from '../src/providers/speech/speech.ts'

export type ScriptedCall = { operation: 'clone' | 'find' | 'remove' | 'exists' | 'speak'; subject: string }

export interface ScriptedSpeech {
  provider: SpeechProvider
  /** Every call so far: the name of a clone, the external id of a removal, the text of a spoken part. */
  calls: ScriptedCall[]
  count(operation: ScriptedCall['operation']): number
  inFlight(): number
  maxInFlight(): number
  /** Voices that exist at this provider, by external id. */
  voices: Map<string, string>
  /** The next calls of the operation fail in turn; null lets one through. */
  fail(operation: ScriptedCall['operation'], ...errors: (Error | null)[]): void
  /** All further calls of the operation fail, until `reset`. */
  failAlways(operation: ScriptedCall['operation'], error: Error): void
  /** Calls of the operation wait until the answered function is called, or their signal aborts. */
  hold(operation: ScriptedCall['operation']): () => void
  /** Back to answering everything at once; held calls are let go. */
  reset(): void
}

export const speechError = (kind: SpeechErrorKind, retryAfterSeconds?: number): SpeechError =>
  new SpeechError(kind, `scripted ${kind}`, retryAfterSeconds === undefined ? {} : { retryAfterSeconds })

/** A hum long enough to pass for any part of some 150 to 1,300 letters. */
const hum = (): Promise<Uint8Array> => {
  const sampleRate = 22_050
  const samples = Float32Array.from(
    { length: 30 * sampleRate },
    (_, at) => 0.2 * Math.sin((2 * Math.PI * 160 * at) / sampleRate),
  )
  return encodeMp3({ channels: [samples], sampleRate, bitrate: 32 })
}

const untilAborted = (signal: AbortSignal): Promise<never> =>
  new Promise((_resolve, reject) => {
    const stop = (): void => reject(signal.reason instanceof Error ? signal.reason : new Error('aborted'))
    if (signal.aborted) stop()
    else signal.addEventListener('abort', stop, { once: true })
  })

/** A speech provider that does what the test says; it stands in the place of local speech. */
export const createScriptedSpeech = async (): Promise<ScriptedSpeech> => {
  const audio = await hum()
  const calls: ScriptedCall[] = []
  const voices = new Map<string, string>()
  const queues = new Map<string, (Error | null)[]>()
  const always = new Map<string, Error>()
  const gates = new Map<string, { passed: Promise<void>; open: () => void }>()
  let flying = 0
  let most = 0
  let drawn = 0

  const enter = async <T>(call: ScriptedCall, signal: AbortSignal, answer: () => T): Promise<T> => {
    signal.throwIfAborted()
    calls.push(call)
    const error = queues.get(call.operation)?.shift() ?? always.get(call.operation)
    if (call.operation === 'speak') {
      flying += 1
      most = Math.max(most, flying)
    }
    try {
      const gate = gates.get(call.operation)
      if (gate) await Promise.race([gate.passed, untilAborted(signal)])
      if (error) throw error
      return answer()
    } finally {
      if (call.operation === 'speak') flying -= 1
    }
  }

  const provider: SpeechProvider = {
    name: 'local',
    remembersVoices: true,
    limits: { maxCharacters: 5000, usesContext: false, timings: 'words' },
    model: 'scripted',
    settings: {},
    clone: ({ name }, signal) =>
      enter({ operation: 'clone', subject: name }, signal, () => {
        drawn += 1
        const externalId = `scripted-${drawn}`
        voices.set(externalId, name)
        return { externalId }
      }),
    findByName: ({ name }, signal) =>
      enter({ operation: 'find', subject: name }, signal, () => {
        const found = [...voices].find(([, given]) => given === name)
        return found ? { externalId: found[0] } : null
      }),
    remove: ({ externalId }, signal) =>
      enter({ operation: 'remove', subject: externalId }, signal, () =>
        voices.delete(externalId) ? 'removed' : 'absent',
      ),
    list: async function* () {
      for (const [externalId, name] of voices) yield { externalId, name, createdAt: null }
    },
    exists: ({ externalId }, signal) =>
      enter({ operation: 'exists', subject: externalId }, signal, () => voices.has(externalId)),
    account: () =>
      Promise.resolve({
        voiceLimit: null,
        voiceSlotsUsed: null,
        voiceAdditionsLeft: null,
        charactersLeft: null,
        resetsAt: null,
      }),
    speak: ({ externalId, text }, signal) =>
      enter({ operation: 'speak', subject: text }, signal, () => {
        if (!voices.has(externalId)) throw speechError('voice_gone')
        return {
          audio,
          format: { sampleRate: 22_050, channels: 1, bitrate: 32 },
          timings: null,
          requestId: null,
          billedCharacters: [...text].length,
        }
      }),
  }

  return {
    provider,
    calls,
    voices,
    count: (operation) => calls.filter((call) => call.operation === operation).length,
    inFlight: () => flying,
    maxInFlight: () => most,
    fail: (operation, ...errors) => {
      queues.set(operation, [...(queues.get(operation) ?? []), ...errors])
    },
    failAlways: (operation, error) => {
      always.set(operation, error)
    },
    hold: (operation) => {
      const { promise, resolve } = Promise.withResolvers<void>()
      gates.set(operation, { passed: promise, open: resolve })
      return () => {
        gates.delete(operation)
        resolve()
      }
    },
    reset: () => {
      for (const gate of gates.values()) gate.open()
      gates.clear()
      queues.clear()
      always.clear()
      calls.length = 0
      most = 0
    },
  }
}
