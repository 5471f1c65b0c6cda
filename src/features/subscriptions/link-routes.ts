import type { FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { AppError } from '../../platform/errors.ts'
import { errorResponses } from '../../platform/http/errors.ts'
import type { LimitPolicy } from '../../platform/http/limits.ts'
import { callerOf } from '../../platform/http/request-values.ts'
import { keepSentBody, sentFields } from '../../platform/http/sent-body.ts'
import type { StoreLinks } from './link.ts'

const linkLimit: LimitPolicy = {
  name: 'link-revenuecat',
  by: 'user',
  windows: [{ quota: 5, seconds: 60 }],
}

/** The input is only checked: it may name nobody, or the caller. */
const isOwnId = (value: unknown, userId: number): boolean => {
  if (value === undefined || value === null) return true
  if (typeof value === 'number') return value === userId
  return typeof value === 'string' && ['', String(userId)].includes(value.trim())
}

/** POST /api/user/link-revenuecat (30 E6): the app tells that it signed in to the store's service as this user. */
export const linkRoutes =
  (deps: { links: StoreLinks }): FastifyPluginCallbackTypebox =>
  (server, _options, done) => {
    keepSentBody(server, {
      otherType: new AppError('unsupported_content_type'),
      malformed: 'invalid_json',
      notAnObject: 'invalid_body',
    })
    server.post(
      '/api/user/link-revenuecat',
      {
        config: { limit: linkLimit },
        // Told by hand: 0, false and [] are values here, and not the caller's id.
        validatorCompiler: () => () => true,
        schema: {
          summary: "Link the account to the store's customer of the same id",
          body: Type.Object({ revenuecat_app_user_id: Type.Optional(Type.String()) }),
          response: {
            200: Type.Object({ status: Type.String(), revenuecat_app_user_id: Type.String() }),
            ...errorResponses,
          },
        },
      },
      async (request) => {
        const { userId } = callerOf(request)
        if (!isOwnId(sentFields(request)['revenuecat_app_user_id'], userId))
          throw new AppError('store_link_mismatch')
        const { customerId } = await deps.links.link(userId)
        return { status: 'linked', revenuecat_app_user_id: customerId }
      },
    )
    done()
  }
