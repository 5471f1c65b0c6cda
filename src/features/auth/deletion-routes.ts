import type { FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { errorResponses } from '../../platform/http/errors.ts'
import { callerOf } from '../../platform/http/request-values.ts'
import type { Deletions } from './deletion.ts'
import { deleteLimit } from './limits.ts'
import { deviceOf } from './request-device.ts'

/** DELETE me (10 §8.6). */
export const deletionRoutes =
  (deps: { deletions: Pick<Deletions, 'deleteOwnAccount'> }): FastifyPluginCallbackTypebox =>
  (server, _options, done) => {
    server.addHook('onSend', (_request, reply, payload, next) => {
      reply.header('cache-control', 'no-store')
      next(null, payload)
    })
    server.delete(
      '/auth/me',
      {
        config: { limit: deleteLimit },
        schema: {
          summary: 'Delete the account and everything in it',
          description:
            'Signs out everywhere at once; voices, narrations, remote voices and personal data are removed by a ' +
            'task that goes on until all of it is gone. A store subscription is ended in the store.',
          body: Type.Object({
            current_password: Type.Optional(Type.String({ description: 'Always needed' })),
            reason: Type.Optional(Type.String({ maxLength: 500, description: 'Kept without the account' })),
          }),
          response: {
            202: Type.Object({ message: Type.String(), task_id: Type.String() }),
            ...errorResponses,
          },
        },
      },
      async (request, reply) => {
        const { current_password: currentPassword, reason } = request.body
        const fields = { currentPassword, reason }
        const taskId = await deps.deletions.deleteOwnAccount(callerOf(request), fields, deviceOf(request))
        return reply.code(202).send({ message: 'Your account is being deleted.', task_id: taskId })
      },
    )
    done()
  }
