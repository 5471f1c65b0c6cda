import { randomUUID } from 'node:crypto'
import helmet from '@fastify/helmet'
import swagger from '@fastify/swagger'
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import fastify, {
  type FastifyBaseLogger,
  type FastifyInstance,
  type FastifyRequest,
  type RawServerDefault,
} from 'fastify'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { AppError } from '../errors.ts'
import { withContext, type Logger } from '../observability/logger.ts'
import { answerBrokenRequest, bareHeaders } from './broken-request.ts'
import { installJsonParser, normaliseFields } from './body.ts'
import { clientAddress } from './client-address.ts'
import { corsHeaders, createOriginMatcher, preflightHeaders } from './cors.ts'
import { createErrorHandler } from './errors.ts'
import { createRouteTable } from './route-table.ts'
import { addressKey, applyLimit, type Limits } from './limits.ts'
import { callerOf, type AdminCaller, type Caller } from './request-values.ts'

export type HttpServer = FastifyInstance<
  RawServerDefault,
  IncomingMessage,
  ServerResponse,
  FastifyBaseLogger,
  TypeBoxTypeProvider
>

declare module 'fastify' {
  interface FastifyRequest {
    /** Address that limits and sessions see; behind trusted proxies not the socket's. */
    clientAddress: string
  }
}

export interface HttpServerOptions {
  logger: Logger
  release: string
  publicUrl: string
  trustedProxyHops: number
  corsOrigins: readonly string[] | 'any'
  isProduction: boolean
  /** Resolves the bearer of a request or throws its refusal; called on every route that is not public. */
  authenticate: (request: { authorization: string | undefined }) => Promise<Caller>
  /**
   * Resolves the administrator of a request to a route with `access: 'admin'`, which names the permission and whether
   * identity must have been proved anew, or throws the refusal. Without it nobody is one: every such request is 401.
   */
  authenticateAdmin?: (request: FastifyRequest) => Promise<AdminCaller>
  limits: Limits
  onResponse?: (info: { method: string; route: string; status: number; durationMs: number }) => void
}

// An upload may take 120 s (20 §2.3); Node's own clock must not cut it first. Fastify's defaults switch these off.
const timeouts = { requestTimeout: 125_000, connectionTimeout: 70_000, keepAliveTimeout: 65_000 }
const bodyLimitBytes = 64 * 1024
const requestIdForm = /^[A-Za-z0-9-]{8,64}$/

/** An empty or unstorable (NUL, unpaired surrogate) path parameter: no resource can have it. */
const hasImpossibleParameter = (params: unknown): boolean =>
  typeof params === 'object' &&
  params !== null &&
  Object.entries(params).some(
    ([name, value]: [string, unknown]) =>
      typeof value === 'string' &&
      ((value === '' && name !== '*') || value.includes('\0') || !value.isWellFormed()),
  )

/** Who counts against a limit by user; an administrator apart from the parent they may be as well. */
const signerOf = (request: FastifyRequest): string =>
  request.admin ? `admin:${request.admin.adminId}` : String(callerOf(request).userId)

