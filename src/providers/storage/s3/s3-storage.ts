import { Readable, Transform, pipeline } from 'node:stream'
import type { PutObjectCommandInput, S3ServiceException } from '@aws-sdk/client-s3'
import { guardBody, withDeadline } from '../deadline.ts'
import { assertHeaderValue, assertKey, assertPrefix, StorageUnavailable } from '../storage.ts'
import type { ObjectHead, ObjectStorage } from '../storage.ts'
import { loadS3 } from './s3-client.ts'
import type { S3Options } from './s3-client.ts'

const deleteBatch = 1000
// What the slowest acceptable upload link carries; a put gets a second more for each of these.
const bytesPerSecond = 256 * 1024

/**
 * Whether an error is S3's own word that the object is not there. Judged by the error's type, never by its text: a
 * missing bucket is 404 too, and so is the HTML page of a proxy that has lost its store; both are faults.
 */
const saysAbsent = (error: unknown, { S3ServiceException }: { S3ServiceException: S3Exception }): boolean => {
  if (!(error instanceof S3ServiceException)) return false
  if (error.name === 'NoSuchKey') return true
  const contentType = error.$response?.headers['content-type'] ?? ''
  return error.name === 'NotFound' && !/html/i.test(contentType)
}
type S3Exception = abstract new (...args: never) => S3ServiceException

/** Fails a body that is not exactly `length` bytes long before it can be stored, and reports a source that breaks. */
const measuredBody = (source: Readable, length: number, onFault: (error: Error) => void): Readable => {
  let seen = 0
  const counter = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      seen += chunk.length
      if (seen > length) done(new Error('stream is longer than announced'))
      else done(null, chunk)
    },
    flush(done) {
      done(seen === length ? null : new Error('stream is shorter than announced'))
    },
  })
  pipeline(source, counter, (error) => {
    if (error) onFault(error)
  })
  return counter
}

const required = <T>(value: T | undefined, what: string): T => {
  if (value === undefined) throw new StorageUnavailable(`the store's answer lacks ${what}`)
  return value
}

/**
 * Object storage on S3 or a store that speaks its protocol. The SDK is loaded at the first call. Opens no
 * connection before that; `close` drops the idle ones.
 */
