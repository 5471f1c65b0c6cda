import { addAbortSignal, Readable } from 'node:stream'
import { StorageUnavailable } from './storage.ts'

/**
 * Runs one call to a store under a deadline. Whatever fails inside becomes `StorageUnavailable`, except the
 * caller's own abort, which keeps its reason. The deadline ends when `work` settles; streams that `work` opens
 * should follow the signal it is given: they then end with the caller's, or at once when the deadline has passed.
 */
export const withDeadline = async <T>(
  name: string,
  timeoutMs: number,
  signal: AbortSignal | undefined,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> => {
  signal?.throwIfAborted()
  const own = new AbortController()
  const either = signal === undefined ? own.signal : AbortSignal.any([own.signal, signal])
  const stopped = Promise.withResolvers<never>()
  const onAbort = () => stopped.reject(either.reason)
  either.addEventListener('abort', onAbort, { once: true })
  const timer = setTimeout(
    () => own.abort(new StorageUnavailable(`${name}: no answer within ${timeoutMs} ms`)),
    timeoutMs,
  )
  try {
    // The race covers steps that know no signal, such as looking up credentials.
    return await Promise.race([work(either), stopped.promise])
  } catch (error) {
    signal?.throwIfAborted()
    if (own.signal.aborted) own.signal.throwIfAborted()
    if (error instanceof StorageUnavailable) throw error
    throw new StorageUnavailable(`${name} failed`, { cause: error })
  } finally {
    clearTimeout(timer)
    either.removeEventListener('abort', onAbort)
  }
}

/**
 * Passes a remote body on without buffering. Errors with `StorageUnavailable` when it breaks, stalls for `stallMs`
 * while the reader is waiting (a slow reader is no stall), or is not `length` bytes long; destroys `source` when the
 * reader leaves or `signal` aborts.
 */
export const guardBody = (
  source: Readable,
  { length, stallMs, signal }: { length: number; stallMs: number; signal: AbortSignal },
): Readable => {
  const chunks = async function* (): AsyncGenerator<Uint8Array> {
    const reader: AsyncIterator<Uint8Array> = source[Symbol.asyncIterator]()
    let received = 0
    for (;;) {
      const timer = setTimeout(() => source.destroy(new Error(`no bytes within ${stallMs} ms`)), stallMs)
      const next = await reader
        .next()
        .catch((cause: unknown) => {
          throw new StorageUnavailable('object body broke off', { cause })
        })
        .finally(() => clearTimeout(timer))
      if (next.done === true) break
      received += next.value.byteLength
      yield next.value
    }
    if (received !== length) throw new StorageUnavailable('object body has another length than announced')
  }
  const guarded = Readable.from(chunks(), { objectMode: false, highWaterMark: 64 * 1024 })
  guarded.once('close', () => source.destroy())
  // A body that is dropped unread would otherwise raise its abort error with nobody listening.
  source.on('error', () => {})
  return addAbortSignal(signal, guarded)
}
