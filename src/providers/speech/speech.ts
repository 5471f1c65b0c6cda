export type SpeechProviderName = 'elevenlabs' | 'cartesia' | 'local'

export type SpeechErrorKind =
  | 'throttled'
  | 'concurrency'
  | 'transient'
  | 'voice_gone'
  | 'slots_full'
  | 'clone_quota'
  | 'quota'
  | 'auth'
  | 'configuration'
  | 'too_long'
  | 'rejected'

/** A classified failure of a speech provider. The message never holds story text, keys or provider payloads. */
export class SpeechError extends Error {
  readonly kind: SpeechErrorKind
  readonly retryAfterSeconds: number | undefined
  readonly providerCode: string | undefined
  readonly httpStatus: number | undefined
  readonly requestId: string | undefined

  constructor(
    kind: SpeechErrorKind,
    message: string,
    details: {
      retryAfterSeconds?: number
      providerCode?: string
      httpStatus?: number
      requestId?: string
      cause?: unknown
    } = {},
  ) {
    super(message, { cause: details.cause })
    this.name = 'SpeechError'
    this.kind = kind
    this.retryAfterSeconds = details.retryAfterSeconds
    this.providerCode = details.providerCode
    this.httpStatus = details.httpStatus
    this.requestId = details.requestId
  }
}

/** One spoken word or character; offsets are code points into the text that was spoken. */
export interface SpeechTiming {
  startSeconds: number
  endSeconds: number
  textStart: number
  textEnd: number
}

export interface SpokenAudio {
  /** MP3 bytes. */
  audio: Uint8Array
  format: { sampleRate: number; channels: number; bitrate: number }
  timings: SpeechTiming[] | null
  requestId: string | null
  billedCharacters: number
}

/** A speech provider. No adapter retries inside; every call has its own deadline besides the caller's signal. */
export interface SpeechProvider {
  readonly name: SpeechProviderName
  readonly limits: { maxCharacters: number; usesContext: boolean; timings: 'characters' | 'words' }
  /** False: a voice is nothing but its id, so that none can be found, listed, removed or left behind. */
  readonly remembersVoices: boolean
  /** Stored with each attempt and part of its render keys: what the provider's sound depends on besides the text. */
  readonly model: string
  readonly settings: Readonly<Record<string, string | number | boolean>>
  clone(
    request: { name: string; sample: Uint8Array; sampleType: string; language: 'pl' },
    signal: AbortSignal,
  ): Promise<{ externalId: string }>
  findByName(request: { name: string }, signal: AbortSignal): Promise<{ externalId: string } | null>
  remove(request: { externalId: string }, signal: AbortSignal): Promise<'removed' | 'absent'>
  /** Complete, or throws. */
  list(signal: AbortSignal): AsyncIterable<{ externalId: string; name: string; createdAt: Date | null }>
  exists(request: { externalId: string }, signal: AbortSignal): Promise<boolean>
  account(signal: AbortSignal): Promise<{
    voiceLimit: number | null
    voiceSlotsUsed: number | null
    voiceAdditionsLeft: number | null
    charactersLeft: number | null
    resetsAt: Date | null
  }>
  speak(
    request: { externalId: string; text: string; before: string; after: string },
    signal: AbortSignal,
  ): Promise<SpokenAudio>
}
