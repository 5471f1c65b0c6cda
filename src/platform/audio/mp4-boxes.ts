import { UnreadableAudio } from './pcm-block.ts'

interface Box {
  type: string
  start: number
  /** First byte after the box header. */
  body: number
  end: number
}

// What may be decoded: AAC, Apple Lossless and Opus. Other codecs in MP4 (FLAC, AC-3, AMR …) are not accepted types.
const codecs = new Set(['mp4a', 'alac', 'Opus'])

const boxesIn = (view: DataView, start: number, end: number): Box[] => {
  const boxes: Box[] = []
  let position = start
  while (position + 8 <= end) {
    let size = view.getUint32(position)
    let body = position + 8
    if (size === 1) {
      if (position + 16 > end) break
      size = Number(view.getBigUint64(position + 8))
      body = position + 16
    } else if (size === 0) size = end - position
    if (size < body - position || position + size > end) throw new UnreadableAudio('MP4 is cut')
    const type = String.fromCharCode(...new Uint8Array(view.buffer, view.byteOffset + position + 4, 4))
    boxes.push({ type, start: position, body, end: position + size })
    position += size
  }
  return boxes
}

const find = (view: DataView, parent: Box, ...path: string[]): Box | null => {
  let box: Box | null = parent
  for (const type of path)
    box =
      box === null ? null : (boxesIn(view, box.body, box.end).find((child) => child.type === type) ?? null)
  return box
}

const countAt = (view: DataView, box: Box, offset: number, entryBytes: number): number => {
  const count = view.getUint32(box.body + offset)
  if (box.body + offset + 4 + count * entryBytes > box.end) throw new UnreadableAudio('MP4 table is cut')
  return count
}

/** Ends of the chunks by the sample tables (ISO/IEC 14496-12 §8.7); all must lie inside the file. */
const checkSampleTable = (view: DataView, table: Box): void => {
  const sizes = find(view, table, 'stsz')
  const offsets = find(view, table, 'stco') ?? find(view, table, 'co64')
  const runs = find(view, table, 'stsc')
  if (!sizes || !offsets || !runs) throw new UnreadableAudio('MP4 without sample tables')
  const commonSize = view.getUint32(sizes.body + 4)
  const samples = countAt(view, sizes, 8, commonSize === 0 ? 4 : 0)
  // A common size lets a small file claim billions of samples; each takes at least a byte of the file.
  if (samples > view.byteLength) throw new UnreadableAudio('MP4 claims more samples than bytes')
  const is64 = offsets.type === 'co64'
  const chunks = countAt(view, offsets, 4, is64 ? 8 : 4)
  const runCount = countAt(view, runs, 4, 12)
  let sample = 0
  let run = 0
  for (let chunk = 0; chunk < chunks && sample < samples; chunk++) {
    while (run + 1 < runCount && view.getUint32(runs.body + 8 + (run + 1) * 12) <= chunk + 1) run++
    const perChunk = runCount === 0 ? 1 : view.getUint32(runs.body + 12 + run * 12)
    const place = offsets.body + 8 + chunk * (is64 ? 8 : 4)
    let end = is64 ? Number(view.getBigUint64(place)) : view.getUint32(place)
    for (let index = 0; index < perChunk && sample < samples; index++, sample++)
      end += commonSize === 0 ? view.getUint32(sizes.body + 12 + sample * 4) : commonSize
    if (end > view.byteLength) throw new UnreadableAudio('MP4 samples lie beyond the file')
  }
  if (sample < samples) throw new UnreadableAudio('MP4 chunks hold fewer samples than the table says')
}

const checkTrack = (view: DataView, track: Box, isFragmented: boolean): Box | null => {
  const handler = find(view, track, 'mdia', 'hdlr')
  if (!handler || view.getUint32(handler.body + 8) !== 0x736f756e /* soun */) return null
  const table = find(view, track, 'mdia', 'minf', 'stbl')
  const description = table && find(view, table, 'stsd')
  if (!table || !description) throw new UnreadableAudio('MP4 track without description')
  const entries = boxesIn(view, description.body + 8, description.end)
  const codec = entries[0]?.type
  if (codec === undefined || !codecs.has(codec)) throw new UnreadableAudio(`MP4 codec ${codec ?? 'none'}`)
  if (!isFragmented) checkSampleTable(view, table)
  return table
}

const shiftOffsets = (view: DataView, table: Box, before: number, by: number): void => {
  for (const type of ['stco', 'co64']) {
    const box = find(view, table, type)
    if (!box) continue
    const width = type === 'co64' ? 8 : 4
    const count = countAt(view, box, 4, width)
    for (let index = 0; index < count; index++) {
      const place = box.body + 8 + index * width
      const offset = width === 8 ? Number(view.getBigUint64(place)) : view.getUint32(place)
      if (offset >= before) continue
      if (width === 8) view.setBigUint64(place, BigInt(offset + by))
      else view.setUint32(place, offset + by)
    }
  }
}

/**
 * Checks that an MP4 is whole (boxes tile the file, one accepted sound track, its samples inside the file) and answers
 * its bytes as slices in an order that can be decoded as a stream: phones write `moov` last, and a stream decoder
 * would have to hold everything until it comes. Throws `UnreadableAudio`, or `RangeError` on broken tables.
 */
export const streamableMp4 = (bytes: Uint8Array): Uint8Array[] => {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const top = boxesIn(view, 0, bytes.length)
  const end = top.at(-1)?.end ?? 0
  if (bytes.subarray(end).some((byte) => byte !== 0))
    throw new UnreadableAudio('MP4 is followed by other data')
  const movie = top.find((box) => box.type === 'moov')
  if (!movie) throw new UnreadableAudio('MP4 without moov')
  const isFragmented = top.some((box) => box.type === 'moof')
  const tables: Box[] = []
  for (const track of boxesIn(view, movie.body, movie.end).filter((box) => box.type === 'trak')) {
    const table = checkTrack(view, track, isFragmented)
    if (table) tables.push(table)
  }
  if (tables.length === 0) throw new UnreadableAudio('MP4 without sound')
  const firstData = top.find((box) => box.type === 'mdat')
  if (!firstData || movie.start < firstData.start || isFragmented) return [bytes]
  // Not `slice`, which on a Buffer is a view.
  const moved = new Uint8Array(bytes.subarray(movie.start, movie.end))
  const movedView = new DataView(moved.buffer)
  for (const table of tables)
    shiftOffsets(
      movedView,
      { ...table, body: table.body - movie.start, end: table.end - movie.start },
      movie.start,
      moved.length,
    )
  return [moved, bytes.subarray(0, movie.start), bytes.subarray(movie.end)]
}
