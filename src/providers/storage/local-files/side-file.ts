import { readFile } from 'node:fs/promises'
import { Type } from 'typebox'
import type { Static } from 'typebox'
import { Value } from 'typebox/value'
import { isMissing, publish, writeDraft } from './folder.ts'

const FileRecord = Type.Object({
  size: Type.Integer({ minimum: 0 }),
  version: Type.String(),
  etag: Type.String(),
  contentType: Type.String(),
  cacheControl: Type.Optional(Type.String()),
  contentDisposition: Type.Optional(Type.String()),
})
const SideFile = Type.Object({ versions: Type.Array(FileRecord) })

/** What a file cannot tell about itself. */
export type FileRecord = Static<typeof FileRecord>

export const sidePath = (path: string): string => `${path}~side.json`

const readVersions = async (path: string): Promise<FileRecord[]> => {
  const text = await readFile(sidePath(path), 'utf8').catch((error: unknown) => {
    if (isMissing(error)) return null
    throw error
  })
  return text === null ? [] : Value.Parse(SideFile, JSON.parse(text)).versions
}

/**
 * The record of the version of `path` that lies there. The side file is written before its object and
 * still names the version that is being replaced, so whichever of the two a crash or a race leaves in place is
 * described. A file restored from a backup has another version mark: then the size decides.
 */
export const findRecord = async (
  path: string,
  { size, version }: { size: number; version: string },
): Promise<FileRecord | undefined> => {
  const records = (await readVersions(path)).filter((record) => record.size === size)
  return records.find((record) => record.version === version) ?? records[0]
}

/** Puts a new version in front of the one before it. */
export const writeRecord = async (root: string, path: string, record: FileRecord): Promise<void> => {
  const versions = [record, ...(await readVersions(path).catch(() => []))].slice(0, 2)
  const draft = await writeDraft(root, Buffer.from(JSON.stringify({ versions })))
  await publish(draft.path, sidePath(path))
}
