/** The parts of `@echogarden/espeak-ng-emscripten` 0.3.5 (eSpeak NG 1.52) that are used; the package has no types. */
declare module '@echogarden/espeak-ng-emscripten' {
  export interface EspeakEvent {
    type: string
    /** One-based, in code points. */
    text_position: number
    word_length: number
    /** Milliseconds since the start of the call. */
    audio_position: number
    /** Phoneme events: the phoneme, empty for a pause. Word events: a number. */
    id: string | number | undefined
  }

  interface EspeakWorker {
    /** Zero when the voice is known; an unknown variant after `+` silently gives the plain voice. */
    set_voice(name: string): number
    set_rate(wordsPerMinute: number): void
    set_pitch(pitch: number): void
    set_range(range: number): void
    get_samplerate(): number
    synthesize(
      text: string,
      onAudio: (samples: Int16Array | null, events: EspeakEvent[]) => boolean | void,
    ): void
  }

  const createModule: () => Promise<{ eSpeakNGWorker: new () => EspeakWorker }>
  export default createModule
}
