import type { FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { AppError } from '../../platform/errors.ts'
import { errorResponses } from '../../platform/http/errors.ts'
import type { LimitPolicy } from '../../platform/http/limits.ts'
import { callerOf } from '../../platform/http/request-values.ts'
import { keepSentBody, sentFields } from '../../platform/http/sent-body.ts'
import type { Packs, Receipt } from './packs.ts'
import { baseProductId, packPoints } from './products.ts'

const grantAddonLimit: LimitPolicy = {
  name: 'grant-addon',
  by: 'user',
  windows: [{ quota: 10, seconds: 60 }],
}
const tokenLimit = 512
const shownCharacters = 100

const textOf = (value: unknown): string => (typeof value === 'string' ? value.trim() : '')

const shown = (text: string): string => [...text].slice(0, shownCharacters).join('')

/** Rows 1 to 5, in their order. */
const readReceipt = (fields: Record<string, unknown>): Receipt => {
  if (Object.keys(fields).length === 0) throw new AppError('invalid_body')
  const [token, productId, platform] = [
    textOf(fields['receipt_token']),
    textOf(fields['product_id']),
    textOf(fields['platform']),
  ]
  if (token === '' || productId === '' || platform === '') throw new AppError('receipt_fields')
  for (const [name, value] of Object.entries({ receipt_token: token, product_id: productId, platform }))
    if (value.includes('\0') || !value.isWellFormed())
      throw new AppError('invalid_value', { text: `Invalid value for ${name}.` })
  if (token.length > tokenLimit && [...token].length > tokenLimit) throw new AppError('receipt_token')
  const baseId = baseProductId(productId)
  if (baseId === null || packPoints(baseId) === null)
    throw new AppError('receipt_product', { text: `Unknown product: ${shown(productId)}` })
  if (platform !== 'ios' && platform !== 'android')
    throw new AppError('receipt_platform', { text: `Invalid platform: ${shown(platform)}` })
  return { token, productId: baseId, platform }
}

/** POST /api/credits/grant-addon (30 E4): points for a pack that was bought in a store. */
export const packsRoutes =
  (deps: { packs: Pick<Packs, 'redeem'> }): FastifyPluginCallbackTypebox =>
  (server, _options, done) => {
    keepSentBody(server, {
      otherType: new AppError('invalid_body'),
      malformed: 'invalid_body',
      notAnObject: 'invalid_body',
    })
    server.post(
      '/api/credits/grant-addon',
      {
        config: { limit: grantAddonLimit },
        // The route's own rows say what a body must be.
        validatorCompiler: () => () => true,
        schema: {
          summary: 'Redeem a pack of points bought in a store; repeating it changes nothing',
          body: Type.Object({
            receipt_token: Type.String({ description: "The purchase's identifier, of the SDK or the store" }),
            product_id: Type.String(),
            platform: Type.String({ description: 'ios or android' }),
          }),
          response: {
            200: Type.Object({ credits_granted: Type.Integer(), new_balance: Type.Integer() }),
            ...errorResponses,
          },
        },
      },
      async (request) => {
        const { userId } = callerOf(request)
        const { points, balance } = await deps.packs.redeem(userId, readReceipt(sentFields(request)))
        return { credits_granted: points, new_balance: balance }
      },
    )
    done()
  }
