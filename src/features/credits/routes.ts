import type { FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox'
import type { FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import type { Db } from '../../platform/db/database.ts'
import { errorResponses } from '../../platform/http/errors.ts'
import type { LimitPolicy } from '../../platform/http/limits.ts'
import { callerOf, isoTime, isoTimeOrNull, queryValue } from '../../platform/http/request-values.ts'
import type { Credits, History, Transaction } from './credits.ts'

const perMinute = (name: string): LimitPolicy => ({
  name,
  by: 'user',
  windows: [{ quota: 30, seconds: 60 }],
})

const nullable = <T extends Parameters<typeof Type.Union>[0][number]>(schema: T) =>
  Type.Union([schema, Type.Null()])

const lotSchema = Type.Object({
  id: Type.Integer(),
  source: Type.String(),
  amount_granted: Type.Integer(),
  amount_remaining: Type.Integer(),
  expires_at: nullable(Type.String()),
  created_at: Type.String(),
  updated_at: Type.String(),
  is_active: Type.Boolean(),
})

const transactionSchema = Type.Object({
  id: Type.Integer(),
  type: Type.String(),
  amount: Type.Integer({ description: 'Signed' }),
  reason: Type.String(),
  status: Type.String(),
  audio_story_id: nullable(Type.Integer()),
  story_id: nullable(Type.Integer()),
  metadata: Type.Object({}, { additionalProperties: true }),
  created_at: Type.String(),
  updated_at: Type.String(),
})

const historySchema = Type.Object({
  items: Type.Array(transactionSchema),
  total: Type.Integer(),
  limit: Type.Integer(),
  offset: Type.Integer(),
  next_offset: nullable(Type.Integer()),
  applied_types: Type.Array(Type.String()),
})

const summarySchema = Type.Object({
  balance: Type.Integer(),
  balance_computed: Type.Integer(),
  balance_cached: Type.Integer(),
  balance_source: Type.String(),
  unit_label: Type.String(),
  unit_size: Type.Integer(),
  lots: Type.Array(lotSchema),
  lots_truncated: Type.Boolean(),
  history: historySchema,
  recent_transactions: Type.Array(transactionSchema),
})

const knownTypes = ['credit', 'debit', 'refund', 'expire']

const integerOf = (text: string | undefined): number | null =>
  text !== undefined && /^[+-]?\d{1,12}$/.test(text.trim()) ? Number(text) : null

const pageOf = (request: FastifyRequest, limitName: string, offsetName: string) => {
  const limit = integerOf(queryValue(request, limitName)) ?? 20
  const offset = integerOf(queryValue(request, offsetName)) ?? 0
  const list =
    [queryValue(request, 'type'), queryValue(request, 'types')].find((text) => (text ?? '').trim() !== '') ??
    ''
  const types = list.split(',').map((text) => text.trim().toLowerCase())
  return {
    limit: Math.min(100, Math.max(1, limit)),
    offset: Math.min(2_147_483_647, Math.max(0, offset)),
    types: [...new Set(types)].filter((type) => knownTypes.includes(type)),
  }
}

const listedMetadata = ['lot_id', 'lot_source', 'lot_amount_granted', 'expired_at', 'source_task']

const toItem = (row: Transaction) => ({
  id: row.id,
  type: row.type,
  amount: row.amount,
  reason: row.reason,
  status: row.status,
  audio_story_id: row.narrationId,
  story_id: row.storyId,
  metadata: Object.fromEntries(
    Object.entries(typeof row.metadata === 'object' && row.metadata !== null ? row.metadata : {}).filter(
      ([key]) => listedMetadata.includes(key),
    ),
  ),
  created_at: isoTime(row.createdAt),
  updated_at: isoTime(row.updatedAt),
})

/** GET /me/credits and its history (30 §12, E1 and E2). */
export const creditRoutes =
  (deps: { credits: Credits; db: Db }): FastifyPluginCallbackTypebox =>
  (server, _options, done) => {
    const toPage = ({ items, total }: History, page: ReturnType<typeof pageOf>) => {
      const next = page.offset + items.length
      return {
        items: items.map(toItem),
        total,
        limit: page.limit,
        offset: page.offset,
        next_offset: items.length > 0 && next < total ? next : null,
        applied_types: page.types,
      }
    }

    server.get(
      '/me/credits',
      {
        config: { limit: perMinute('me-credits') },
        schema: {
          summary: 'Balance, lots and recent transactions',
          response: { 200: summarySchema, ...errorResponses },
        },
      },
      async (request) => {
        const page = pageOf(request, 'history_limit', 'history_offset')
        const summary = await deps.credits.summary(deps.db, callerOf(request).userId, page)
        const recent = toPage(summary.history, page)
        return {
          balance: summary.balance,
          balance_computed: summary.balance,
          balance_cached: summary.cached,
          balance_source: 'computed',
          unit_label: deps.credits.config.unitLabel,
          unit_size: deps.credits.config.unitSize,
          lots: summary.lots.map((lot) => ({
            id: lot.id,
            source: lot.source,
            amount_granted: lot.amountGranted,
            amount_remaining: lot.amountRemaining,
            expires_at: isoTimeOrNull(lot.expiresAt),
            created_at: isoTime(lot.createdAt),
            updated_at: isoTime(lot.updatedAt),
            is_active: lot.isActive,
          })),
          lots_truncated: summary.isTruncated,
          history: recent,
          recent_transactions: recent.items,
        }
      },
    )
    server.get(
      '/me/credits/history',
      {
        config: { limit: perMinute('me-credits-history') },
        schema: {
          summary: 'Transactions, newest first',
          response: { 200: historySchema, ...errorResponses },
        },
      },
      async (request) => {
        const page = pageOf(request, 'limit', 'offset')
        return toPage(await deps.credits.history(deps.db, callerOf(request).userId, page), page)
      },
    )
    done()
  }
