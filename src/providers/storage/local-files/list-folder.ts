import { lstat, opendir } from 'node:fs/promises'
import { join } from 'node:path'
import { assertNoLinks, isMissing } from './folder.ts'

interface ListedFile {
  key: string
  size: number
  lastModified: Date
}

const absentAsNull = (error: unknown): null => {
  if (isMissing(error)) return null
  throw error
}

/**
 * Walks the objects under a string prefix one at a time, never holding a whole folder's names. Skips side files,
 * drafts, links and whatever else has a name that no key can have.
 */
export const listFolder = async function* (root: string, prefix: string): AsyncGenerator<ListedFile> {
  const start = prefix.slice(0, Math.max(0, prefix.lastIndexOf('/')))
  await assertNoLinks(root, join(root, start))
  const pending = [start]
  for (let place = pending.pop(); place !== undefined; place = pending.pop()) {
    const entries = await opendir(join(root, place)).catch(absentAsNull)
    if (entries === null) continue
    for await (const entry of entries) {
      const key = place === '' ? entry.name : `${place}/${entry.name}`
      if (!/^[a-z0-9_.-]+$/.test(entry.name) || !key.startsWith(prefix)) continue
      if (entry.isDirectory()) pending.push(key)
      if (!entry.isFile()) continue
      const stats = await lstat(join(root, key)).catch(absentAsNull)
      if (stats !== null) yield { key, size: stats.size, lastModified: stats.mtime }
    }
  }
}
