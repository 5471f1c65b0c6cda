import { createMp3Encoder } from 'wasm-media-encoders'
import { doubleRate, levelGain } from './sound.ts'

/** Bitrate in kbit/s. */
export const speechFormat = { sampleRate: 44_100, channels: 1, bitrate: 128 } as const

/**
 * How much later a sound is in the decoded file than in the samples that were encoded: 576 samples of LAME and 529 of
 * the decoder (measured with mpg123 and FFmpeg). Without an Info frame no player takes it off.
 */
export const codecDelaySeconds = (576 + 529) / speechFormat.sampleRate

const blockSamples = 16_384

export type EncodeSpeech = (samples: Int16Array) => Uint8Array

/**
 * Encodes 16 bit mono speech of 22,050 Hz at an even loudness (mean −20 dBFS, peaks under −1 dBFS) to MP3: 44,100 Hz,
 * mono, constant 128 kbit/s. Neither an ID3 tag nor a Xing/Info frame is written. Works in blocks: beside the result
 * it needs no memory that grows with the length.
 */
export const createSpeechEncoder = async (): Promise<EncodeSpeech> => {
  const encoder = await createMp3Encoder()
  return (samples) => {
    encoder.configure({
      sampleRate: speechFormat.sampleRate,
      channels: speechFormat.channels,
      bitrate: speechFormat.bitrate,
    })
    const gain = levelGain(samples)
    const blocks: Uint8Array[] = []
    for (let from = 0; from < samples.length; from += blockSamples) {
      const to = Math.min(from + blockSamples, samples.length)
      // The encoder owns what it returns and overwrites it.
      blocks.push(encoder.encode([doubleRate(samples, from, to, gain)]).slice())
    }
    blocks.push(encoder.finalize().slice())
    return new Uint8Array(Buffer.concat(blocks))
  }
}
