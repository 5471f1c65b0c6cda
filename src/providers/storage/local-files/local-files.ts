import { rm, unlink } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { addAbortSignal, Readable } from 'node:stream'
import { withDeadline } from '../deadline.ts'
import { assertHeaderValue, assertKey, assertPrefix, StorageUnavailable } from '../storage.ts'
import type { ObjectHead, ObjectStorage } from '../storage.ts'
import * as folder from './folder.ts'
import { listFolder } from './list-folder.ts'
import { findRecord, sidePath, writeRecord } from './side-file.ts'
import type { FileRecord } from './side-file.ts'
import { signLink, verifyLink } from './signed-link.ts'
import type { SignedLink } from './signed-link.ts'
import { createTurns } from './turns.ts'

export interface LocalFilesOptions {
  /** Made when absent, private to the user. */
  directory: string
  /** Origin, and path prefix if any, under which `localFileRoutes` is reached. */
  publicBaseUrl: string
  signingKey: Uint8Array
  now: () => Date
}

export interface StoredFile extends ObjectHead {
  contentDisposition?: string
}

export interface LocalFiles extends ObjectStorage {
  /** A head with the stored response headers. */
  stored(key: string, signal?: AbortSignal): Promise<StoredFile | null>
  /** What a link promises, or null when it is altered or past its time. */
  verifyLink(key: string, query: URLSearchParams): SignedLink | null
}

// A local disk answers at once; a network folder may not answer at all.
const timeoutMs = 10_000
// For a whole body, whose source may be slow, and for a thousand deletes.
const longTimeoutMs = 300_000

/**
 * Object storage in a folder of this machine. An object is the file named by its key; type, etag and headers stand
 * in a side file next to it.
 */
