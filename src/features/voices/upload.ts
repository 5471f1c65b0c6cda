import { createHash, randomUUID } from 'node:crypto'
import { createWriteStream } from 'node:fs'
import { mkdir, rm } from 'node:fs/promises'
import path from 'node:path'
import { Transform, type Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { FastifyRequest } from 'fastify'
import { AppError } from '../../platform/errors.ts'
import type { ReceivedUpload } from './voices.ts'

const maxFileBytes = 25 * 1024 * 1024
const maxFieldBytes = 64 * 1024
/** How long a body may take in all, and how long it may pause, in ms. */
export interface UploadPace {
  totalMs: number
  pauseMs: number
}
const defaultPace: UploadPace = { totalMs: 120_000, pauseMs: 30_000 }
const headBytes = 64 * 1024

const parserRefusals: Record<string, 'upload_malformed' | 'upload_too_large'> = {
  FST_PARTS_LIMIT: 'upload_malformed',
  FST_FILES_LIMIT: 'upload_malformed',
  FST_FIELDS_LIMIT: 'upload_malformed',
  FST_PROTO_VIOLATION: 'upload_malformed',
  FST_INVALID_MULTIPART_CONTENT_TYPE: 'upload_malformed',
  FST_REQ_FILE_TOO_LARGE: 'upload_too_large',
}

interface Meter {
  transform: Transform
  result(): { size: number; sha256: Buffer; head: Uint8Array }
}

/** Counts, hashes and keeps the first bytes of what flows to disk. */
const createMeter = (): Meter => {
  const hash = createHash('sha256')
  const heads: Buffer[] = []
  let size = 0
  let kept = 0
  const transform = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      size += chunk.length
      if (size > maxFileBytes) return done(new AppError('upload_too_large'))
      hash.update(chunk)
      if (kept < headBytes) {
        const piece = chunk.subarray(0, headBytes - kept)
        heads.push(Buffer.from(piece))
        kept += piece.length
      }
      return done(null, chunk)
    },
  })
  return { transform, result: () => ({ size, sha256: hash.digest(), head: Buffer.concat(heads) }) }
}

/** Refuses a body that takes longer or pauses longer than the pace allows. */
const watchPace = (
  source: Readable,
  { totalMs, pauseMs }: UploadPace,
): { signal: AbortSignal; end: () => void } => {
  const late = new AbortController()
  const abort = (): void => late.abort(new AppError('upload_timeout'))
  const total = setTimeout(abort, totalMs)
  let pause = setTimeout(abort, pauseMs)
  const onData = (): void => {
    clearTimeout(pause)
    pause = setTimeout(abort, pauseMs)
  }
  source.on('data', onData)
  const end = (): void => {
    clearTimeout(total)
    clearTimeout(pause)
    source.off('data', onData)
  }
  return { signal: late.signal, end }
}

const fieldValue = (value: unknown): string => {
  if (typeof value !== 'string') throw new AppError('upload_malformed')
  return value
}

const readParts = async (
  request: FastifyRequest,
  file: string,
  signal: AbortSignal,
): Promise<ReceivedUpload> => {
  const fields = new Map<string, string>()
  let received: (ReturnType<Meter['result']> & { filename: string }) | null = null
  let fieldBytes = 0
  const limits = { parts: 10, fields: 10, files: 1, fieldSize: maxFieldBytes, fileSize: maxFileBytes + 1 }
  for await (const part of request.parts({ limits })) {
    signal.throwIfAborted()
    if (part.type === 'file') {
      if (part.fieldname !== 'file' || !part.filename) throw new AppError('upload_no_file')
      const meter = createMeter()
      await pipeline(part.file, meter.transform, createWriteStream(file, { mode: 0o600 }), { signal })
      received = { ...meter.result(), filename: part.filename }
      continue
    }
    const value = fieldValue(part.value)
    fieldBytes += Buffer.byteLength(value)
    if (fieldBytes > maxFieldBytes || part.valueTruncated) throw new AppError('upload_malformed')
    fields.set(part.fieldname, value)
  }
  if (!received) throw new AppError('upload_no_file')
  const { filename, ...file_ } = received
  return {
    path: file,
    filename,
    ...file_,
    name: fields.get('name'),
    consent: fields.get('consent'),
    consentVersion: fields.get('consent_version'),
  }
}

const asRefusal = (error: unknown, signal: AbortSignal): unknown => {
  if (signal.aborted && signal.reason instanceof AppError) return signal.reason
  if (error instanceof AppError) return error
  const code = error instanceof Error && 'code' in error ? String(error.code) : ''
  const isStorageFault = ['ENOSPC', 'EACCES', 'EROFS', 'EMFILE', 'ENOENT'].includes(code)
  if (isStorageFault) return new AppError('recording_store', { retryAfterSeconds: 10, cause: error })
  // What is left is the parser's: a cut body, a missing boundary, a header it cannot read.
  return new AppError(parserRefusals[code] ?? 'upload_malformed')
}

/**
 * Receives a multipart upload into a temporary file (rows 3 to 6 of 20 §2.3) and hands it to `work`. The file is gone
 * when this returns, however it ends; the rest of a refused body is read and thrown away so that the client sees the answer.
 */
export const withUpload = async <T>(
  request: FastifyRequest,
  directory: string,
  work: (upload: ReceivedUpload) => Promise<T>,
  limits: UploadPace = defaultPace,
): Promise<T> => {
  if (!request.isMultipart()) throw new AppError('upload_no_file')
  const announced = Number(request.headers['content-length'] ?? 0)
  if (announced > maxFileBytes + maxFieldBytes) throw new AppError('upload_too_large')
  await mkdir(directory, { recursive: true, mode: 0o700 })
  const file = path.join(directory, `upload-${randomUUID()}`)
  const pace = watchPace(request.raw, limits)
  try {
    let upload: ReceivedUpload
    try {
      const aborted = new Promise<never>((_resolve, reject) => {
        pace.signal.addEventListener('abort', () => reject(pace.signal.reason as Error), { once: true })
      })
      upload = await Promise.race([readParts(request, file, pace.signal), aborted])
    } catch (error) {
      throw asRefusal(error, pace.signal)
    } finally {
      pace.end()
    }
    return await work(upload)
  } finally {
    request.raw.unpipe()
    request.raw.resume()
    await rm(file, { force: true })
  }
}
