import type { FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { errorResponses } from '../../platform/http/errors.ts'
import { challengeLimit } from './limits.ts'
import { challengeSchema, proofPurposeSchema, type ProofOfWork } from './proof-of-work.ts'

/** GET /auth/challenge (10 §7). */
export const challengeRoutes =
  (deps: { proofOfWork: ProofOfWork }): FastifyPluginCallbackTypebox =>
  (server, _options, done) => {
    server.addHook('onSend', (_request, reply, payload, next) => {
      reply.header('cache-control', 'no-store')
      next(null, payload)
    })

    server.get(
      '/auth/challenge',
      {
        config: { access: 'public', limit: challengeLimit },
        schema: {
          summary: 'A proof-of-work challenge (ALTCHA v2); lives 10 minutes',
          querystring: Type.Object({ purpose: proofPurposeSchema }),
          response: { 200: challengeSchema, ...errorResponses },
        },
      },
      (request) => deps.proofOfWork.challenge(request.query.purpose),
    )
    done()
  }
