import type { FastifyInstance } from 'fastify'
import type { RefusalCode } from '../errors.ts'
import { AppError } from '../errors.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** In a scope of `keepSentBody`: the decoded JSON as the client sent it; undefined for an empty or absent body. */
    sentBody: unknown
  }
}

const jsonType = /^application\/(?:json|[a-z0-9!#$&^_.+-]+\+json)$/i

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/**
 * For routes whose own texts tell `false`, `0` and `[]` from a missing field: in this scope bodies stay as they were sent
 * (`request.sentBody`) and are validated by the handler alone. The refusals are the route's own, with the text given.
 */
export const keepSentBody = (
  scope: FastifyInstance,
  refusals: { otherType: AppError; malformed: RefusalCode; notAnObject: RefusalCode },
): void => {
  scope.decorateRequest('sentBody', undefined)
  scope.removeAllContentTypeParsers()
  scope.addContentTypeParser('*', { parseAs: 'string' }, (request, body, done) => {
    const text = body.toString()
    const type = (request.headers['content-type'] ?? '').split(';')[0]?.trim() ?? ''
    if (text === '') return done(null, {})
    if (!jsonType.test(type)) return done(refusals.otherType)
    let value: unknown
    try {
      value = JSON.parse(text)
    } catch {
      return done(new AppError(refusals.malformed))
    }
    if (!isObject(value)) return done(new AppError(refusals.notAnObject))
    request.sentBody = value
    done(null, {})
  })
}

/** The fields of the body as sent; none for an empty or absent one. */
export const sentFields = (request: { sentBody: unknown }): Record<string, unknown> =>
  isObject(request.sentBody) ? request.sentBody : {}
