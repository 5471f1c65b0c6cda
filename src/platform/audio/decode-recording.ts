import decode, { type StreamDecoder } from 'audio-decode'
import { createRecordingMeter, type RecordingMeasures } from './recording-meter.ts'
import { streamableMp4 } from './mp4-boxes.ts'
import { parseMp3 } from './mp3-frames.ts'
import { UnreadableAudio, type PcmBlock } from './pcm-block.ts'
import { resample } from './resample.ts'
import { sniffAudio, type AudioType } from './sniff.ts'
import { checkOgg, checkWebm } from './stream-containers.ts'
import { readWav } from './wav-reader.ts'

export interface DecodeRequest {
  bytes: Uint8Array
  /** Decoding ends here, whatever the header claims. */
  maxAudioSeconds: number
  /** The beginning as one channel at this rate (hertz). */
  wantSamples: { sampleRate: number; maxSeconds: number } | null
}

export interface DecodedRecording {
  recording: RecordingMeasures & { type: AudioType }
  samples: Float32Array | null
}

// An Opus packet of two bytes holds 120 ms, so what one call decodes is bounded by small input: 4 KiB of the worst Ogg
// come to 50 MB of samples. Matroska copies its rest with every call and packs blocks less tightly, hence 16 KiB.
const smallChunk = 4096
const chunk = 16_384
// Encoders pad, cut recordings end in half a frame; more than this is something else that merely holds frames.
const minMp3Share = 0.95

const decodeSlices = async function* (
  decoder: StreamDecoder,
  slices: Uint8Array[],
  chunkBytes: number,
): AsyncGenerator<PcmBlock> {
  try {
    for (const slice of slices)
      for (let start = 0; start < slice.length; start += chunkBytes)
        yield await decoder(slice.subarray(start, start + chunkBytes))
    yield await decoder()
  } finally {
    decoder.free()
  }
}

const decodeMp3 = async function* (bytes: Uint8Array): AsyncGenerator<PcmBlock> {
  const stream = parseMp3(bytes)
  const first = Math.min(stream.frameOffsets[0] ?? Infinity, stream.headerFrames[0]?.offset ?? Infinity)
  if (stream.format === null || stream.validShare < minMp3Share)
    throw new UnreadableAudio('not MP3 throughout')
  const { channels } = stream.format
  for await (const block of decodeSlices(await decode.mp3(), [bytes.subarray(first)], chunk)) {
    // The decoder answers two equal channels for one.
    yield channels === 1 ? { ...block, channelData: block.channelData.slice(0, 1) } : block
  }
}

const blocksOf = async function* (bytes: Uint8Array, type: AudioType): AsyncGenerator<PcmBlock> {
  if (type === 'wav') yield* readWav(bytes)
  else if (type === 'mp3') yield* decodeMp3(bytes)
  else if (type === 'mp4') yield* decodeSlices(await decode.m4a(), streamableMp4(bytes), smallChunk)
  else if (type === 'ogg') {
    const codec = checkOgg(bytes)
    yield* decodeSlices(await (codec === 'opus' ? decode.opus() : decode.oga()), [bytes], smallChunk)
  } else {
    checkWebm(bytes)
    yield* decodeSlices(await decode.webm(), [bytes], chunk)
  }
}

/**
 * Decodes and measures a recording of any accepted type, streaming. Whatever is thrown means the recording cannot be
 * read. Meant for the sandbox's child process: it takes whatever time and memory hostile bytes ask for.
 */
export const decodeRecording = async (
  request: DecodeRequest,
  onBlock: () => void = () => {},
): Promise<DecodedRecording> => {
  const { bytes, wantSamples, maxAudioSeconds } = request
  const type = sniffAudio(bytes)
  if (type === null) throw new UnreadableAudio('unknown type')
  const meter = createRecordingMeter({ maxAudioSeconds, keepSeconds: wantSamples?.maxSeconds ?? 0 })
  for await (const block of blocksOf(bytes, type)) {
    onBlock()
    if (meter.add(block)) break
  }
  const measures = meter.measures()
  return {
    recording: { ...measures, type },
    samples: wantSamples ? resample(meter.kept(), measures.sampleRate, wantSamples.sampleRate) : null,
  }
}
