import { createHash, randomUUID } from 'node:crypto'
import { constants, createWriteStream } from 'node:fs'
import { mkdir, open, readdir, realpath, rename, rm, stat } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { Readable, Transform } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { StorageUnavailable } from '../storage.ts'

/** `~` is outside the alphabet of keys, so neither drafts nor side files can collide with an object. */
export const draftFolder = '~drafts'
const draftLifetimeMs = 24 * 60 * 60 * 1000

export const errorCode = (error: unknown): string | undefined =>
  error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined

/** Whether a file-system error says that there is no such file. */
export const isMissing = (error: unknown): boolean => {
  const code = errorCode(error)
  return code === 'ENOENT' || code === 'ENOTDIR'
}

/** The storage folder's real path; makes it when it is new. */
export const openFolder = async (directory: string): Promise<string> => {
  await mkdir(join(directory, draftFolder), { recursive: true, mode: 0o700 })
  return realpath(directory)
}

/** Throws when a symbolic link stands between `root` (a real path) and `folder`, which need not exist yet. */
export const assertNoLinks = async (root: string, folder: string): Promise<void> => {
  for (let place = folder; place.length > root.length; place = dirname(place)) {
    const real = await realpath(place).catch((error: unknown) => {
      if (isMissing(error)) return null
      throw error
    })
    if (real === place) return
    if (real !== null) throw new StorageUnavailable('a symbolic link leads out of the storage folder')
  }
}

/** Opens a regular file for reading without following a link; null when there is none. */
export const openFile = async (path: string): Promise<FileHandle | null> =>
  open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK).catch((error: unknown) => {
    if (isMissing(error)) return null
    throw error
  })

const syncFolder = async (path: string): Promise<void> => {
  const handle = await open(path, constants.O_RDONLY)
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** Makes `folder` under `root`; the new names are on disk when it returns. */
export const makeFolder = async (root: string, folder: string): Promise<void> => {
  await assertNoLinks(root, folder)
  const first = await mkdir(folder, { recursive: true, mode: 0o700 })
  if (first === undefined) return
  for (let place = folder; place.length >= dirname(first).length; place = dirname(place))
    await syncFolder(place)
}

/**
 * Tells one version of a file from the next; a rename keeps it. The time alone would not do: it moves in ticks of
 * some milliseconds, and two puts may fall into one.
 */
export const versionOf = ({ ino, mtimeNs }: { ino: bigint; mtimeNs: bigint }): string => `${ino}.${mtimeNs}`

export interface Draft {
  path: string
  size: number
  /** Strong, quoted, of the content. */
  etag: string
  /** As of `versionOf`. */
  version: string
}

/** Writes a body to a temporary file, flushed to disk. Leaves nothing behind when it fails. */
export const writeDraft = async (
  root: string,
  body: Readable | Uint8Array,
  signal?: AbortSignal,
): Promise<Draft> => {
  const path = join(root, draftFolder, randomUUID())
  const hash = createHash('sha256')
  let size = 0
  const meter = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      size += chunk.length
      hash.update(chunk)
      done(null, chunk)
    },
  })
  const source = body instanceof Readable ? body : Readable.from([body])
  const file = createWriteStream(path, { flags: 'wx', mode: 0o600, flush: true })
  try {
    await pipeline(source, meter, file, signal === undefined ? {} : { signal })
    const version = versionOf(await stat(path, { bigint: true }))
    return { path, size, etag: `"${hash.digest('hex')}"`, version }
  } catch (error) {
    await rm(path, { force: true })
    throw error
  }
}

/** Moves a draft to its place; the move is on disk when it returns. */
export const publish = async (draftPath: string, path: string): Promise<void> => {
  await rename(draftPath, path)
  await syncFolder(dirname(path))
}

/** Removes what crashed writers left behind. File times come from the system's clock, so ages are taken from it. */
export const sweepDrafts = async (root: string): Promise<void> => {
  for (const name of await readdir(join(root, draftFolder))) {
    const path = join(root, draftFolder, name)
    const age = await stat(path).then(
      ({ mtimeMs }) => Date.now() - mtimeMs,
      () => 0,
    )
    if (age > draftLifetimeMs) await rm(path, { force: true })
  }
}
