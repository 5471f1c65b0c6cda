import type { FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox'
import type { FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import { AppError } from '../../platform/errors.ts'
import { errorResponses } from '../../platform/http/errors.ts'
import { callerOf, isoTime, parseId } from '../../platform/http/request-values.ts'
import type { Auth } from './auth.ts'
import { clearedRefreshCookie, readRefreshCookie } from './cookie.ts'
import { deviceOf } from './request-device.ts'

// Not `Type.Null()`: a handler that sends null is prepared as JSON, one that sends nothing is not.
const noContent = Type.Unsafe<undefined>({ type: 'null', description: 'Done' })

const sessionSchema = Type.Object({
  id: Type.Integer(),
  current: Type.Boolean({ description: 'The session of this request' }),
  client_name: Type.String(),
  user_agent: Type.String(),
  ip_prefix: Type.String({ description: '/24 of IPv4, /48 of IPv6' }),
  created_at: Type.String(),
  last_used_at: Type.String(),
  expires_at: Type.String({ description: 'The earlier of the idle and the absolute end' }),
})

/** Signing out and the device list (10 §8.11). */
export const sessionRoutes =
  (deps: { auth: Auth; assertSameSite: (request: FastifyRequest) => void }): FastifyPluginCallbackTypebox =>
  (server, _options, done) => {
    const { devices, authenticate } = deps.auth
    server.addHook('onSend', (_request, reply, payload, next) => {
      reply.header('cache-control', 'no-store')
      next(null, payload)
    })

    /** A valid bearer names the session to end; any other is no reason to refuse. */
    const bearerOf = async (request: FastifyRequest) => {
      try {
        return await authenticate(request.headers.authorization)
      } catch (error) {
        if (error instanceof AppError && error.status < 500) return null
        throw error
      }
    }

    server.post(
      '/auth/logout',
      {
        config: { access: 'public' },
        schema: {
          summary: 'Sign out',
          description:
            'The session is found by `refresh_token` (any that was ever issued for it), else by the cookie of the ' +
            'browser app, else by the bearer token. 204 also when nothing is found.',
          body: Type.Object({ refresh_token: Type.Optional(Type.Unknown()) }),
          response: { 204: noContent, ...errorResponses },
        },
      },
      async (request, reply) => {
        const inBody = request.body.refresh_token
        const cookie = readRefreshCookie(request)
        if (inBody === undefined && cookie !== undefined) deps.assertSameSite(request)
        if (cookie !== undefined) reply.header('set-cookie', clearedRefreshCookie)
        const token = inBody ?? cookie
        const device = deviceOf(request)
        if (typeof token === 'string' && (await devices.signOutByToken(token, device)))
          return reply.code(204).send(undefined)
        const caller = await bearerOf(request)
        if (caller) await devices.signOut(caller, device)
        return reply.code(204).send(undefined)
      },
    )

    server.post(
      '/auth/logout-all',
      { schema: { summary: 'Sign out everywhere', response: { 204: noContent, ...errorResponses } } },
      async (request, reply) => {
        await devices.signOutEverywhere(callerOf(request).userId, deviceOf(request))
        return reply.code(204).send(undefined)
      },
    )

    server.get(
      '/auth/sessions',
      {
        schema: {
          summary: 'Signed-in devices, last used first',
          response: { 200: Type.Object({ sessions: Type.Array(sessionSchema) }), ...errorResponses },
        },
      },
      async (request) => {
        const caller = callerOf(request)
        const sessions = await devices.list(caller.userId)
        return {
          sessions: sessions.map((session) => ({
            id: session.id,
            current: session.id === caller.sessionId,
            client_name: session.clientName,
            user_agent: session.userAgent,
            ip_prefix: session.ipPrefix,
            created_at: isoTime(session.createdAt),
            last_used_at: isoTime(session.lastUsedAt),
            expires_at: isoTime(session.expiresAt),
          })),
        }
      },
    )

    server.delete(
      '/auth/sessions/:id',
      {
        schema: {
          summary: 'Sign one device out',
          params: Type.Object({ id: Type.String() }),
          response: { 204: noContent, ...errorResponses },
        },
      },
      async (request, reply) => {
        const id = parseId(request.params.id)
        if (id === null) throw new AppError('session_not_found')
        await devices.revoke({ userId: callerOf(request).userId, sessionId: id }, deviceOf(request))
        return reply.code(204).send(undefined)
      },
    )
    done()
  }
