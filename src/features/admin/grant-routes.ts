import type { FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox'
import { Type, type Static } from 'typebox'
import type { Clock } from '../../platform/clock.ts'
import { AppError } from '../../platform/errors.ts'
import { errorResponses } from '../../platform/http/errors.ts'
import type { LimitPolicy } from '../../platform/http/limits.ts'
import { adminOf, isoTime, isoTimeOrNull, parseId } from '../../platform/http/request-values.ts'
import { keepSentBody, sentFields } from '../../platform/http/sent-body.ts'
import { readGrantRequest, readIdempotencyKey } from './grant-request.ts'
import type { AdminGrants } from './grants.ts'
import type { WaitingGrant } from './waiting-grant-queries.ts'

const grantLimit: LimitPolicy = { name: 'admin-grant', by: 'user', windows: [{ quota: 30, seconds: 60 }] }
const mayWrite = { access: 'admin', permission: 'credits.write', stepUp: true } as const

const nullable = <T extends Parameters<typeof Type.Union>[0][number]>(schema: T) =>
  Type.Union([schema, Type.Null()])

const waitingSchema = Type.Object(
  {
    id: Type.Integer(),
    user_id: Type.Integer(),
    amount: Type.Integer(),
    source: Type.String(),
    reason: Type.String(),
    expires_at: nullable(Type.String({ description: 'When the points will expire' })),
    status: Type.String({ description: 'waiting, approved or rejected' }),
    requested_by: Type.Integer(),
    requested_at: Type.String(),
    approvable_until: Type.String(),
    decided_by: nullable(Type.Integer()),
    decided_at: nullable(Type.String()),
    transaction_id: nullable(Type.Integer()),
  },
  { title: 'WaitingGrant' },
)

const grantedSchema = Type.Object({
  message: Type.String(),
  user_id: Type.Integer(),
  new_balance: Type.Integer(),
  transaction: Type.Object({
    id: Type.Integer(),
    amount: Type.Integer(),
    type: Type.String(),
    reason: Type.String(),
    created_at: Type.String(),
  }),
})

const acceptedSchema = Type.Object({ message: Type.String(), waiting_grant: waitingSchema })

const toJson = (grant: WaitingGrant): Static<typeof waitingSchema> => ({
  id: grant.id,
  user_id: grant.userId,
  amount: grant.amount,
  source: grant.source,
  reason: grant.reason,
  expires_at: isoTimeOrNull(grant.expiresAt),
  status: grant.status,
  requested_by: grant.requestedBy,
  requested_at: isoTime(grant.requestedAt),
  approvable_until: isoTime(grant.approvableUntil),
  decided_by: grant.decidedBy,
  decided_at: isoTimeOrNull(grant.decidedAt),
  transaction_id: grant.transactionId,
})

const params = Type.Object({ id: Type.String() })

/** Giving points by hand (30 E8), and the second administrator's say about large grants. */
export const grantRoutes =
  (deps: { grants: AdminGrants; clock: Clock; grantMax: number }): FastifyPluginCallbackTypebox =>
  (server, _options, done) => {
    const { grants } = deps
    keepSentBody(server, {
      otherType: new AppError('admin_content_type'),
      malformed: 'invalid_json',
      notAnObject: 'invalid_body',
    })

    server.post(
      '/admin/users/:id/credits/grant',
      {
        config: { ...mayWrite, limit: grantLimit },
        // The route's own rows say what a body must be.
        validatorCompiler: () => () => true,
        schema: {
          summary: 'Give points to a user; above the threshold a second administrator must approve',
          params,
          body: Type.Object({
            amount: Type.Integer({ minimum: 1 }),
            reason: Type.Optional(Type.String()),
            source: Type.Optional(Type.String()),
            expires_at: Type.Optional(Type.String({ description: 'ISO 8601 with a zone' })),
          }),
          headers: Type.Object({ 'idempotency-key': Type.Optional(Type.String()) }),
          response: { 200: grantedSchema, 202: acceptedSchema, ...errorResponses },
        },
      },
      async (request, reply) => {
        const { adminId } = adminOf(request)
        const limits = { now: deps.clock.now(), maximum: deps.grantMax }
        const wanted = readGrantRequest(sentFields(request), limits)
        const key = readIdempotencyKey(request.raw.headers['idempotency-key'])
        const target = { userId: parseId(request.params.id), request: wanted, key }
        const answer = await grants.request(adminId, target).catch((cause: unknown) => {
          throw cause instanceof AppError ? cause : new AppError('grant_failed', { cause })
        })
        if (answer.isReplay) reply.header('idempotent-replay', 'true')
        if (answer.kind === 'waiting')
          return reply
            .code(202)
            .send({ message: 'Grant waits for a second administrator', waiting_grant: toJson(answer.grant) })
        const { id, userId, amount, reason, createdAt } = answer.credit
        return {
          message: 'Credits granted',
          user_id: userId,
          new_balance: answer.balance,
          transaction: { id, amount, type: 'credit', reason, created_at: isoTime(createdAt) },
        }
      },
    )

    server.get(
      '/admin/waiting-grants',
      {
        config: mayWrite,
        schema: {
          summary: 'Grants that wait for a second administrator, oldest first',
          response: { 200: Type.Object({ items: Type.Array(waitingSchema) }), ...errorResponses },
        },
      },
      async () => ({ items: (await grants.list()).map(toJson) }),
    )

    for (const action of ['approve', 'reject'] as const)
      server.post(
        `/admin/waiting-grants/:id/${action}`,
        {
          config: mayWrite,
          schema: {
            summary: action === 'approve' ? 'Give what waits' : 'Refuse what waits',
            params,
            response: { 200: Type.Object({ waiting_grant: waitingSchema }), ...errorResponses },
          },
        },
        async (request) => ({
          waiting_grant: toJson(await grants[action](adminOf(request).adminId, parseId(request.params.id))),
        }),
      )
    done()
  }
