/** The recording cannot be decoded, or is of a kind that is not accepted. The message is for logs and tests. */
export class UnreadableAudio extends Error {
  constructor(reason: string) {
    super(reason)
    this.name = 'UnreadableAudio'
  }
}

export interface PcmBlock {
  /** −1…1, one array a channel, of equal length. */
  channelData: Float32Array[]
  /** Hertz. */
  sampleRate: number
}
