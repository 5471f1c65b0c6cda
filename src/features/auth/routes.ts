import type { FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import { AppError } from '../../platform/errors.ts'
import { addressPrefix } from '../../platform/http/client-address.ts'
import { errorBody, errorResponses } from '../../platform/http/errors.ts'
import { callerOf } from '../../platform/http/request-values.ts'
import { userSchema } from '../users/users.ts'
import type { Auth } from './auth.ts'
import * as pages from './landing-pages.ts'
import type { Device } from './queries.ts'

const text = (description: string) => Type.Optional(Type.String({ description }))
const message = Type.Object({ message: Type.String() })
const isPublic = { access: 'public' } as const

const userAgentOf = (request: FastifyRequest): string =>
  (request.headers['user-agent'] ?? '').replaceAll(/[^\x20-\x7e]/g, '').slice(0, 256)

const deviceOf = (request: FastifyRequest, clientName?: string): Device => {
  const userAgent = userAgentOf(request)
  const name = clientName?.trim() || userAgent.split(/[\s/(]/)[0] || 'unknown'
  return {
    clientName: [...name].slice(0, 64).join(''),
    userAgent,
    ipPrefix: addressPrefix(request.clientAddress),
  }
}

const wantsJson = (request: FastifyRequest): boolean => {
  const accept = request.headers.accept ?? ''
  return accept.includes('application/json') && !accept.includes('text/html')
}

const page = (reply: FastifyReply, status: 200 | 400 | 409, html: string) =>
  reply.code(status).headers(pages.landingHeaders).type('text/html; charset=utf-8').send(html)

const htmlOr = <S extends Parameters<typeof Type.Union>[0][number]>(schema: S) => ({
  description: 'A page, or JSON for clients that accept only that',
  content: { 'application/json': { schema }, 'text/html': { schema: Type.String() } },
})

/** POST register, login, refresh; GET me; the confirmation link (10 §8). */
export const authRoutes =
  (deps: { auth: Auth }): FastifyPluginCallbackTypebox =>
  (server, _options, done) => {
    const { auth } = deps
    server.addHook('onSend', (_request, reply, payload, next) => {
      reply.header('cache-control', 'no-store')
      next(null, payload)
    })

    server.post(
      '/auth/register',
      {
        config: isPublic,
        schema: {
          summary: 'Create an account; a confirmation mail follows',
          body: Type.Object({
            email: text('At most 254 characters'),
            password: text('8 to 128 characters'),
            password_confirm: text('The same again'),
          }),
          response: { 201: message, ...errorResponses },
        },
      },
      async (request, reply) => {
        const { email, password, password_confirm: passwordConfirm } = request.body
        const fields = {
          ...(email === undefined ? {} : { email }),
          ...(password === undefined ? {} : { password }),
          ...(passwordConfirm === undefined ? {} : { passwordConfirm }),
        }
        const { needsApproval } = await auth.register(fields)
        const next = needsApproval
          ? 'You can log in once your account is approved.'
          : 'You can log in immediately after confirmation.'
        return reply.code(201).send({
          message: `Registration successful! Please check your email to confirm your account. ${next}`,
        })
      },
    )

    server.post(
      '/auth/login',
      {
        config: isPublic,
        schema: {
          summary: 'Sign in',
          body: Type.Object({
            email: text('Any spelling of the registered address'),
            password: text('The password'),
            client_name: Type.Optional(Type.String({ maxLength: 64 })),
          }),
          response: {
            200: Type.Object({
              access_token: Type.String(),
              refresh_token: Type.String(),
              expires_in: Type.Integer({ description: 'Seconds' }),
              user: userSchema,
            }),
            ...errorResponses,
          },
        },
      },
      async (request) => {
        const { email, password, client_name: clientName } = request.body
        const fields = {
          ...(email === undefined ? {} : { email }),
          ...(password === undefined ? {} : { password }),
        }
        const result = await auth.login(fields, deviceOf(request, clientName))
        return {
          access_token: result.accessToken,
          refresh_token: result.refreshToken,
          expires_in: result.expiresInSeconds,
          user: result.user,
        }
      },
    )

    server.post(
      '/auth/refresh',
      {
        config: isPublic,
        schema: {
          summary: 'New access token and successor refresh token',
          // Any type: a token that is not a string is an invalid token (401), not a malformed request.
          body: Type.Object({
            refresh_token: Type.Optional(Type.Unknown({ description: 'The refresh token (string)' })),
          }),
          response: {
            200: Type.Object({
              access_token: Type.String(),
              refresh_token: Type.String(),
              expires_in: Type.Integer({ description: 'Seconds' }),
            }),
            ...errorResponses,
          },
        },
      },
      async (request) => {
        const result = await auth.refresh(request.body.refresh_token, deviceOf(request))
        return {
          access_token: result.accessToken,
          refresh_token: result.refreshToken,
          expires_in: result.expiresInSeconds,
        }
      },
    )

    server.get(
      '/auth/me',
      { schema: { summary: 'The signed-in user', response: { 200: userSchema, ...errorResponses } } },
      (request) => auth.profile(callerOf(request).userId),
    )

    const confirm = async (token: string, request: FastifyRequest, reply: FastifyReply) => {
      const outcome = await auth.confirm(token)
      if (wantsJson(request)) {
        if (outcome === 'invalid') throw new AppError('confirm_link')
        if (outcome === 'taken') throw new AppError('confirm_taken')
        return reply.send({ message: 'Email confirmed successfully. You can now log in.' })
      }
      if (outcome === 'invalid')
        return page(reply, 400, pages.errorPage('Link jest nieprawidłowy lub wygasł.'))
      if (outcome === 'taken') return page(reply, 409, pages.errorPage('Ten adres jest już używany.'))
      return page(reply, 200, pages.confirmedPage())
    }
    const confirmSchema = {
      params: Type.Object({ token: Type.String() }),
      response: { 200: htmlOr(message), 400: htmlOr(errorBody), 409: htmlOr(errorBody), ...errorResponses },
    }
    server.get(
      '/auth/confirm-email/:token',
      { config: isPublic, schema: { summary: 'Page behind the confirmation link', ...confirmSchema } },
      async (request, reply) => {
        if (wantsJson(request) && request.method === 'GET')
          return confirm(request.params.token, request, reply)
        if (await auth.isLinkLive(request.params.token))
          return page(reply, 200, pages.confirmPage(request.url.split('?')[0] ?? ''))
        return page(reply, 400, pages.errorPage('Link jest nieprawidłowy lub wygasł.'))
      },
    )
    server.post(
      '/auth/confirm-email/:token',
      { config: isPublic, schema: { summary: 'Confirm an address', ...confirmSchema } },
      (request, reply) => confirm(request.params.token, request, reply),
    )
    done()
  }
