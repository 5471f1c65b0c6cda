import { fork } from 'node:child_process'
import path from 'node:path'

const limitMs = 60_000

/** JPEGs of drawn covers, in their order. Throws when the drawing process fails or takes longer than a minute. */
export const renderCovers = (drawings: readonly Uint8Array[]): Promise<Buffer[]> => {
  if (drawings.length === 0) return Promise.resolve([])
  const { promise, resolve, reject } = Promise.withResolvers<Buffer[]>()
  const child = fork(path.join(import.meta.dirname, 'render-covers-process.ts'), {
    serialization: 'advanced',
    signal: AbortSignal.timeout(limitMs),
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  })
  child.once('error', reject)
  child.once('exit', (code) => reject(new Error(`covers were not drawn (exit ${String(code)})`)))
  child.once('message', (images: Uint8Array[]) => {
    if (images.length === drawings.length) resolve(images.map((image) => Buffer.from(image)))
    else reject(new Error('covers were not drawn'))
  })
  child.send(drawings)
  return promise
}
