import { createLocalSpeech } from '../src/providers/speech/local/local-speech.ts'

const text =
  'To jest krótkie nagranie próbne. Czytam je spokojnie i wyraźnie, tak jak czyta się bajkę przed snem. ' +
  'Za oknem pada deszcz, a w domu jest ciepło i cicho. Kot śpi na parapecie i ani myśli się ruszyć.'

/** About 12 s of Polish speech as MP3, low (about 100 Hz) or high (about 200 Hz). Stands in for a parent's recording. */
export const speakRecording = async (pitch: 'low' | 'high' = 'low'): Promise<Uint8Array<ArrayBuffer>> => {
  const speech = createLocalSpeech({ concurrency: 1 })
  const externalId = pitch === 'low' ? 'local-test-m-p20r50w140' : 'local-test-f-p80r50w140'
  try {
    const { audio } = await speech.speak(
      { externalId, text, before: '', after: '' },
      AbortSignal.timeout(60_000),
    )
    return new Uint8Array(audio)
  } finally {
    await speech.close()
  }
}

/** A multipart body as the mobile app sends it: the part's type is always audio/wav. */
export const recordingForm = (
  bytes: Uint8Array<ArrayBuffer>,
  filename = 'nagranie.mp3',
  fields: Record<string, string> = {},
): FormData => {
  const form = new FormData()
  for (const [name, value] of Object.entries(fields)) form.set(name, value)
  form.set('file', new Blob([bytes], { type: 'audio/wav' }), filename)
  return form
}
