/**
 * How fast and how big local speech is: `node bench/local-speech.ts`. Speaks 3,000 letters of Polish once to start a
 * process and three times for the figures. Memory is read from /proc, so it is left out elsewhere than on Linux.
 */
import { readFileSync } from 'node:fs'
import { createLocalSpeech } from '../src/providers/speech/local/local-speech.ts'
import { syntheticVoice, wavFile } from '../src/providers/speech/local/synthetic-voice.ts'

const paragraph =
  'Na skraju lasu stał mały dom z czerwonym dachem. Mieszkała w nim babcia, która znała wszystkie bajki świata. ' +
  'Wieczorem zapalała lampę i siadała przy oknie. Wtedy z ogrodu przychodził jeż, a z dachu schodził stary kot.\n\n'
const text = Array.from(paragraph.repeat(15)).slice(0, 3000).join('')

const peakMegabytes = (id: number | 'self'): string => {
  try {
    const peak = /VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${id}/status`, 'utf8'))?.[1]
    return peak === undefined ? 'unknown' : `${Math.round(Number(peak) / 1024)} MiB`
  } catch {
    return 'unknown'
  }
}

const timed = async <T>(work: () => Promise<T>): Promise<{ result: T; seconds: number }> => {
  const start = performance.now()
  const result = await work()
  return { result, seconds: (performance.now() - start) / 1000 }
}

const { signal } = new AbortController()
const speech = createLocalSpeech({ concurrency: 1 })
try {
  const sample = wavFile(syntheticVoice({ hertz: 200, seconds: 60, syllablesPerSecond: 4.5 }, 44_100), 44_100)
  const request = { externalId: 'local-bench-f-p50r50w145', before: '', after: '' }
  const first = await timed(() => speech.speak({ ...request, text: 'Dobranoc.' }, signal))
  console.log(`process start and one word   ${first.seconds.toFixed(2)} s`)
  for (let run = 1; run <= 3; run += 1) {
    const { result, seconds } = await timed(() => speech.speak({ ...request, text }, signal))
    const spoken = (result.audio.length * 8) / (1000 * result.format.bitrate)
    const letters = (3000 / spoken).toFixed(1)
    console.log(
      `3,000 letters, run ${run}         ${seconds.toFixed(2)} s for ${spoken.toFixed(1)} s of sound: ` +
        `${(spoken / seconds).toFixed(0)}× real time, ${letters} letters per second`,
    )
  }
  const [id = 0] = speech.processIds()
  console.log(`peak memory, speech process  ${peakMegabytes(id)}`)
  const clone = await timed(() =>
    speech.clone({ name: 'bench', sample, sampleType: 'audio/wav', language: 'pl' }, signal),
  )
  console.log(`clone of 60 s                ${clone.seconds.toFixed(2)} s → ${clone.result.externalId}`)
  console.log(`peak memory, after cloning   ${peakMegabytes(id)}`)
  console.log(`peak memory, parent          ${peakMegabytes('self')}`)
} finally {
  await speech.close()
}
