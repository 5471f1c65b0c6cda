import path from 'node:path'
import { redacted, scrubText } from './scrub.ts'

const maximumTextLength = 1000
const maximumDepth = 5
const maximumEntries = 50
const maximumFrames = 15

/** Names whose values are never logged, whatever they hold. Compared without case, `-` and `_`. */
const withheldNames = new Set(
  [
    'body rawbody requestbody responsebody html text storytext subject links payload headers rawheaders',
    'parameters params bindings sql query querystring',
    'token tokens accesstoken refreshtoken idtoken admintoken signature sig proof otp recoverycode recoverycodes',
    'privatekey signingkey credentials pwd passwd',
  ].flatMap((names) => names.split(' ')),
)
const withheldForm = /password|secret|authorization|cookie|apikey/
const lineNames = new Set(['time', 'level', 'msg', 'role', 'release', 'pid', 'hostname', 'v'])

const isWithheld = (name: string): boolean => {
  const plain = name.toLowerCase().replaceAll(/[-_]/g, '')
  return withheldNames.has(plain) || withheldForm.test(plain)
}

/**
 * Bounds a text. Short ones are left to the line's own filter; long ones are scrubbed before the cut, which might leave
 * half a token that no form matches, and bounded before that, since the filter's work grows faster than its input.
 */
export const bounded = (text: string): string =>
  text.length <= maximumTextLength
    ? text
    : `${scrubText(text.slice(0, 4 * maximumTextLength)).slice(0, maximumTextLength)}… (${text.length} characters)`

/** Parsers, the database and Node quote their input in messages: the quoted parts go, the sentence stays. */
const messageOf = (error: Error, code: string | null): string => {
  const isQuotingInput =
    error instanceof SyntaxError ||
    error instanceof URIError ||
    /^(?:[0-9A-Z]{5}|ERR_.*)$/.test(code ?? '') ||
    /^(?:DatabaseError|ParseError|ValidationError|AssertError)$/.test(error.name)
  if (!isQuotingInput) return bounded(error.message)
  const named = error.message
    .replace(/\breceived\b.*$/is, `received ${redacted}`)
    // A database names its constraint, table or column in quotes after one of these words.
    .replaceAll(
      /(?<!\b(?:constraint|relation|column|table|function|database|role|argument) )"[^"]*"?/gi,
      redacted,
    )
    .replaceAll(/'[^']*'?/g, redacted)
  return bounded(named)
}

const frameOf = (line: string): string =>
  bounded(
    line.trim().replace(/^at /, '').replaceAll('file://', '').replaceAll(`${process.cwd()}${path.sep}`, ''),
  )

/** Frames only: the head of a stack repeats the message, and a message may hold lines that look like frames. */
const framesOf = (error: Error): string[] => {
  const stack = error.stack ?? ''
  const start = stack.indexOf(error.message)
  const afterMessage =
    error.message !== '' && start !== -1 ? stack.slice(start + error.message.length) : stack
  return afterMessage
    .split('\n')
    .filter((line) => /^\s+at /.test(line))
    .slice(0, maximumFrames)
    .map(frameOf)
}

const wordOf = (value: unknown): string | null =>
  (typeof value === 'string' && /^[\w.:-]{1,80}$/.test(value)) || typeof value === 'number'
    ? String(value)
    : null

/** Class, code, scrubbed message and frames; of the causes the same, three deep. Nothing else of the error. */
export const serializeError = (error: Error, depth = 0): Record<string, unknown> => {
  const property = (name: string): unknown => (name in error ? Reflect.get(error, name) : undefined)
  const code = wordOf(property('code'))
  const constraint = wordOf(property('constraint'))
  const cause = error.cause
  return {
    type: bounded(error.name),
    ...(code === null ? {} : { code }),
    ...(constraint === null ? {} : { constraint }),
    message: messageOf(error, code),
    ...(depth === 0 ? { stack: framesOf(error) } : {}),
    ...(cause instanceof Error && depth < 3 ? { cause: serializeError(cause, depth + 1) } : {}),
    ...(error instanceof AggregateError && depth < 2
      ? {
          errors: error.errors
            .slice(0, 3)
            .map((inner) => (inner instanceof Error ? serializeError(inner, depth + 1) : redacted)),
        }
      : {}),
  }
}

const safeEntries = (value: object, depth: number): Record<string, unknown> =>
  Object.fromEntries(
    Object.entries(value)
      .slice(0, maximumEntries)
      .map(([name, inner]) => [bounded(name), isWithheld(name) ? redacted : safeValue(inner, depth)]),
  )

/** Depth ends rings too. */
const safeValue = (value: unknown, depth: number): unknown => {
  if (value === null || typeof value === 'number' || typeof value === 'boolean' || value === undefined)
    return value
  if (typeof value === 'string') return bounded(value)
  if (typeof value === 'bigint') return value.toString()
  if (typeof value !== 'object') return `[${typeof value}]`
  if (value instanceof Error) return serializeError(value)
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? '[invalid date]' : value.toISOString()
  if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer) return `[${value.byteLength} bytes]`
  if (depth >= maximumDepth) return '[deeper]'
  if (Array.isArray(value)) return value.slice(0, maximumEntries).map((inner) => safeValue(inner, depth + 1))
  if (value instanceof Map || value instanceof Set) return `[${value.size} entries]`
  return safeEntries(value, depth + 1)
}

/**
 * Log fields made safe: withheld names lose their value, errors become `serializeError`, bytes become a count. A field
 * named like a part of the line itself (`level`, `time`, `msg` …) is renamed, so that it can never pose as that part.
 */
export const safeFields = (fields: Readonly<Record<string, unknown>>): Record<string, unknown> =>
  Object.fromEntries(
    Object.entries(safeEntries(fields, 0)).map(([name, value]) => [
      lineNames.has(name) ? `field_${name}` : name,
      value,
    ]),
  )
