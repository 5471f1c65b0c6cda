import type { FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import { AppError, type RefusalCode } from '../../platform/errors.ts'
import { errorBody } from '../../platform/http/errors.ts'
import { installFormParser, isForm } from '../../platform/http/form-body.ts'
import type { Auth } from './auth.ts'
import * as pages from './landing-pages.ts'
import { linkLimit, resetLimit } from './limits.ts'
import { deviceOf } from './request-device.ts'

const message = Type.Object({ message: Type.String() })
const opens = { access: 'public', limit: linkLimit } as const

const accepts = (request: FastifyRequest, type: string): boolean =>
  request.headers.accept?.toLowerCase().includes(type) ?? false

/** A mail scanner and a person both want the page; only a client of ours says this. */
const wantsJson = (request: FastifyRequest): boolean =>
  accepts(request, 'application/json') && !accepts(request, 'text/html')

const wantsPage = (request: FastifyRequest): boolean =>
  accepts(request, 'text/html') || isForm(request.headers['content-type'])

const pageType = 'text/html; charset=utf-8'
const page = (reply: FastifyReply, status: 200 | 400 | 409, html: string) =>
  reply.code(status).type(pageType).send(html)

const htmlOr = <S extends Parameters<typeof Type.Union>[0][number]>(schema: S) => ({
  description: 'A page, or JSON for clients that accept only that',
  content: { 'application/json': { schema }, 'text/html': { schema: Type.String() } },
})
const justPage = { description: 'A page', content: { 'text/html': { schema: Type.String() } } }
const refusals = { '4xx': htmlOr(errorBody), '5xx': htmlOr(errorBody) }
const linkParams = Type.Object({ token: Type.String({ description: 'From the mail' }) })

/** This very page's path; a query that somebody appended is not repeated. */
const ownPath = (request: FastifyRequest): string => request.url.split('?')[0] ?? ''

const reasonOf = (status: number): string => {
  if (status === 429) return pages.landingErrors.tooMany
  if (status >= 500) return pages.landingErrors.fault
  return status === 404 ? pages.landingErrors.link : pages.landingErrors.request
}

/** What the form page says of a refused password; every other refusal has a page of its own. */
const formErrors: Partial<Record<RefusalCode, string>> = {
  reset_fields: pages.resetErrors.missing,
  password_short: pages.resetErrors.short,
  password_long: pages.resetErrors.long,
  passwords_differ: pages.resetErrors.differ,
  password_weak: pages.resetErrors.weak,
}

/** What a mailed link opens: the pages and actions of confirmation and password reset (10 §8.7, §8.10, §9). */
export const linkRoutes =
  (deps: { auth: Auth }): FastifyPluginCallbackTypebox =>
  (server, _options, done) => {
    const { auth } = deps
    installFormParser(server)

    // Refusals and faults come from the server's own handler as JSON; a browser is shown them as a page instead.
    server.addHook('onSend', (request, reply, payload, next) => {
      reply.header('cache-control', 'no-store')
      const isJson = String(reply.getHeader('content-type') ?? '').startsWith('application/json')
      const isShown = isJson && reply.statusCode >= 400 && wantsPage(request)
      if (isShown) reply.type(pageType)
      if (reply.getHeader('content-type') === pageType) reply.headers(pages.landingHeaders)
      next(null, isShown ? pages.errorPage(reasonOf(reply.statusCode)) : payload)
    })

    const confirm = async (token: string, request: FastifyRequest, reply: FastifyReply) => {
      const outcome = await auth.confirm(token)
      if (wantsJson(request)) {
        if (outcome === 'invalid') throw new AppError('confirm_link')
        if (outcome === 'taken') throw new AppError('confirm_taken')
        return reply.send({ message: 'Email confirmed successfully. You can now log in.' })
      }
      if (outcome === 'invalid') return page(reply, 400, pages.errorPage(pages.landingErrors.link))
      if (outcome === 'taken') return page(reply, 409, pages.errorPage(pages.landingErrors.taken))
      return page(reply, 200, pages.confirmedPage())
    }
    const confirmSchema = { params: linkParams, response: { 200: htmlOr(message), ...refusals } }

    server.get(
      '/auth/confirm-email/:token',
      {
        config: opens,
        schema: {
          summary: 'Page behind the confirmation link',
          description:
            'Changes nothing, unless the client accepts JSON and no HTML: then it confirms at once.',
          ...confirmSchema,
        },
      },
      async (request, reply) => {
        const { token } = request.params
        if (wantsJson(request) && request.method === 'GET') return confirm(token, request, reply)
        if (await auth.isLinkLive(token)) return page(reply, 200, pages.confirmPage(ownPath(request)))
        return page(reply, 400, pages.errorPage(pages.landingErrors.link))
      },
    )
    server.post(
      '/auth/confirm-email/:token',
      { config: opens, schema: { summary: 'Confirm an address', ...confirmSchema } },
      (request, reply) => confirm(request.params.token, request, reply),
    )

    server.get(
      '/auth/reset-password/:token',
      {
        config: opens,
        schema: {
          summary: 'Page behind the reset link',
          params: linkParams,
          response: { 200: justPage, ...refusals },
        },
      },
      async (request, reply) =>
        (await auth.isResetLinkLive(request.params.token))
          ? page(reply, 200, pages.resetFormPage({ action: ownPath(request) }))
          : page(reply, 400, pages.errorPage(pages.landingErrors.resetLink)),
    )

    /** Refusals of the reset as the page shows them; the form stays where another try makes sense. */
    const showRefusal = (error: unknown, request: FastifyRequest, reply: FastifyReply) => {
      if (!(error instanceof AppError) || !wantsPage(request)) throw error
      const reason = formErrors[error.code]
      if (reason !== undefined)
        return page(reply, 400, pages.resetFormPage({ action: ownPath(request), error: reason }))
      if (error.code === 'reset_link') return page(reply, 400, pages.errorPage(pages.landingErrors.resetLink))
      throw error
    }

    server.post(
      '/auth/reset-password/:token',
      {
        config: { access: 'public', limit: resetLimit },
        schema: {
          summary: 'Set a new password',
          consumes: ['application/json', 'application/x-www-form-urlencoded'],
          params: linkParams,
          body: Type.Object({
            new_password: Type.Optional(Type.String({ description: '8 to 128 characters' })),
            new_password_confirm: Type.Optional(Type.String({ description: 'The same again' })),
          }),
          response: { 200: htmlOr(message), ...refusals },
        },
      },
      async (request, reply) => {
        const { new_password: newPassword, new_password_confirm: newPasswordConfirm } = request.body
        try {
          const fields = { newPassword, newPasswordConfirm }
          await auth.resetPassword(request.params.token, fields, deviceOf(request))
        } catch (error) {
          return showRefusal(error, request, reply)
        }
        if (wantsPage(request)) return page(reply, 200, pages.resetDonePage())
        return reply.send({
          message: 'Password has been reset successfully. You can now log in with your new password.',
        })
      },
    )
    done()
  }
