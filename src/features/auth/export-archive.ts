import { createReadStream, createWriteStream } from 'node:fs'
import { Readable, Writable } from 'node:stream'

export interface Archive {
  addText(name: string, text: string): Promise<void>
  /** Stored as it is, sound does not shrink. Size in bytes and CRC-32 are known beforehand. */
  addFile(
    name: string,
    file: { path: string; sizeBytes: number; crc32: number; modifiedAt: Date },
  ): Promise<void>
  close(): Promise<void>
  /** Lets go of the file, whatever state it is in. */
  discard(): void
}

/** A zip file that is written to disk as it grows (zip64 only where it must be). No entry has a data descriptor. */
export const createArchive = async (path: string, now: Date, signal: AbortSignal): Promise<Archive> => {
  // The web process never needs it.
  const { configure, TextReader, ZipWriter } = await import('@zip.js/zip.js')
  configure({ useWebWorkers: false })
  const output = createWriteStream(path)
  // A failure reaches whoever writes; without a listener it would also end the process.
  output.on('error', () => undefined)
  const writer = new ZipWriter(Writable.toWeb(output), { signal, lastModDate: now })
  return {
    addText: async (name, text) => {
      await writer.add(name, new TextReader(text), { dataDescriptor: false })
    },
    addFile: async (name, file) => {
      const readable = Readable.toWeb(createReadStream(file.path))
      await writer.add(
        name,
        // With `size` and `crc32` at hand the header is written whole, ahead of the bytes.
        Object.assign({ readable }, { size: file.sizeBytes }),
        {
          level: 0,
          passThrough: true,
          compressionMethod: 0,
          uncompressedSize: file.sizeBytes,
          crc32: file.crc32,
          lastModDate: file.modifiedAt,
        },
      )
    },
    close: async () => {
      await writer.close()
    },
    discard: () => output.destroy(),
  }
}
