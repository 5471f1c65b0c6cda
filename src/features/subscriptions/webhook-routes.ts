import type { FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import type { Clock } from '../../platform/clock.ts'
import { AppError } from '../../platform/errors.ts'
import { errorResponses } from '../../platform/http/errors.ts'
import { addressKey, applyLimit, type LimitPolicy, type Limits } from '../../platform/http/limits.ts'
import type { EventResult } from './process-event.ts'
import { readWebhookBody } from './read-event.ts'
import type { StoreEvent } from './store-event.ts'
import { hasSecret, hasSignature } from './webhook.ts'

const bodyLimitBytes = 256 * 1024

/** Counts deliveries that are not the store's, or not readable; the route applies it itself. */
const failureLimit: LimitPolicy = {
  name: 'webhook',
  by: 'address',
  windows: [{ quota: 30, seconds: 60 }],
}

declare module 'fastify' {
  interface FastifyRequest {
    /** The bytes that were signed; only on the webhook. */
    rawBody: Buffer | null
  }
}

/** POST /api/webhooks/revenuecat (30 E7): what happened in the app stores. */
export const webhookRoutes =
  (deps: {
    receive: (event: StoreEvent, customerIds: readonly string[]) => Promise<EventResult>
    clock: Clock
    limits: Limits
    config: { webhookSecret: string | null; webhookSigningSecret: string | null }
  }): FastifyPluginCallbackTypebox =>
  (server, _options, done) => {
    const { clock, limits, config } = deps

    server.decorateRequest('rawBody', null)
    server.removeAllContentTypeParsers()
    server.addContentTypeParser('*', { parseAs: 'buffer' }, (request, body, parsed) => {
      request.rawBody = Buffer.isBuffer(body) ? body : Buffer.from(body)
      parsed(null, {})
    })

    /** A flood of failures is told to wait; a valid delivery never is. */
    const fail = async (request: FastifyRequest, reply: FastifyReply, refusal: AppError): Promise<never> => {
      await applyLimit(limits, failureLimit, addressKey(request.clientAddress), reply)
      throw refusal
    }

    const isSigned = (request: FastifyRequest): boolean => {
      const { webhookSigningSecret: secret } = config
      if (!secret) return true
      const header = request.headers['x-revenuecat-webhook-signature']
      const raw = request.rawBody ?? Buffer.alloc(0)
      return hasSignature([header].flat().join(','), { raw, secret, now: clock.now() })
    }

    server.post(
      '/api/webhooks/revenuecat',
      {
        bodyLimit: bodyLimitBytes,
        config: { access: 'public' },
        // Before the body is read: what a stranger sends is not worth a byte.
        onRequest: async (request, reply) => {
          if (!hasSecret(request.headers.authorization, config.webhookSecret))
            await fail(request, reply, new AppError('webhook_unauthorized'))
          // The framework refuses a type that it cannot read; here no type matters.
          request.raw.headers['content-type'] = 'application/json'
        },
        schema: {
          summary: "The stores' events; authenticated by a shared secret, repeating one changes nothing",
          description:
            '`Authorization` holds the secret. With a signing secret set, `X-RevenueCat-Webhook-Signature` is checked too.',
          response: {
            200: Type.Object({
              status: Type.Union([
                Type.Literal('ok'),
                Type.Literal('processed'),
                Type.Literal('already_processed'),
                Type.Literal('ignored'),
              ]),
            }),
            ...errorResponses,
          },
        },
      },
      async (request, reply) => {
        if (!isSigned(request)) return fail(request, reply, new AppError('webhook_unauthorized'))
        const reading = readWebhookBody(request.rawBody ?? '', clock.now())
        if (reading.kind === 'refused')
          return fail(request, reply, new AppError('webhook_payload', { text: reading.error }))
        if (reading.event.type === 'TEST') return { status: 'ok' as const }
        let status: EventResult
        try {
          status = await deps.receive(reading.event, reading.customerIds)
        } catch (cause) {
          throw new AppError('webhook_failed', { cause })
        }
        if (status === 'user_not_found') throw new AppError('webhook_user')
        return { status }
      },
    )
    done()
  }