export const createLocalFiles = (options: LocalFilesOptions): LocalFiles => {
  const { publicBaseUrl, signingKey, now } = options
  const inTurn = createTurns()
  let opening: Promise<string> | undefined
  const openRoot = async (): Promise<string> => {
    opening ??= folder.openFolder(options.directory).then(async (root) => {
      await folder.sweepDrafts(root)
      return root
    })
    return opening.catch((error: unknown) => {
      opening = undefined
      throw error
    })
  }

  const locate = async (key: string) => {
    const root = await openRoot()
    const path = join(root, key)
    await folder.assertNoLinks(root, dirname(path))
    return { root, path }
  }

  /** The open file and its record, taken from one version even while the object is being replaced. */
  const openObject = async (key: string) => {
    const { path } = await locate(key)
    const handle = await folder.openFile(path)
    if (handle === null) return null
    try {
      const stats = await handle.stat({ bigint: true })
      if (!stats.isFile()) {
        await handle.close()
        return null
      }
      const size = Number(stats.size)
      const record = await findRecord(path, { size, version: folder.versionOf(stats) })
      if (record === undefined) throw new StorageUnavailable('an object lies there without its side file')
      return { handle, record, size, lastModified: new Date(Number(stats.mtimeMs)) }
    } catch (error) {
      await handle.close()
      throw error
    }
  }

  const stored: LocalFiles['stored'] = async (key, signal) => {
    assertKey(key)
    return withDeadline('local head', timeoutMs, signal, async () => {
      const found = await openObject(key)
      if (found === null) return null
      await found.handle.close()
      const { contentType, etag, contentDisposition } = found.record
      const { size, lastModified } = found
      return {
        size,
        lastModified,
        contentType,
        etag,
        ...(contentDisposition !== undefined && { contentDisposition }),
      }
    })
  }

  const head: ObjectStorage['head'] = async (key, signal) => {
    const file = await stored(key, signal)
    return (
      file && {
        size: file.size,
        contentType: file.contentType,
        etag: file.etag,
        lastModified: file.lastModified,
      }
    )
  }

  const put: ObjectStorage['put'] = async (key, body, settings, signal) => {
    assertKey(key)
    const { contentType, cacheControl, contentDisposition, contentLength } = settings
    for (const value of [contentType, cacheControl, contentDisposition]) assertHeaderValue(value)
    try {
      return await withDeadline('local put', longTimeoutMs, signal, async (abortSignal) => {
        const { root, path } = await locate(key)
        const draft = await folder.writeDraft(root, body, abortSignal)
        try {
          if (contentLength !== undefined && contentLength !== draft.size)
            throw new StorageUnavailable('the body has another length than announced')
          const { size, etag, version } = draft
          const record: FileRecord = { size, etag, version, contentType }
          if (cacheControl !== undefined) record.cacheControl = cacheControl
          if (contentDisposition !== undefined) record.contentDisposition = contentDisposition
          // Two writers in turn, else the second's side file could forget the version that the first leaves.
          return await inTurn(key, async () => {
            abortSignal.throwIfAborted()
            await folder.makeFolder(root, dirname(path))
            await writeRecord(root, path, record)
            await folder.publish(draft.path, path)
            const published = await head(key, abortSignal)
            if (published?.size !== size)
              throw new StorageUnavailable('the stored object has another size than was sent')
            return { size, etag }
          })
        } finally {
          await rm(draft.path, { force: true })
        }
      })
    } finally {
      if (body instanceof Readable) body.destroy()
    }
  }

  const bodyOf = (
    handle: FileHandle,
    size: number,
    start: number,
    end: number,
    signal: AbortSignal,
  ): Readable => {
    const body =
      size === 0
        ? Readable.from([]).once('close', () => void handle.close())
        : handle.createReadStream({ start, end: Math.min(end, size - 1) })
    return addAbortSignal(signal, body)
  }

  const get: ObjectStorage['get'] = async (key, range, signal) => {
    assertKey(key)
    return withDeadline('local get', timeoutMs, signal, async (abortSignal) => {
      const found = await openObject(key)
      if (found === null) return null
      const { handle, record, size } = found
      if (range !== undefined && (range.start >= size || range.end < range.start)) {
        await handle.close()
        throw new StorageUnavailable('the range starts past the end of the object')
      }
      const body = bodyOf(handle, size, range?.start ?? 0, range?.end ?? Infinity, abortSignal)
      return { body, size, etag: record.etag }
    })
  }

  const remove = async (key: string): Promise<string | null> => {
    try {
      const { path } = await locate(key)
      // The object goes first: a crash in between leaves a side file, which nobody takes for an object.
      for (const name of [path, sidePath(path)])
        await unlink(name).catch((error: unknown) => {
          if (!folder.isMissing(error) && folder.errorCode(error) !== 'EISDIR') throw error
        })
      return null
    } catch (error) {
      return folder.errorCode(error) ?? 'storage_unavailable'
    }
  }

  const deleteMany: ObjectStorage['deleteMany'] = async (keys, signal) => {
    for (const key of keys) assertKey(key)
    return withDeadline('local delete', longTimeoutMs, signal, async (abortSignal) => {
      await openRoot()
      const failed: { key: string; reason: string }[] = []
      for (const key of keys) {
        abortSignal.throwIfAborted()
        const reason = await inTurn(key, () => remove(key))
        if (reason !== null) failed.push({ key, reason })
      }
      return { failed }
    })
  }

  const list: ObjectStorage['list'] = async function* (prefix) {
    assertPrefix(prefix)
    try {
      yield* listFolder(await openRoot(), prefix)
    } catch (error) {
      if (error instanceof StorageUnavailable) throw error
      throw new StorageUnavailable('storage folder: list failed', { cause: error })
    }
  }

  const presignGet: ObjectStorage['presignGet'] = async (key, settings) => {
    assertKey(key)
    const { expiresInSeconds, contentType: type = '', contentDisposition: disposition = '' } = settings
    for (const value of [type, disposition]) assertHeaderValue(value)
    const expires = Math.floor(now().getTime() / 1000) + expiresInSeconds
    return signLink(publicBaseUrl, signingKey, { key, expires, type, disposition })
  }

  return {
    put,
    head,
    get,
    presignGet,
    deleteMany,
    list,
    stored,
    verifyLink: (key, query) => verifyLink(signingKey, key, query, now()),
  }
}
