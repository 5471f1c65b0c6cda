import { UnreadableAudio, type PcmBlock } from './pcm-block.ts'

export interface RecordingMeasures {
  durationSeconds: number
  /** Hertz. */
  sampleRate: number
  channels: number
  /** Of the 50 ms frames at −50 dBFS or more, so that pauses do not make a voice look quiet; of all if there are none. */
  rmsDbfs: number
  peakDbfs: number
  /** Share of samples at full scale (|x| ≥ 0.999), 0 to 1. */
  clippedShare: number
  /** 50 ms frames at −50 dBFS or more, added up. */
  voicedSeconds: number
  /** The level below which the quietest tenth of the 50 ms frames lies. */
  noiseFloorDbfs: number
}

const floorDbfs = -100
const voicedDbfs = -50
const frameSeconds = 0.05
const maxChannels = 16

const toDbfs = (power: number): number => Math.max(floorDbfs, 10 * Math.log10(power + 1e-12))

export interface RecordingMeter {
  /** Takes the next block; true when `maxAudioSeconds` is reached. Throws `UnreadableAudio`. */
  add(block: PcmBlock): boolean
  measures(): RecordingMeasures
  /** What was kept, mixed to one channel at the source's rate; −1…1. */
  kept(): Float32Array
}

/** Measures sound as it streams past, in memory that does not grow with its length except for what is kept. */
export const createRecordingMeter = (options: {
  maxAudioSeconds: number
  /** How much of the beginning is kept as samples; 0 for none. */
  keepSeconds: number
}): RecordingMeter => {
  let sampleRate = 0
  let channels = 0
  let frames = 0
  let peak = 0
  let clipped = 0
  let samples = 0
  let framePower = 0
  let frameFill = 0
  let frameLength = 0
  const framePowers: number[] = []
  const keptBlocks: Float32Array[] = []
  let keptLength = 0

  const begin = (block: PcmBlock): void => {
    sampleRate = block.sampleRate
    if (!(sampleRate >= 4000 && sampleRate <= 384_000)) throw new UnreadableAudio(`sample rate ${sampleRate}`)
    frameLength = Math.round(sampleRate * frameSeconds)
  }

  const keep = (channelData: Float32Array[], length: number): void => {
    const count = Math.min(length, Math.floor(options.keepSeconds * sampleRate) - keptLength)
    if (count <= 0) return
    const mixed = new Float32Array(count)
    for (const channel of channelData)
      for (let index = 0; index < count; index++)
        mixed[index] = (mixed[index] ?? 0) + (channel[index] ?? 0) / channelData.length
    for (let index = 0; index < count; index++) mixed[index] = Math.max(-1, Math.min(1, mixed[index] ?? 0))
    keptBlocks.push(mixed)
    keptLength += count
  }

  const add: RecordingMeter['add'] = (block) => {
    const { channelData } = block
    const length = channelData[0]?.length ?? 0
    if (length === 0) return false
    if (sampleRate === 0) begin(block)
    if (block.sampleRate !== sampleRate) throw new UnreadableAudio('sample rate changes')
    if (channelData.length > maxChannels) throw new UnreadableAudio(`${channelData.length} channels`)
    if (channelData.some((channel) => channel.length !== length)) throw new UnreadableAudio('uneven channels')
    // MP3 decoding collapses equal channels to one, so the number may rise once they differ.
    channels = Math.max(channels, channelData.length)
    const room = Math.ceil(options.maxAudioSeconds * sampleRate) - frames
    const count = Math.min(length, room)
    for (let index = 0; index < count; index++) {
      let power = 0
      for (const channel of channelData) {
        const value = channel[index] ?? 0
        const size = Math.abs(value)
        if (size > peak) peak = size
        if (size >= 0.999) clipped++
        power += value * value
      }
      framePower += power / channelData.length
      if (++frameFill === frameLength) {
        framePowers.push(framePower / frameLength)
        // NaN and infinity survive every sum, so one look a frame finds them.
        if (!Number.isFinite(framePower)) throw new UnreadableAudio('samples are not finite')
        framePower = 0
        frameFill = 0
      }
    }
    if (!Number.isFinite(framePower)) throw new UnreadableAudio('samples are not finite')
    samples += count * channelData.length
    frames += count
    keep(channelData, count)
    return count === room
  }

  const measures = (): RecordingMeasures => {
    if (frames === 0 || channels === 0) throw new UnreadableAudio('no sound')
    // A file shorter than one frame is judged by what there is.
    const powers = framePowers.length > 0 ? framePowers : [framePower / Math.max(1, frameFill)]
    const voiced = powers.filter((power) => toDbfs(power) >= voicedDbfs)
    const heard = voiced.length > 0 ? voiced : powers
    const sorted = powers.toSorted((a, b) => a - b)
    return {
      durationSeconds: frames / sampleRate,
      sampleRate,
      channels,
      rmsDbfs: toDbfs(heard.reduce((sum, power) => sum + power, 0) / heard.length),
      peakDbfs: toDbfs(peak * peak),
      clippedShare: clipped / samples,
      voicedSeconds: voiced.length * frameSeconds,
      noiseFloorDbfs: toDbfs(sorted[Math.floor(sorted.length / 10)] ?? 0),
    }
  }

  const kept = (): Float32Array => {
    const whole = new Float32Array(keptLength)
    let offset = 0
    for (const block of keptBlocks) {
      whole.set(block, offset)
      offset += block.length
    }
    return whole
  }

  return { add, measures, kept }
}
