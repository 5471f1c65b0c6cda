import { Type } from 'typebox'
import type { Db } from './platform/db/database.ts'
import type { MovableClock } from './platform/db/shared-clock.ts'
import { AppError } from './platform/errors.ts'
import { isoTime, queryValue } from './platform/http/request-values.ts'
import { registerPublicly } from './platform/http/reference.ts'
import type { HttpServer } from './platform/http/server.ts'
import { outboxHeaders, outboxJson, outboxPage } from './providers/email/outbox/outbox.ts'
import { listOutbox } from './features/mail/mail.ts'

/** What exists in development and test only (decisions 42 and 43): the outbox, and with a movable clock its handle. */
export const registerDevRoutes = (
  server: HttpServer,
  deps: { db: Db; clock: MovableClock | null },
): Promise<void> =>
  registerPublicly(server, (scope) => {
    const messages = (to: string | undefined, kind: string | undefined) =>
      listOutbox(deps.db, { ...(to === undefined ? {} : { to }), ...(kind === undefined ? {} : { kind }) })

    scope.get('/dev/outbox.json', async (request) => {
      const found = await messages(queryValue(request, 'to'), queryValue(request, 'kind'))
      return found.map(outboxJson)
    })
    scope.get('/dev/outbox', async (request, reply) => {
      const found = await messages(queryValue(request, 'to'), queryValue(request, 'kind'))
      return reply.headers(outboxHeaders).type('text/html; charset=utf-8').send(outboxPage(found))
    })

    const { clock } = deps
    if (clock)
      scope.post<{ Body: { advance_seconds: number } }>(
        '/dev/clock',
        { schema: { body: Type.Object({ advance_seconds: Type.Number({ minimum: -1e9, maximum: 1e9 }) }) } },
        async (request) => {
          const now = await clock.advance(request.body.advance_seconds)
          if (Number.isNaN(now.getTime())) throw new AppError('invalid_body')
          return { now: isoTime(now) }
        },
      )
  })