export const createS3Storage = (options: S3Options): ObjectStorage & { close(): void } => {
  const { bucket: Bucket, timeoutMs = 10_000 } = options
  let loading: ReturnType<typeof loadS3> | undefined
  const load = () => (loading ??= loadS3(options))

  const get: ObjectStorage['get'] = async (key, range, signal) => {
    assertKey(key)
    return withDeadline('s3 get', timeoutMs, signal, async (abortSignal) => {
      const { client, sdk } = await load()
      const Range = range && `bytes=${range.start}-${range.end}`
      const command = new sdk.GetObjectCommand({ Bucket, Key: key, ...(Range && { Range }) })
      const answer = await client.send(command, { abortSignal }).catch((error: unknown) => {
        if (saysAbsent(error, sdk)) return null
        throw error
      })
      if (answer === null) return null
      const { Body, ContentLength, ContentRange, ETag } = answer
      if (!(Body instanceof Readable)) throw new StorageUnavailable("the store's answer has no body")
      const length = required(ContentLength, 'a length')
      const total = ContentRange === undefined ? undefined : Number(/\/(\d+)$/.exec(ContentRange)?.[1])
      const size = range === undefined ? length : required(total, 'Content-Range')
      const body = guardBody(Body, { length, stallMs: timeoutMs, signal: abortSignal })
      return { body, size, etag: required(ETag, 'an etag') }
    })
  }

  /** The answer to a HEAD has no body, so its 404 may also mean a missing bucket; a GET says which. */
  const isAbsent = async (key: string, signal: AbortSignal): Promise<boolean> => {
    const object = await get(key, undefined, signal)
    object?.body.destroy()
    return object === null
  }

  const head: ObjectStorage['head'] = async (key, signal) => {
    assertKey(key)
    return withDeadline('s3 head', timeoutMs, signal, async (abortSignal): Promise<ObjectHead | null> => {
      const { client, sdk } = await load()
      const command = new sdk.HeadObjectCommand({ Bucket, Key: key })
      const answer = await client.send(command, { abortSignal }).catch(async (error: unknown) => {
        if (saysAbsent(error, sdk) && (await isAbsent(key, abortSignal))) return null
        throw error
      })
      return (
        answer && {
          size: required(answer.ContentLength, 'a length'),
          contentType: answer.ContentType ?? 'application/octet-stream',
          etag: required(answer.ETag, 'an etag'),
          lastModified: required(answer.LastModified, 'a date'),
        }
      )
    })
  }

  const put: ObjectStorage['put'] = async (key, body, settings, signal) => {
    assertKey(key)
    for (const value of [settings.contentType, settings.cacheControl, settings.contentDisposition])
      assertHeaderValue(value)
    const size = body instanceof Readable ? settings.contentLength : body.byteLength
    if (size === undefined) throw new Error('a stream needs contentLength')
    if (settings.contentLength !== undefined && settings.contentLength !== size)
      throw new Error('contentLength differs from the body')
    const fault = new AbortController()
    const deadlineMs = timeoutMs + Math.ceil(size / bytesPerSecond) * 1000
    const Body = body instanceof Readable ? measuredBody(body, size, (error) => fault.abort(error)) : body
    const input: PutObjectCommandInput = { Bucket, Key: key, Body, ContentLength: size }
    input.ContentType = settings.contentType
    if (settings.cacheControl !== undefined) input.CacheControl = settings.cacheControl
    if (settings.contentDisposition !== undefined) input.ContentDisposition = settings.contentDisposition
    if (options.useSse) input.ServerSideEncryption = 'AES256'
    try {
      await withDeadline('s3 put', deadlineMs, signal, async (abortSignal) => {
        const { client, sdk } = await load()
        const sending = AbortSignal.any([abortSignal, fault.signal])
        await client.send(new sdk.PutObjectCommand(input), { abortSignal: sending })
        fault.signal.throwIfAborted()
      })
    } finally {
      if (body instanceof Readable) body.destroy()
    }
    const stored = await head(key, signal)
    if (stored?.size !== size)
      throw new StorageUnavailable('the stored object has another size than was sent')
    return { size, etag: stored.etag }
  }

  const deleteMany: ObjectStorage['deleteMany'] = async (keys, signal) => {
    for (const key of keys) assertKey(key)
    const failed: { key: string; reason: string }[] = []
    for (let from = 0; from < keys.length; from += deleteBatch) {
      const Objects = keys.slice(from, from + deleteBatch).map((Key) => ({ Key }))
      const errors = await withDeadline('s3 delete', timeoutMs, signal, async (abortSignal) => {
        const { client, sdk } = await load()
        const command = new sdk.DeleteObjectsCommand({ Bucket, Delete: { Objects, Quiet: true } })
        return (await client.send(command, { abortSignal })).Errors ?? []
      })
      for (const { Key, Code } of errors)
        if (Code !== 'NoSuchKey') failed.push({ key: required(Key, 'a key'), reason: Code ?? 'unknown' })
    }
    return { failed }
  }

  const presignGet: ObjectStorage['presignGet'] = async (key, settings) => {
    assertKey(key)
    const { contentType, contentDisposition, expiresInSeconds } = settings
    for (const value of [contentType, contentDisposition]) assertHeaderValue(value)
    return withDeadline('s3 presign', timeoutMs, undefined, async () => {
      const { publicClient, sdk, getSignedUrl } = await load()
      const command = new sdk.GetObjectCommand({
        Bucket,
        Key: key,
        ...(contentType !== undefined && { ResponseContentType: contentType }),
        ...(contentDisposition !== undefined && { ResponseContentDisposition: contentDisposition }),
      })
      return getSignedUrl(publicClient, command, { expiresIn: expiresInSeconds })
    })
  }

  const list: ObjectStorage['list'] = async function* (prefix) {
    assertPrefix(prefix)
    let ContinuationToken: string | undefined
    do {
      const page = await withDeadline('s3 list', timeoutMs, undefined, async (abortSignal) => {
        const { client, sdk } = await load()
        const input = { Bucket, Prefix: prefix, ...(ContinuationToken && { ContinuationToken }) }
        return client.send(new sdk.ListObjectsV2Command(input), { abortSignal })
      })
      for (const { Key, Size, LastModified } of page.Contents ?? [])
        yield {
          key: required(Key, 'a key'),
          size: required(Size, 'a size'),
          lastModified: required(LastModified, 'a date'),
        }
      ContinuationToken = page.IsTruncated ? page.NextContinuationToken : undefined
    } while (ContinuationToken !== undefined)
  }

  const close = (): void => {
    loading
      ?.then(({ client, publicClient }) => {
        client.destroy()
        publicClient.destroy()
      })
      .catch(() => {})
  }

  return { put, head, get, presignGet, deleteMany, list, close }
}
