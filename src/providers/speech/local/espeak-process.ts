// The speech process. eSpeak NG is under the GPL, version 3: this file is the only one that loads it, and it runs in a
// process of its own that talks with the server by messages.
import createEspeak from '@echogarden/espeak-ng-emscripten'
import { codecDelaySeconds, createSpeechEncoder } from './encode-speech.ts'
import { readTask, type SpeechReply, type SpeechTask } from './messages.ts'
import { decodeRecording } from './recording.ts'
import { engineRate, renderSpeech, type SpeakSentence } from './render-speech.ts'
import { analyseVoice, type VoiceParameters } from './voice-analysis.ts'
import type { EngineEvent } from './word-times.ts'

const variants: Record<VoiceParameters['timbre'], string> = { male: 'pl+m3', female: 'pl+f2' }

const { eSpeakNGWorker: Espeak } = await createEspeak()
const espeak = new Espeak()
const encode = await createSpeechEncoder()

const speakSentence: SpeakSentence = (text) => {
  const blocks: Int16Array[] = []
  const events: EngineEvent[] = []
  let length = 0
  espeak.synthesize(text, (samples, more) => {
    if (samples !== null) {
      blocks.push(samples)
      length += samples.length
    }
    events.push(...more)
  })
  const samples = new Int16Array(length)
  let offset = 0
  for (const block of blocks) {
    samples.set(block, offset)
    offset += block.length
  }
  return { samples, events }
}

const speak = ({ text, voice }: SpeechTask & { op: 'speak' }): SpeechReply => {
  if (espeak.set_voice(variants[voice.timbre]) !== 0 || espeak.get_samplerate() !== engineRate)
    throw new Error('the Polish voice is missing')
  // Choosing a voice resets the rest.
  espeak.set_rate(voice.rate)
  espeak.set_pitch(voice.pitch)
  espeak.set_range(voice.range)
  const speech = renderSpeech(text, speakSentence)
  if (speech === null) return { outcome: 'refused', reason: 'nothing_to_say' }
  const timings = speech.timings.map((timing) => ({
    ...timing,
    startSeconds: timing.startSeconds + codecDelaySeconds,
    endSeconds: timing.endSeconds + codecDelaySeconds,
  }))
  return { outcome: 'spoken', audio: encode(speech.samples), timings }
}

const measure = async ({ recording }: SpeechTask & { op: 'measure' }): Promise<SpeechReply> => {
  const sound = await decodeRecording(recording)
  if (sound === null) return { outcome: 'refused', reason: 'unreadable' }
  return { outcome: 'measured', analysis: analyseVoice(sound.samples, sound.sampleRate) }
}

// Any failure ends the process with its exit code: the parent starts a fresh one for the next call.
process.on('message', (message) => {
  const numbered = readTask(message)
  if (numbered === null) throw new Error('not a task')
  const { id, task } = numbered
  const answer = async () => {
    const reply = task.op === 'speak' ? speak(task) : await measure(task)
    process.send?.({ id, reply })
  }
  void answer()
})
process.on('disconnect', () => process.exit())
