import scalar from '@scalar/fastify-api-reference'
import type { FastifyInstance } from 'fastify'
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
  await registerPublicly(server, async (scope) => {
    scope.addHook('onSend', (_request, reply, payload, next) => {
      reply.header('content-security-policy', referencePolicy)
      next(null, payload)
    })
    await scope.register(scalar, {
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
  })
}
