import type { FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { errorResponses } from '../../platform/http/errors.ts'
import { callerOf, isoTime, isoTimeOrNull } from '../../platform/http/request-values.ts'
import type { Exports } from './export.ts'
import { exportLimit } from './limits.ts'
import { deviceOf } from './request-device.ts'

const nullable = <S extends Parameters<typeof Type.Union>[0][number]>(schema: S) =>
  Type.Union([schema, Type.Null()])
const status = Type.String({ description: 'pending, processing, ready, error or expired' })

/** The archive of one's own data (10 §10.2). */
export const exportRoutes =
  (deps: { exports: Exports }): FastifyPluginCallbackTypebox =>
  (server, _options, done) => {
    server.addHook('onSend', (_request, reply, payload, next) => {
      reply.header('cache-control', 'no-store')
      next(null, payload)
    })

    server.post(
      '/auth/me/export',
      {
        config: { limit: exportLimit },
        schema: {
          summary: 'Ask for an archive of everything about the account; a mail says when it is ready',
          body: Type.Object({ current_password: Type.Optional(Type.String()) }),
          response: {
            202: Type.Object({ id: Type.Integer(), status, created_at: Type.String() }),
            ...errorResponses,
          },
        },
      },
      async (request, reply) => {
        const password = request.body.current_password
        const asked = await deps.exports.request(callerOf(request), password, deviceOf(request))
        return reply
          .code(202)
          .send({ id: asked.id, status: asked.status, created_at: isoTime(asked.createdAt) })
      },
    )

    server.get(
      '/auth/me/export',
      {
        schema: {
          summary: 'The newest archive and, while it is kept, a link to it',
          response: {
            200: Type.Object({
              id: Type.Integer(),
              status,
              created_at: Type.String(),
              ready_at: nullable(Type.String()),
              expires_at: nullable(Type.String()),
              size_bytes: nullable(Type.Integer()),
              url: nullable(Type.String({ description: 'Works for at most 15 minutes' })),
            }),
            ...errorResponses,
          },
        },
      },
      async (request) => {
        const found = await deps.exports.newest(callerOf(request).userId)
        return {
          id: found.id,
          status: found.status,
          created_at: isoTime(found.createdAt),
          ready_at: isoTimeOrNull(found.readyAt),
          expires_at: isoTimeOrNull(found.expiresAt),
          size_bytes: found.sizeBytes,
          url: found.url,
        }
      },
    )
    done()
  }
