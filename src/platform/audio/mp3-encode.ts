import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { createEncoder } from 'wasm-media-encoders'
import { resample } from './resample.ts'

type Encoder = Awaited<ReturnType<typeof createEncoder<'audio/mpeg'>>>
export type Mp3Bitrate = Exclude<Parameters<Encoder['configure']>[0]['bitrate'], undefined>
export type Mp3SampleRate = Exclude<Parameters<Encoder['configure']>[0]['outputSampleRate'], undefined>

const outputRates: readonly Mp3SampleRate[] = [
  8000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000,
]

let wasmFile: Promise<Buffer> | null = null
let idleEncoder: Encoder | null = null

/** Instances are kept one at a time: making one compiles 130 KiB of WebAssembly (about 60 ms). */
const takeEncoder = async (): Promise<Encoder> => {
  const idle = idleEncoder
  idleEncoder = null
  if (idle !== null) return idle
  wasmFile ??= readFile(fileURLToPath(import.meta.resolve('wasm-media-encoders/wasm/mp3')))
  return createEncoder('audio/mpeg', await wasmFile)
}

/**
 * Encodes samples (−1…1; one or two channels of equal length) to constant-bitrate MP3 with LAME.
 *
 * Returns bare frames: no tag and no `Info` header frame (the WebAssembly build of LAME writes none), so results can be
 * joined as they are; `assembleMp3` puts tag and header in front of a whole file. The first frame refers to no earlier
 * one and the bit reservoir is flushed at the end. Rates that MP3 does not know are resampled to 44.1 kHz.
 * Works in slices of about a second of sound, so the event loop is never held for more than some 20 ms.
 */
export const encodeMp3 = async (input: {
  channels: Float32Array[]
  sampleRate: number
  /** kbit/s */
  bitrate: Mp3Bitrate
  signal?: AbortSignal | undefined
}): Promise<Uint8Array> => {
  const count = input.channels.length
  if (count !== 1 && count !== 2) throw new RangeError('MP3 holds one or two channels')
  const outputSampleRate = outputRates.find((rate) => rate === input.sampleRate) ?? 44_100
  const channels = input.channels.map((channel) => resample(channel, input.sampleRate, outputSampleRate))
  const length = channels[0]?.length ?? 0
  const encoder = await takeEncoder()
  const chunks: Uint8Array[] = []
  encoder.configure({
    channels: count,
    sampleRate: outputSampleRate,
    bitrate: input.bitrate,
    outputSampleRate,
  })
  for (let start = 0; start < length; start += outputSampleRate) {
    input.signal?.throwIfAborted()
    const slice = channels.map((channel) => channel.subarray(start, start + outputSampleRate))
    chunks.push(encoder.encode(slice).slice()) // the encoder reuses its output memory
    await nextTurn()
  }
  chunks.push(encoder.finalize().slice())
  idleEncoder = encoder
  return Buffer.concat(chunks)
}
