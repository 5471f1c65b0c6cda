import type { ChildProcess } from 'node:child_process'
import { open } from 'node:fs/promises'
import { setReferenced, startDecodeChild, watchMemory } from './decode-child.ts'
import type { DecodeRequest } from './decode-recording.ts'
import type { RecordingMeasures } from './recording-meter.ts'
import type { AudioType } from './sniff.ts'

export type InspectedRecording = RecordingMeasures & { type: AudioType }

export type InspectResult =
  | { kind: 'ok'; recording: InspectedRecording; samples: Float32Array | null }
  /** `reason` is for the log. */
  | { kind: 'unreadable'; reason: 'undecodable' | 'crashed' | 'wall_time' | 'memory' | 'too_large' }
  | { kind: 'busy' }

export interface InspectOptions {
  signal?: AbortSignal | undefined
  /** Asks for the beginning as one channel (mixed) at `sampleRate` hertz, −1…1. */
  wantSamples?: DecodeRequest['wantSamples'] | undefined
}

export interface DecodeSandbox {
  /**
   * Decodes and measures a recording in a child process of its own. The type is found by content. A recording longer
   * than `maxAudioSeconds` answers exactly that duration. Rejects with the signal's reason when aborted, and when the
   * file cannot be read or no child can be started; whatever a recording does to the child is `unreadable`.
   */
  inspect(recording: Uint8Array | { path: string }, options?: InspectOptions): Promise<InspectResult>
  /** Ends the children; jobs in flight reject. */
  close(): Promise<void>
}

const maxFileBytes = 26 * 1024 * 1024

const readRecording = async (path: string): Promise<Uint8Array | null> => {
  await using file = await open(path)
  const { size } = await file.stat()
  return size > maxFileBytes ? null : file.readFile()
}

const isNumber = (value: unknown): value is number => typeof value === 'number' && Number.isFinite(value)
const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null
const types: readonly AudioType[] = ['wav', 'mp3', 'mp4', 'webm', 'ogg']

/** The child has handled hostile bytes, so its answer is parsed like any other outside data. */
const parseAnswer = (message: unknown): InspectResult => {
  const refused = { kind: 'unreadable', reason: 'undecodable' } as const
  if (!isRecord(message) || message['kind'] !== 'ok' || !isRecord(message['recording'])) return refused
  const {
    durationSeconds,
    sampleRate,
    channels,
    rmsDbfs,
    peakDbfs,
    clippedShare,
    voicedSeconds,
    noiseFloorDbfs,
    ...rest
  } = message['recording']
  const type = types.find((known) => known === rest['type'])
  const samples = message['samples'] instanceof Float32Array ? message['samples'] : null
  if (type === undefined || !isNumber(durationSeconds) || !isNumber(sampleRate) || !isNumber(channels))
    return refused
  if (!isNumber(rmsDbfs) || !isNumber(peakDbfs) || !isNumber(clippedShare)) return refused
  if (!isNumber(voicedSeconds) || !isNumber(noiseFloorDbfs)) return refused
  return {
    kind: 'ok',
    recording: {
      type,
      durationSeconds,
      sampleRate,
      channels,
      rmsDbfs,
      peakDbfs,
      clippedShare,
      voicedSeconds,
      noiseFloorDbfs,
    },
    samples,
  }
}

/**
 * Runs decoders of untrusted sound at arm's length: one child process per recording (no state passes from one to the
 * next), with limits on processor and wall time, memory and sound length. Starting a child takes about 0.3 s, so one is kept
 * waiting, from the first use on.
 */
