import { buffer } from 'node:stream/consumers'
import { assembleMp3 } from '../../platform/audio/mp3-assembly.ts'
import type { ObjectStorage } from '../../providers/storage/storage.ts'
import type { Story } from '../stories/stories.ts'

const paragraphGapSeconds = 0.35
const maxCoverBytes = 300 * 1024

const readObject = async (
  storage: ObjectStorage,
  key: string,
  signal: AbortSignal,
): Promise<Buffer | null> => {
  const object = await storage.get(key, undefined, signal)
  return object === null ? null : buffer(object.body)
}

/** A JPEG small enough for a tag, or null; a missing or odd cover never fails a narration. */
const coverFor = async (
  storage: ObjectStorage,
  story: Story,
  signal: AbortSignal,
): Promise<Uint8Array | null> => {
  if (story.coverKey === null) return null
  const image = await readObject(storage, story.coverKey, signal).catch(() => null)
  if (!image) return null
  if (image.length <= maxCoverBytes && image[0] === 0xff && image[1] === 0xd8) return image
  const { default: sharp } = await import('sharp')
  const small = await sharp(image, { limitInputPixels: 40_000_000 })
    .resize(600, 600, { fit: 'inside' })
    .jpeg({ quality: 80 })
    .toBuffer()
    .catch(() => null)
  return small !== null && small.length <= maxCoverBytes ? small : null
}

const aiComment = 'AI-generated voice / Głos wygenerowany przez AI'
const standInComment = `${aiComment}; machine voice standing in, not a clone / głos zastępczy, nie kopia nagrania`

export interface FinishedFile {
  bytes: Uint8Array
  durationSeconds: number
  partStarts: number[]
}

/**
 * Joins stored parts into the one MP3 that parents hear (20 §5.7). `DIGITAL_SOURCE_TYPE` is the IPTC term for media made
 * by a trained model, read by tools that label AI content. Null: a part's object is certainly absent.
 */
export const buildFile = async (
  storage: ObjectStorage,
  story: Story,
  parts: readonly { objectKey: string; endsParagraph: boolean }[],
  options: { isStandIn: boolean },
  signal: AbortSignal,
): Promise<FinishedFile | null> => {
  const audio: { audio: Uint8Array; gapAfterSeconds: number }[] = []
  for (const [index, part] of parts.entries()) {
    const bytes = await readObject(storage, part.objectKey, signal)
    if (!bytes) return null
    const isLast = index === parts.length - 1
    audio.push({ audio: bytes, gapAfterSeconds: part.endsParagraph && !isLast ? paragraphGapSeconds : 0 })
  }
  const cover = await coverFor(storage, story, signal)
  return assembleMp3({
    parts: audio,
    tags: {
      title: story.title,
      artist: story.author,
      album: 'DawnoTemu',
      language: 'pol',
      comment: options.isStandIn ? standInComment : aiComment,
      userText: {
        AI_GENERATED: 'voice',
        DIGITAL_SOURCE_TYPE: 'http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia',
      },
      ...(cover === null ? {} : { cover: { mimeType: 'image/jpeg', bytes: cover } }),
    },
    signal,
  })
}
