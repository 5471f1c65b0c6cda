import type { FastifyInstance } from 'fastify'
import { AppError } from '../errors.ts'

const jsonType = /^application\/(?:json|[a-z0-9!#$&^_.+-]+\+json)$/i

/** JSON bodies only, of any `+json` flavour; an empty one counts as `{}`; everything but an object is refused. */
export const installJsonParser = (server: FastifyInstance): void => {
  server.removeAllContentTypeParsers()
  server.addContentTypeParser('*', { parseAs: 'string' }, (request, body, done) => {
    const text = body.toString()
    const type = (request.headers['content-type'] ?? '').split(';')[0]?.trim() ?? ''
    if (text === '') return done(null, {})
    if (!jsonType.test(type)) return done(new AppError('unsupported_content_type'))
    try {
      done(null, parseObject(text))
    } catch (error) {
      done(error instanceof AppError ? error : new AppError('invalid_json'))
    }
  })
}

const parseObject = (text: string): Record<string, unknown> => {
  const value: unknown = JSON.parse(text)
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new AppError('invalid_body')
  // A null prototype: `__proto__` in a body is a key like any other.
  return Object.assign(Object.create(null), value)
}

const isMissing = (value: unknown): boolean =>
  value === null ||
  value === '' ||
  value === 0 ||
  value === false ||
  (Array.isArray(value) && value.length === 0)

/**
 * The wire's notion of a missing field: null, "", 0, false and [] count as absent, so that a route answers with its own
 * "required" text. A text with NUL or an unpaired surrogate can be stored nowhere and is refused by name.
 */
export const normaliseFields = (body: unknown): void => {
  if (typeof body !== 'object' || body === null) return
  const fields: Record<string, unknown> = body as Record<string, unknown>
  for (const [name, value] of Object.entries(fields)) {
    if (isMissing(value)) delete fields[name]
    else if (typeof value === 'string' && (value.includes('\0') || !value.isWellFormed()))
      throw new AppError('invalid_value', { text: `Invalid value for ${name}.` })
  }
}
