import type { FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { errorResponses } from '../../platform/http/errors.ts'
import { callerOf } from '../../platform/http/request-values.ts'
import type { Tasks } from './tasks.ts'

const failedText = 'The task failed. Please try again later.'

/** GET /tasks/{task_id} (10 §12). */
export const taskRoutes =
  (deps: { tasks: Tasks }): FastifyPluginCallbackTypebox =>
  (server, _options, done) => {
    server.addHook('onSend', (_request, reply, payload, next) => {
      reply.header('cache-control', 'no-store')
      next(null, payload)
    })

    server.get(
      '/tasks/:task_id',
      {
        schema: {
          summary: 'State of work that was started for the signed-in user',
          params: Type.Object({ task_id: Type.String() }),
          response: {
            200: Type.Object({
              id: Type.String(),
              state: Type.String({ description: 'PENDING, STARTED, RETRY, SUCCESS or FAILURE' }),
              ready: Type.Boolean(),
              successful: Type.Union([Type.Boolean(), Type.Null()], { description: 'Null until ready' }),
              error: Type.Optional(Type.String({ description: 'With FAILURE only' })),
            }),
            ...errorResponses,
          },
        },
      },
      async (request) => {
        const id = request.params.task_id
        const task = await deps.tasks.read(callerOf(request).userId, id)
        return { id, ...task, ...(task.successful === false ? { error: failedText } : {}) }
      },
    )
    done()
  }
