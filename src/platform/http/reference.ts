import fastify, { type FastifyInstance } from 'fastify'
import { Type } from 'typebox'
import type { HttpServer } from './server.ts'

/** Registers a plugin whose routes need no sign-in and stay out of the OpenAPI document. */
export const registerPublicly = async (
  server: HttpServer,
  plugin: (scope: FastifyInstance) => Promise<void> | void,
): Promise<void> => {
  await server.register(async (scope) => {
    scope.addHook('onRoute', (route) => {
      route.config = { ...route.config, access: 'public' }
      route.schema = { ...route.schema, hide: true }
    })
    await plugin(scope)
  })
}

// The reference page is a script application with inline parts; it may load and call nothing but this server.
const referencePolicy = [
  "default-src 'none'",
  "script-src 'self' 'unsafe-inline' 'unsafe-eval'",
  "style-src 'self' 'unsafe-inline'",
  "img-src 'self' data: blob:",
  "font-src 'self' data:",
  "connect-src 'self'",
  "worker-src 'self' blob:",
  "frame-ancestors 'none'",
].join('; ')

/** GET /openapi.json and the page /docs. */
export const registerReference = async (server: HttpServer): Promise<void> => {
  server.get(
    '/openapi.json',
    { config: { access: 'public' }, schema: { summary: 'This document', response: { 200: Type.Any() } } },
    () => server.swagger(),
  )
  // The page's script is a 5 MB text in its package: it is loaded when somebody first asks for the page.
  let pages: Promise<FastifyInstance> | null = null
  await registerPublicly(server, (scope) => {
    for (const url of ['/docs', '/docs/*'])
      scope.get(url, async (request, reply) => {
        pages ??= createReferencePages()
        const answer = await (await pages).inject({ method: 'GET', url: request.url })
        const type = answer.headers['content-type']
        const location = answer.headers['location']
        if (typeof location === 'string') reply.header('location', location)
        return reply
          .code(answer.statusCode)
          .header('content-security-policy', referencePolicy)
          .type(typeof type === 'string' ? type : 'text/plain')
          .send(answer.rawPayload)
      })
  })
}

const createReferencePages = async (): Promise<FastifyInstance> => {
  const { default: scalar } = await import('@scalar/fastify-api-reference')
  const pages = fastify()
  await pages.register(scalar, {
    routePrefix: '/docs',
    configuration: {
      url: '/openapi.json',
      pageTitle: 'DawnoTemu API',
      withDefaultFonts: false,
      hideClientButton: true,
      showDeveloperTools: 'never',
      telemetry: false,
      agent: { disabled: true },
    },
  })
  return pages
}