export const createDecodeSandbox = (
  options: {
    concurrency?: number
    queueLimit?: number
    cpuSeconds?: number
    wallSeconds?: number
    memoryMiB?: number
    maxAudioSeconds?: number
  } = {},
): DecodeSandbox => {
  const { concurrency = 2, queueLimit = 20, cpuSeconds = 20, wallSeconds = 30, memoryMiB = 512 } = options
  const { maxAudioSeconds = 601 } = options
  const closing = new AbortController()
  const waiting: (() => void)[] = []
  const busy = new Set<ChildProcess>()
  let running = 0
  let spare: ChildProcess | null = null

  const keepSpare = (): void => {
    if (spare !== null || closing.signal.aborted) return
    const child = startDecodeChild({ cpuSeconds, memoryMiB })
    spare = child
    const forget = (): void => {
      if (spare === child) spare = null
    }
    child.once('exit', forget).once('error', forget)
  }

  const takeChild = (): ChildProcess => {
    const child = spare?.connected ? spare : startDecodeChild({ cpuSeconds, memoryMiB })
    if (child === spare) spare = null
    return child
  }

  const decodeIn = (child: ChildProcess, bytes: Uint8Array, job: InspectOptions, signal: AbortSignal) =>
    new Promise<InspectResult>((resolve, reject) => {
      const refuse = (reason: 'wall_time' | 'memory' | 'crashed'): void =>
        resolve({ kind: 'unreadable', reason })
      const wallTimer = setTimeout(() => refuse('wall_time'), wallSeconds * 1000)
      const stopWatching = watchMemory(child, memoryMiB, () => refuse('memory'))
      const abort = (): void => reject(signal.reason)
      signal.addEventListener('abort', abort, { once: true })
      child.once('exit', () => {
        clearTimeout(wallTimer)
        stopWatching()
        signal.removeEventListener('abort', abort)
        refuse('crashed')
      })
      child.once('error', (error) => {
        // Before there is a process this is our fault, not the recording's.
        if (child.pid === undefined) {
          clearTimeout(wallTimer)
          stopWatching()
          reject(error)
        }
      })
      child.once('message', (message) => resolve(parseAnswer(message)))
      const request = {
        bytes,
        maxAudioSeconds,
        wantSamples: job.wantSamples ?? null,
        memoryBytes: memoryMiB * 2 ** 20,
      }
      child.send(request, (error) => {
        if (error) refuse('crashed')
      })
    })

  const run = async (bytes: Uint8Array, job: InspectOptions, signal: AbortSignal): Promise<InspectResult> => {
    const child = takeChild()
    busy.add(child)
    setReferenced(child, true)
    try {
      return await decodeIn(child, bytes, job, signal)
    } finally {
      busy.delete(child)
      child.kill('SIGKILL')
      keepSpare()
    }
  }

  /** Resolves when there is room; rejects when aborted while waiting. */
  const waitForTurn = (signal: AbortSignal): Promise<void> =>
    new Promise((resolve, reject) => {
      const enter = (): void => {
        signal.removeEventListener('abort', leave)
        running++
        resolve()
      }
      const leave = (): void => {
        waiting.splice(waiting.indexOf(enter), 1)
        reject(signal.reason)
      }
      if (running < concurrency) return enter()
      signal.addEventListener('abort', leave, { once: true })
      waiting.push(enter)
    })

  const inspect: DecodeSandbox['inspect'] = async (recording, job = {}) => {
    const signal = job.signal ? AbortSignal.any([job.signal, closing.signal]) : closing.signal
    signal.throwIfAborted()
    if (running >= concurrency && waiting.length >= queueLimit) return { kind: 'busy' }
    await waitForTurn(signal)
    try {
      const bytes = recording instanceof Uint8Array ? recording : await readRecording(recording.path)
      signal.throwIfAborted()
      if (bytes === null || bytes.length > maxFileBytes) return { kind: 'unreadable', reason: 'too_large' }
      return await run(bytes, job, signal)
    } finally {
      running--
      waiting.shift()?.()
    }
  }

  const close: DecodeSandbox['close'] = async () => {
    closing.abort(new Error('the decode sandbox is closed'))
    const children = spare ? [spare, ...busy] : [...busy]
    await Promise.all(
      children.map(async (child) => {
        if (child.exitCode !== null || child.signalCode !== null) return
        const ended = new Promise((resolve) => child.once('exit', resolve).once('error', resolve))
        setReferenced(child, true)
        child.kill('SIGKILL')
        await ended
      }),
    )
  }

  return { inspect, close }
}
