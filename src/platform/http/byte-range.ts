/** Inclusive byte positions, both inside the representation. */
export interface SatisfiableRange {
  start: number
  end: number
}

export type ParsedRange =
  | { kind: 'none' }
  | { kind: 'range'; range: SatisfiableRange }
  | { kind: 'unsatisfiable' }

const singleRange = /^bytes=[ \t]*(\d*)-(\d*)[ \t]*$/i

/**
 * Reads a `Range` header (RFC 9110 §14.2) against a representation of `size` bytes. Malformed, multiple and
 * foreign-unit ranges are `none`: the standard lets a server ignore them, and the whole is then served.
 */
export const parseRange = (header: string | undefined, size: number): ParsedRange => {
  const match = header === undefined ? null : singleRange.exec(header)
  const first = match?.[1] ?? ''
  const last = match?.[2] ?? ''
  if (first === '' && last === '') return { kind: 'none' }
  if (first === '') {
    const suffix = Number(last)
    if (suffix === 0 || size === 0) return { kind: 'unsatisfiable' }
    return { kind: 'range', range: { start: Math.max(0, size - suffix), end: size - 1 } }
  }
  const start = Number(first)
  const end = last === '' ? Infinity : Number(last)
  if (end < start) return { kind: 'none' }
  if (start >= size) return { kind: 'unsatisfiable' }
  return { kind: 'range', range: { start, end: Math.min(end, size - 1) } }
}

/** The value of `Content-Range` for a 206, or for a 416 when `range` is null. */
export const contentRange = (range: SatisfiableRange | null, size: number): string =>
  range === null ? `bytes */${size}` : `bytes ${range.start}-${range.end}/${size}`

const opaqueTag = (tag: string): string => tag.replace(/^W\//, '')

/** Whether an `If-None-Match` list names `etag` (weak comparison, RFC 9110 §13.1.2); `*` names everything. */
export const matchesEtag = (header: string | undefined, etag: string): boolean => {
  if (header === undefined) return false
  if (header.trim() === '*') return true
  // Commas may stand inside the quotes, so the list is matched rather than split.
  return (header.match(/(?:W\/)?"[^"]*"/g) ?? []).some((tag) => opaqueTag(tag) === opaqueTag(etag))
}

const toSeconds = (date: Date): number => Math.floor(date.getTime() / 1000)

/**
 * Whether `If-Range` (RFC 9110 §13.1.5) allows the range: true without the header, with the same strong etag, or
 * with exactly the modification date. Otherwise the client holds another version and must get the whole.
 */
export const ifRangeHolds = (header: string | undefined, etag: string, lastModified: Date): boolean => {
  if (header === undefined) return true
  const value = header.trim()
  if (value.startsWith('"')) return value === etag
  if (value.startsWith('W/')) return false
  return toSeconds(new Date(value)) === toSeconds(lastModified)
}

/** The request headers that count here; `IncomingHttpHeaders` fits. */
export interface DeliveryHeaders {
  range?: string | undefined
  'if-none-match'?: string | undefined
  'if-modified-since'?: string | undefined
  'if-range'?: string | string[] | undefined
}

const isNotModified = (headers: DeliveryHeaders, etag: string, lastModified: Date): boolean => {
  if (headers['if-none-match'] !== undefined) return matchesEtag(headers['if-none-match'], etag)
  const since = headers['if-modified-since']
  return since !== undefined && toSeconds(lastModified) <= toSeconds(new Date(since))
}

export type DeliveryPlan =
  | { status: 200 }
  | { status: 206; range: SatisfiableRange }
  | { status: 304 }
  | { status: 416 }

/**
 * Decides how a stored object answers a GET or HEAD, in the order of RFC 9110 §13.2.2: validators first, then the
 * range. `Range` counts on GET only. `etag` is in HTTP form, quotes included.
 */
export const planDelivery = (
  request: { method: string; headers: DeliveryHeaders },
  object: { size: number; etag: string; lastModified: Date },
): DeliveryPlan => {
  const { headers } = request
  if (isNotModified(headers, object.etag, object.lastModified)) return { status: 304 }
  const ifRange = headers['if-range']?.toString()
  if (request.method !== 'GET' || !ifRangeHolds(ifRange, object.etag, object.lastModified))
    return { status: 200 }
  const parsed = parseRange(headers.range, object.size)
  if (parsed.kind === 'range') return { status: 206, range: parsed.range }
  return { status: parsed.kind === 'unsatisfiable' ? 416 : 200 }
}
