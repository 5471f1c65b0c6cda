import type { FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { errorResponses } from '../../platform/http/errors.ts'
import { callerOf } from '../../platform/http/request-values.ts'
import { userSchema } from '../users/users.ts'
import type { Auth } from './auth.ts'
import { tokenBody } from './cookie.ts'
import { profileLimit, resendLimit, resetRequestLimit } from './limits.ts'
import { deviceOf } from './request-device.ts'

const text = (description: string) => Type.Optional(Type.String({ description }))
const message = Type.Object({ message: Type.String() })
const linkRequest = Type.Object({
  email: text('Any spelling of the address'),
  proof: Type.Optional(Type.Unknown({ description: 'Solved challenge of GET /auth/challenge, base64' })),
})

/** PATCH me, and asking for a mail with a link (10 §8.5, §8.8, §8.9). */
export const profileRoutes =
  (deps: { auth: Auth }): FastifyPluginCallbackTypebox =>
  (server, _options, done) => {
    const { auth } = deps
    server.addHook('onSend', (_request, reply, payload, next) => {
      reply.header('cache-control', 'no-store')
      next(null, payload)
    })

    server.patch(
      '/auth/me',
      {
        config: { limit: profileLimit },
        schema: {
          summary: 'Change address, password or both',
          description:
            'A new address waits until a link mailed to it is confirmed; sending the present one cancels that. ' +
            'Other devices are signed out; the tokens of the answer belong to this session.',
          body: Type.Object({
            email: text('At most 254 characters'),
            current_password: text('Always needed'),
            new_password: text('8 to 128 characters'),
            new_password_confirm: text('The same again'),
          }),
          response: {
            200: Type.Object({
              user: userSchema,
              message: Type.String(),
              email_confirmation_required: Type.Boolean(),
              password_updated: Type.Boolean(),
              access_token: Type.String(),
              refresh_token: Type.Optional(Type.String({ description: 'Absent in cookie mode' })),
              expires_in: Type.Integer({ description: 'Seconds' }),
            }),
            ...errorResponses,
          },
        },
      },
      async (request, reply) => {
        const { body } = request
        const change = {
          email: body.email,
          currentPassword: body.current_password,
          newPassword: body.new_password,
          newPasswordConfirm: body.new_password_confirm,
        }
        const update = await auth.updateProfile(callerOf(request), change, deviceOf(request))
        return {
          user: update.user,
          message: 'Profile updated successfully.',
          email_confirmation_required: update.isConfirmationRequired,
          password_updated: update.isPasswordUpdated,
          ...tokenBody(reply, update.tokens),
        }
      },
    )

    server.post(
      '/auth/resend-confirmation',
      {
        config: { access: 'public', limit: resendLimit },
        schema: {
          summary: 'Ask for a new confirmation link',
          description: 'The answer is the same whether or not there is such an account.',
          body: linkRequest,
          response: { 200: message, ...errorResponses },
        },
      },
      async (request) => {
        const { email, proof } = request.body
        await auth.requestConfirmation(email, () => auth.guard(request, 'resend', proof))
        return { message: 'If an account with that email exists, a confirmation link has been sent.' }
      },
    )

    server.post(
      '/auth/reset-password-request',
      {
        config: { access: 'public', limit: resetRequestLimit },
        schema: {
          summary: 'Ask for a link that sets a new password',
          description: 'The answer is the same whether or not there is such an account.',
          body: linkRequest,
          response: { 200: message, ...errorResponses },
        },
      },
      async (request) => {
        const { email, proof } = request.body
        await auth.requestReset(email, () => auth.guard(request, 'reset-request', proof))
        return { message: 'If an account with that email exists, a password reset link has been sent.' }
      },
    )
    done()
  }
