import { SpeechError, type SpeechProvider } from '../speech.ts'
import { speechFormat } from './encode-speech.ts'
import { createSpeechProcesses } from './local-process.ts'
import { paragraphPauseSeconds, sentencePauseSeconds } from './render-speech.ts'
import { voiceParameters } from './voice-analysis.ts'
import { readVoiceId, voiceId } from './voice-id.ts'

const maxCharacters = 5000
const callTimeoutMs = 120_000

export interface LocalSpeech extends SpeechProvider {
  /** Ids of the live speech processes. */
  processIds(): number[]
  /** Ends the speech processes; later calls are refused. */
  close(): Promise<void>
}

/**
 * Polish speech without any service: eSpeak NG in processes of its own, its pitch and tempo taken from the recording.
 * Voices live in their ids alone: `exists` asks whether an id is one of ours, `remove` answers `absent`, `list` is
 * empty, `findByName` finds nothing and `account` has no figures. `billedCharacters` are the text's code points,
 * though nobody is billed. `onCall` hears of each call before it is done.
 */
export const createLocalSpeech = (
  options: {
    /** Speech processes at once; default 2. */
    concurrency?: number
    /** Time without work after which a process ends; default 5 minutes. */
    idleMs?: number
    onCall?: (op: 'clone' | 'findByName' | 'remove' | 'list' | 'exists' | 'account' | 'speak') => void
  } = {},
): LocalSpeech => {
  const { concurrency = 2, idleMs = 300_000, onCall = () => {} } = options
  const processes = createSpeechProcesses({ concurrency, idleMs })

  const clone: SpeechProvider['clone'] = async ({ name, sample }, signal) => {
    onCall('clone')
    const reply = await processes.run(
      { op: 'measure', recording: sample },
      { timeoutMs: callTimeoutMs, signal },
    )
    if (reply.outcome === 'measured') return { externalId: voiceId(name, voiceParameters(reply.analysis)) }
    throw new SpeechError('rejected', 'the recording could not be decoded')
  }

  const speak: SpeechProvider['speak'] = async ({ externalId, text }, signal) => {
    onCall('speak')
    signal.throwIfAborted()
    const voice = readVoiceId(externalId)
    if (voice === null) throw new SpeechError('voice_gone', 'not a local voice')
    const characters = Array.from(text).length
    if (characters > maxCharacters) throw new SpeechError('too_long', `more than ${maxCharacters} characters`)
    const reply = await processes.run({ op: 'speak', text, voice }, { timeoutMs: callTimeoutMs, signal })
    if (reply.outcome !== 'spoken') throw new SpeechError('rejected', 'the text holds nothing to say')
    return {
      audio: reply.audio,
      format: { ...speechFormat },
      timings: reply.timings,
      requestId: null,
      billedCharacters: characters,
    }
  }

  return {
    name: 'local',
    remembersVoices: false,
    limits: { maxCharacters, usesContext: false, timings: 'words' },
    model: 'espeak-ng-1.52-wasm-0.3.5',
    settings: { ...speechFormat, sentencePauseSeconds, paragraphPauseSeconds, male: 'm3', female: 'f2' },
    clone,
    speak,
    async findByName(_request, signal) {
      onCall('findByName')
      signal.throwIfAborted()
      return null
    },
    async remove(_request, signal) {
      onCall('remove')
      signal.throwIfAborted()
      return 'absent'
    },
    async *list(signal) {
      onCall('list')
      signal.throwIfAborted()
      yield* []
    },
    async exists({ externalId }, signal) {
      onCall('exists')
      signal.throwIfAborted()
      return readVoiceId(externalId) !== null
    },
    async account(signal) {
      onCall('account')
      signal.throwIfAborted()
      return {
        voiceLimit: null,
        voiceSlotsUsed: null,
        voiceAdditionsLeft: null,
        charactersLeft: null,
        resetsAt: null,
      }
    },
    processIds: () => processes.ids(),
    close: () => processes.close(),
  }
}
