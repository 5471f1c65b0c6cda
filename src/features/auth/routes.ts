import type { FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import { AppError, type RefusalCode } from '../../platform/errors.ts'
import { errorResponses } from '../../platform/http/errors.ts'
import { addressKey, type Limits } from '../../platform/http/limits.ts'
import { callerOf } from '../../platform/http/request-values.ts'
import { userSchema } from '../users/users.ts'
import type { Auth } from './auth.ts'
import { clearedRefreshCookie, readRefreshCookie, tokenBody } from './cookie.ts'
import { loginLimit, refreshLimit, registerLimit } from './limits.ts'
import type { ProofOfWork } from './proof-of-work.ts'
import { deviceOf } from './request-device.ts'
import { canSolve } from './request-guard.ts'

const text = (description: string) => Type.Optional(Type.String({ description }))
const proofField = Type.Optional(
  Type.Unknown({ description: 'Solved challenge of GET /auth/challenge, base64' }),
)
const message = Type.Object({ message: Type.String() })
const isPublic = { access: 'public' } as const

const tokenFields = {
  access_token: Type.String(),
  refresh_token: Type.Optional(Type.String({ description: 'Absent in cookie mode' })),
  expires_in: Type.Integer({ description: 'Seconds' }),
}

/** Refusals of a refresh that spend the address's failure budget. */
const refreshFailures: ReadonlySet<RefusalCode> = new Set([
  'cross_site',
  'refresh_invalid',
  'refresh_user',
  'refresh_expired',
  'refresh_session',
])

/** POST register, login, refresh; GET me (10 §8.1 to 8.4). */
export const authRoutes =
  (deps: {
    auth: Auth
    proofs: ProofOfWork
    limits: Limits
    assertSameSite: (request: FastifyRequest) => void
  }): FastifyPluginCallbackTypebox =>
  (server, _options, done) => {
    const { auth, proofs, limits, assertSameSite } = deps
    server.addHook('onSend', (_request, reply, payload, next) => {
      reply.header('cache-control', 'no-store')
      next(null, payload)
    })

    server.post(
      '/auth/register',
      {
        config: { ...isPublic, limit: registerLimit },
        schema: {
          summary: 'Create an account; a confirmation mail follows',
          body: Type.Object({
            email: text('At most 254 characters'),
            password: text('8 to 128 characters'),
            password_confirm: text('The same again'),
            terms_version: text('Version of the terms that the person saw'),
            proof: proofField,
          }),
          response: { 201: message, ...errorResponses },
        },
      },
      async (request, reply) => {
        const { email, password, password_confirm: passwordConfirm, proof } = request.body
        const fields = {
          ...(email === undefined ? {} : { email }),
          ...(password === undefined ? {} : { password }),
          ...(passwordConfirm === undefined ? {} : { passwordConfirm }),
        }
        const { needsApproval } = await auth.register(fields, () => auth.guard(request, 'register', proof))
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
        config: { ...isPublic, limit: loginLimit },
        schema: {
          summary: 'Sign in',
          description: 'With `session: "cookie"` the refresh token is set as a cookie and is in no body.',
          body: Type.Object({
            email: text('Any spelling of the registered address'),
            password: text('The password'),
            session: text('`body` (default) or `cookie`'),
            client_name: Type.Optional(Type.String({ maxLength: 64 })),
            proof: proofField,
          }),
          response: { 200: Type.Object({ ...tokenFields, user: userSchema }), ...errorResponses },
        },
      },
      async (request, reply) => {
        const { email, password, session, client_name: clientName, proof } = request.body
        const result = await auth.login({
          email,
          password,
          session,
          device: deviceOf(request, clientName),
          address: addressKey(request.clientAddress),
          canSolve: canSolve(request, proof),
          checkProof: () => proofs.verify(proof, 'login'),
          assertSameSite: () => assertSameSite(request),
        })
        return { ...tokenBody(reply, result), user: result.user }
      },
    )

    /** A failure costs its address; once the budget is spent the answer is 429. A live token never comes here. */
    const refuseRefresh = async (
      error: unknown,
      request: FastifyRequest,
      reply: FastifyReply,
      usesCookie: boolean,
    ): Promise<never> => {
      if (!(error instanceof AppError) || !refreshFailures.has(error.code)) throw error
      const budget = await limits.hit(refreshLimit, addressKey(request.clientAddress))
      reply.headers(budget.headers)
      if (budget.isOver)
        throw new AppError('rate_limited', { retryAfterSeconds: budget.retryAfterSeconds, cause: error })
      if (usesCookie && error.status === 401) reply.header('set-cookie', clearedRefreshCookie)
      throw error
    }

    server.post(
      '/auth/refresh',
      {
        config: isPublic,
        schema: {
          summary: 'New access token and successor refresh token',
          description: 'Without `refresh_token` in the body the cookie of the browser app is read.',
          // Any type: a token that is not a string is an invalid token (401), not a malformed request.
          body: Type.Object({
            refresh_token: Type.Optional(Type.Unknown({ description: 'The refresh token (string)' })),
          }),
          response: { 200: Type.Object(tokenFields), ...errorResponses },
        },
      },
      async (request, reply) => {
        const inBody = request.body.refresh_token
        const cookie = inBody === undefined ? readRefreshCookie(request) : undefined
        try {
          if (cookie !== undefined) assertSameSite(request)
          const pair = await auth.refresh(inBody ?? cookie, deviceOf(request))
          return tokenBody(reply, pair, cookie !== undefined)
        } catch (error) {
          return await refuseRefresh(error, request, reply, cookie !== undefined)
        }
      },
    )

    server.get(
      '/auth/me',
      { schema: { summary: 'The signed-in user', response: { 200: userSchema, ...errorResponses } } },
      (request) => auth.profile(callerOf(request).userId),
    )
    done()
  }
