import { createWriteStream } from 'node:fs'
import { Transform } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { crc32 } from 'node:zlib'
import type { ObjectStorage } from '../../providers/storage/storage.ts'

const secondLookMs = 2000
// Its absence is as good an answer as any: it shows that the store is up.
const probeKey = 'exports/probe'

export type Fetched =
  | { kind: 'fetched'; sizeBytes: number; crc32: number }
  | { kind: 'absent' | 'unreadable' }

/** Thrown inside when this machine's disk, not the store, is at fault. */
class DiskFault extends Error {}

/** Copies an object to `target` without holding it in memory, measuring it on the way. Null when there is none. */
const copy = async (storage: ObjectStorage, key: string, target: string, signal: AbortSignal) => {
  const object = await storage.get(key, undefined, signal)
  if (object === null) return null
  let sizeBytes = 0
  let sum = 0
  const meter = new Transform({
    transform: (chunk: Buffer, _encoding, done) => {
      sizeBytes += chunk.length
      sum = crc32(chunk, sum)
      done(null, chunk)
    },
  })
  const file = createWriteStream(target)
  let fault: Error | null = null
  file.once('error', (error) => {
    fault = error
  })
  try {
    await pipeline(object.body, meter, file, { signal })
  } catch (error) {
    if (fault === error)
      throw new DiskFault('export: the temporary file could not be written', { cause: error })
    throw error
  }
  if (sizeBytes !== object.size) throw new Error('export: an object has another size than the store said')
  return { sizeBytes, crc32: sum }
}

/**
 * One object as a temporary file. What cannot be read after a second look is `unreadable`, unless the store as a whole
 * is down: then its fault is thrown, and the caller tries everything again later.
 */
export const fetchObject = async (
  storage: ObjectStorage,
  key: string,
  target: string,
  signal: AbortSignal,
): Promise<Fetched> => {
  for (let isSecond = false; ; isSecond = true) {
    try {
      const copied = await copy(storage, key, target, signal)
      return copied ? { kind: 'fetched', ...copied } : { kind: 'absent' }
    } catch (error) {
      signal.throwIfAborted()
      if (error instanceof DiskFault) throw error
      await storage.head(probeKey, signal)
      if (isSecond) return { kind: 'unreadable' }
      await sleep(secondLookMs, undefined, { signal })
    }
  }
}
