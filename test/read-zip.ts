import { configure, Uint8ArrayReader, Uint8ArrayWriter, ZipReader } from '@zip.js/zip.js'

/** Name → bytes of every file in a zip; each file's checksum is checked. */
export const readZip = async (bytes: Uint8Array): Promise<Map<string, Buffer>> => {
  configure({ useWebWorkers: false })
  const reader = new ZipReader(new Uint8ArrayReader(bytes), { checkCrc32: true, strictness: 'strict' })
  const files = new Map<string, Buffer>()
  for (const entry of await reader.getEntries())
    if (!entry.directory) files.set(entry.filename, Buffer.from(await entry.getData(new Uint8ArrayWriter())))
  await reader.close()
  return files
}
