import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import { isConnectionFault } from '../db/database.ts'
import { AppError, wireCodes } from '../errors.ts'
import type { Logger } from '../observability/logger.ts'

/** The body of every refusal and fault. */
export const errorBody = Type.Object(
  {
    error: Type.String({ description: 'Short text fit to show a person' }),
    code: Type.Optional(Type.String()),
    required: Type.Optional(Type.Integer()),
    retry_after: Type.Optional(Type.Integer({ description: 'Seconds' })),
    request_id: Type.Optional(Type.String({ description: 'Present with every 5xx' })),
  },
  { title: 'Error' },
)

/** Response schemas that every route shares. */
export const errorResponses = { '4xx': errorBody, '5xx': errorBody }

/** Names the field of a validation failure as the client wrote it. */
const invalidField = (error: FastifyError): string => {
  const first = error.validation?.[0]
  const path = first?.instancePath.split('/').findLast(Boolean)
  const missing = first?.params['missingProperty']
  return path ?? (typeof missing === 'string' ? missing : 'request')
}

const fromFramework = (error: FastifyError): AppError | null => {
  if (error.validation)
    return new AppError('invalid_value', { text: `Invalid value for ${invalidField(error)}.` })
  switch (error.code) {
    case 'FST_ERR_CTP_INVALID_MEDIA_TYPE':
      return new AppError('unsupported_content_type')
    case 'FST_ERR_CTP_BODY_TOO_LARGE':
      return new AppError('body_too_large')
    case 'FST_ERR_CTP_INVALID_CONTENT_LENGTH':
    case 'FST_ERR_CTP_INVALID_JSON_BODY':
      return new AppError('invalid_json')
    default:
  }
  if (error.statusCode === 404 || error.code === 'FST_ERR_BAD_URL') return new AppError('not_found')
  if (error.statusCode !== undefined && error.statusCode >= 400 && error.statusCode < 500)
    return new AppError('invalid_body')
  return null
}

/** Body, status and headers of an error answer. */
export const describeError = (
  error: AppError,
  requestId: string,
): { status: number; body: Record<string, unknown>; headers: Record<string, string> } => {
  const { details } = error
  const isFault = error.status >= 500
  const code = wireCodes[error.code]
  const retryAfter =
    details.retryAfterSeconds ?? (error.status === 429 || error.status === 503 ? 30 : undefined)
  return {
    status: error.status,
    headers: {
      ...(retryAfter === undefined ? {} : { 'retry-after': String(Math.max(1, Math.ceil(retryAfter))) }),
      ...details.headers,
    },
    body: {
      error: error.message,
      ...(code === undefined ? {} : { code }),
      ...details.body,
      ...(error.status === 429 ? { retry_after: Math.max(1, Math.ceil(retryAfter ?? 30)) } : {}),
      ...(isFault ? { request_id: requestId } : {}),
    },
  }
}

/** The one error handler: refusals as their table says, everything else a plain 500 with the cause in the log only. */
export const createErrorHandler =
  (logger: Logger) =>
  async (error: FastifyError | AppError, request: FastifyRequest, reply: FastifyReply): Promise<void> => {
    const known = error instanceof AppError ? error : fromFramework(error)
    const refusal =
      known ?? new AppError(isConnectionFault(error) ? 'unavailable' : 'internal', { cause: error })
    if (refusal.status >= 500)
      logger.error({ err: refusal.details.cause ?? error, code: refusal.code }, 'request failed')
    const { status, body, headers } = describeError(refusal, request.id)
    if (reply.raw.headersSent) {
      reply.raw.destroy()
      return
    }
    // A 404 or 405 may be kept by caches unless they are told otherwise.
    reply.headers({ 'cache-control': 'no-store', ...headers })
    await reply.code(status).type('application/json; charset=utf-8').send(body)
  }
