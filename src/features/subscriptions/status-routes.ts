import type { FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import type { Clock } from '../../platform/clock.ts'
import type { Db } from '../../platform/db/database.ts'
import { AppError } from '../../platform/errors.ts'
import { errorResponses } from '../../platform/http/errors.ts'
import type { LimitPolicy } from '../../platform/http/limits.ts'
import { callerOf, isoTimeOrNull } from '../../platform/http/request-values.ts'
import { accessOf, findUser } from '../users/users.ts'
import { findStoreLink } from './link-queries.ts'

const statusLimit: LimitPolicy = {
  name: 'subscription-status',
  by: 'user',
  windows: [{ quota: 30, seconds: 60 }],
}
const dayMs = 86_400_000

const textOrNull = Type.Union([Type.String(), Type.Null()])

const statusSchema = Type.Object({
  trial: Type.Object({
    active: Type.Boolean(),
    expires_at: textOrNull,
    days_remaining: Type.Integer({ description: 'Whole days, rounded down; 0 on the last day' }),
  }),
  subscription: Type.Object({
    active: Type.Boolean({ description: 'At this moment; plan and date outlive the end' }),
    plan: textOrNull,
    expires_at: textOrNull,
    will_renew: Type.Boolean(),
    pending_plan: textOrNull,
    billing_issue: Type.Boolean(),
  }),
  can_generate: Type.Boolean(),
  initial_credits: Type.Integer({ description: 'Points of the welcome' }),
})

/** GET /api/user/subscription-status (30 E5). */
export const statusRoutes =
  (deps: { db: Db; clock: Clock; initialCredits: number }): FastifyPluginCallbackTypebox =>
  (server, _options, done) => {
    server.get(
      '/api/user/subscription-status',
      {
        config: { limit: statusLimit },
        schema: {
          summary: 'Trial, subscription and the right to generate',
          response: { 200: statusSchema, ...errorResponses },
        },
      },
      async (request) => {
        const { userId } = callerOf(request)
        const [user, link] = await Promise.all([findUser(deps.db, userId), findStoreLink(deps.db, userId)])
        if (!user || !link) throw new AppError('user_not_found')
        const now = deps.clock.now()
        const access = accessOf(user, now)
        const { trialExpiresAt } = user
        const leftMs = access.trial && trialExpiresAt ? trialExpiresAt.getTime() - now.getTime() : 0
        return {
          trial: {
            active: access.trial,
            expires_at: isoTimeOrNull(trialExpiresAt),
            days_remaining: Math.floor(leftMs / dayMs),
          },
          subscription: {
            active: access.subscription,
            plan: user.subscriptionPlan,
            expires_at: isoTimeOrNull(user.subscriptionExpiresAt),
            will_renew: user.subscriptionWillRenew,
            pending_plan: link.pendingPlan,
            billing_issue: link.billingIssueAt !== null,
          },
          can_generate: access.canGenerate,
          initial_credits: deps.initialCredits,
        }
      },
    )
    done()
  }