/** The HTTP server without routes: errors, ids, headers, CORS, authentication by default, OpenAPI collection. */
export const createHttpServer = async (options: HttpServerOptions): Promise<HttpServer> => {
  const { logger } = options
  const table = createRouteTable()
  const isAllowedOrigin = createOriginMatcher(options.corsOrigins)
  const server = fastify({
    ...timeouts,
    bodyLimit: bodyLimitBytes,
    logger: false,
    genReqId: (request) => {
      const given = request.headers['x-request-id']
      return options.trustedProxyHops > 0 && typeof given === 'string' && requestIdForm.test(given)
        ? given
        : randomUUID()
    },
    routerOptions: { ignoreTrailingSlash: false, caseSensitive: true, maxParamLength: 512 },
    ajv: {
      customOptions: { coerceTypes: false, removeAdditional: false, allErrors: false, useDefaults: false },
    },
    clientErrorHandler: answerBrokenRequest,
    // A path that cannot be decoded: Fastify runs no hook for it.
    frameworkErrors: (error, request, reply) => {
      reply.headers({ ...bareHeaders, 'x-request-id': request.id })
      void createErrorHandler(logger)(error, request, reply)
    },
    return503OnClosing: false,
  }).withTypeProvider<TypeBoxTypeProvider>()
  server.server.headersTimeout = 20_000
  // Node answers an unknown `Expect` with a bare 417. RFC 9110 §10.1.1 lets a server ignore it.
  server.server.on('checkExpectation', (request, response) =>
    server.server.emit('request', request, response),
  )

  server.decorateRequest('caller', null)
  server.decorateRequest('admin', null)
  server.decorateRequest('clientAddress', '')
  installJsonParser(server)
  server.addHook('onRoute', (route) => {
    table.add(route.method, route.url)
    if ([route.method].flat().includes('GET')) table.add('HEAD', route.url)
  })

  server.addHook('onRequest', (request, reply, done) => {
    request.clientAddress = clientAddress(request.raw, options.trustedProxyHops)
    reply.header('x-request-id', request.id)
    withContext({ request_id: request.id, route: request.routeOptions.url ?? 'unknown' }, done)
  })
  server.addHook('onRequest', async (request, reply) => {
    if (request.url.startsWith('/admin')) return
    reply.header('vary', 'Origin')
    const { origin } = request.headers
    if (origin === undefined || !isAllowedOrigin(origin)) return
    reply.headers(corsHeaders(origin))
    if (request.method === 'OPTIONS' && request.headers['access-control-request-method'] !== undefined)
      return reply
        .code(204)
        .headers(preflightHeaders(request.headers['access-control-request-headers']))
        .send()
  })

  await server.register(helmet, {
    contentSecurityPolicy: {
      useDefaults: false,
      directives: { defaultSrc: ["'none'"], frameAncestors: ["'none'"] },
    },
    strictTransportSecurity: options.isProduction ? { maxAge: 31_536_000, includeSubDomains: true } : false,
    // Covers and signed audio are loaded by the app and the marketing site.
    crossOriginResourcePolicy: { policy: 'cross-origin' },
    crossOriginEmbedderPolicy: false,
    xXssProtection: false,
  })

  server.addHook('onRequest', async (request, reply) => {
    if (request.is404) return
    // `/stories/` matches `/stories/:id` with an empty id, but a trailing slash names nothing.
    if (hasImpossibleParameter(request.params)) throw new AppError('not_found')
    const { access, limit } = request.routeOptions.config
    if (access === 'admin') {
      if (!options.authenticateAdmin) throw new AppError('token_missing')
      request.admin = await options.authenticateAdmin(request)
    } else if (access !== 'public')
      request.caller = await options.authenticate({ authorization: request.headers.authorization })
    if (!limit) return
    const subject = limit.by === 'user' ? signerOf(request) : addressKey(request.clientAddress)
    await applyLimit(options.limits, limit, subject, reply)
  })
  server.addHook('preValidation', (request, _reply, done) => {
    // Without length and type no parser runs at all: such an empty body counts as `{}` too.
    if (request.body === undefined && request.routeOptions.schema?.body !== undefined) request.body = {}
    normaliseFields(request.body)
    done()
  })
  server.addHook('onResponse', (request, reply, done) => {
    const info = {
      method: request.method,
      route: request.routeOptions.url ?? 'unknown',
      status: reply.statusCode,
      durationMs: Math.round(reply.elapsedTime * 10) / 10,
    }
    options.onResponse?.(info)
    const fields = {
      method: info.method,
      route: info.route,
      status: info.status,
      duration_ms: info.durationMs,
    }
    const line = { ...fields, ...(request.caller ? { user_id: request.caller.userId } : {}) }
    if (info.route.startsWith('/health/')) logger.debug(line, 'request')
    else logger.info(line, 'request')
    done()
  })

  server.setErrorHandler(createErrorHandler(logger))
  server.setNotFoundHandler(async (request) => {
    const methods = table.methodsOf(request.url.split('?')[0] ?? '')
    if (methods.length === 0) throw new AppError('not_found')
    throw new AppError('method_not_allowed', { headers: { allow: methods.join(', ') } })
  })

  await server.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'DawnoTemu API',
        version: options.release,
        description: 'Bedtime stories in a voice you know.',
      },
      servers: [{ url: options.publicUrl }],
      components: { securitySchemes: { bearer: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT' } } },
    },
    transform: ({ schema, url, route }) => {
      const isPublic = route.config?.access === 'public'
      return { url, schema: { ...schema, ...(isPublic ? { security: [] } : { security: [{ bearer: [] }] }) } }
    },
  })
  return server
}
