import type { Readable } from 'node:stream'

export interface PutOptions {
  contentType: string
  /** Bytes; required by S3 when the body is a stream. */
  contentLength?: number
  cacheControl?: string
  contentDisposition?: string
}

export interface ObjectHead {
  size: number
  contentType: string
  etag: string
  lastModified: Date
}

/** Inclusive byte positions, as in an HTTP range. */
export interface ByteRange {
  start: number
  end: number
}

/**
 * Where recordings, parts, narrations and covers live. Keys are server-made, `^[a-z0-9][a-z0-9/_.-]*$` without `..`.
 * Every method may throw `StorageUnavailable`; `null` is answered only when the object is certainly absent.
 * An aborted `signal` rejects with the signal's own reason: the caller gave up, the store is not at fault.
 * Etags are in HTTP form, quotes included.
 */
export interface ObjectStorage {
  /**
   * Stores, replacing what was there, and then verifies by a head that the size agrees. A stream is consumed, or
   * destroyed when the put fails; one that breaks or is not `contentLength` long fails the put and stores nothing.
   */
  put(
    key: string,
    body: Readable | Uint8Array,
    options: PutOptions,
    signal?: AbortSignal,
  ): Promise<{ size: number; etag: string }>
  head(key: string, signal?: AbortSignal): Promise<ObjectHead | null>
  /**
   * `size` is the size of the whole object, also when a range is asked for. A range ends at the object's end at the
   * latest; one that starts past it is a fault, since callers take the size from a head. The caller must read or
   * destroy `body`; it errors when the store breaks off, and `signal` keeps acting on it.
   */
  get(
    key: string,
    range?: ByteRange,
    signal?: AbortSignal,
  ): Promise<{ body: Readable; size: number; etag: string } | null>
  /** A link that works without a login for `expiresInSeconds`; both options replace the stored response headers. */
  presignGet(
    key: string,
    options: { expiresInSeconds: number; contentType?: string; contentDisposition?: string },
  ): Promise<string>
  /** Absent objects count as deleted. `failed` holds single refusals; when the store is down it throws instead. */
  deleteMany(
    keys: readonly string[],
    signal?: AbortSignal,
  ): Promise<{ failed: { key: string; reason: string }[] }>
  /** Every object whose key starts with `prefix` (a plain string prefix, `''` for all), in no promised order. */
  list(prefix: string): AsyncIterable<{ key: string; size: number; lastModified: Date }>
}

/** The store could not answer: a fault, a timeout, a refused credential. Never "absent". */
export class StorageUnavailable extends Error {
  constructor(message: string, options?: { cause?: unknown }) {
    super(message, options)
    this.name = 'StorageUnavailable'
  }
}

const keyForm = /^[a-z0-9][a-z0-9/_.-]*$/
// `a/./b` would be a second name of `a/b` in a folder.
const dotSegment = /(?:^|\/)\.(?:\/|$)/

/** Throws a plain Error (a bug, not a refusal) for a key that the server should never have made. */
export const assertKey = (key: string): void => {
  const isPath = !key.includes('..') && !key.includes('//') && !key.endsWith('/') && !dotSegment.test(key)
  if (key.length > 512 || !keyForm.test(key) || !isPath) throw new Error('object key has an invalid form')
}

/** As `assertKey`, for the prefix of a listing: it may be empty or end anywhere, also in `/`. */
export const assertPrefix = (prefix: string): void => {
  if (prefix !== '') assertKey(prefix.endsWith('/') ? prefix.slice(0, -1) : prefix)
}

/** Throws a plain Error for a header value that HTTP or S3 could not carry (controls, line breaks, non-ASCII). */
export const assertHeaderValue = (value: string | undefined): void => {
  if (value !== undefined && !/^[\x20-\x7e]*$/.test(value))
    throw new Error('header value has an invalid form')
}
