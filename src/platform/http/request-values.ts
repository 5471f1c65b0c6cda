import type { FastifyRequest } from 'fastify'
import { AppError } from '../errors.ts'

export { parseId } from '../parse-id.ts'

export interface Caller {
  userId: number
  sessionId: number
}

export interface AdminCaller {
  /** `users.id` of the administrator. */
  adminId: number
}

declare module 'fastify' {
  interface FastifyRequest {
    /** Who signed the request; null on public routes. */
    caller: Caller | null
    /** The administrator who signed the request; null on all other routes. */
    admin: AdminCaller | null
  }
  interface FastifyContextConfig {
    /** Who may call the route. Default: a signed-in user. */
    access?: 'public' | 'user' | 'admin'
    /** What an admin route needs, and whether it needs a fresh proof of identity; `authenticateAdmin` looks at both. */
    permission?: string
    stepUp?: boolean
  }
}

/** The signed-in user of a route that demands one. */
export const callerOf = (request: FastifyRequest): Caller => {
  if (!request.caller) throw new AppError('token_missing')
  return request.caller
}

/** The administrator of a route that demands one. */
export const adminOf = (request: FastifyRequest): AdminCaller => {
  if (!request.admin) throw new AppError('token_missing')
  return request.admin
}

/** First value of a query parameter that may be repeated; undefined when absent. */
export const queryValue = (request: FastifyRequest, name: string): string | undefined => {
  const { query } = request
  if (typeof query !== 'object' || query === null || !Object.hasOwn(query, name)) return undefined
  const value: unknown = Reflect.get(query, name)
  const first: unknown = Array.isArray(value) ? value[0] : value
  return typeof first === 'string' ? first : undefined
}

/** UTC with milliseconds and `Z`, the one form of a timestamp on the wire. */
export const isoTime = (time: Date): string => time.toISOString()

export const isoTimeOrNull = (time: Date | null): string | null => (time === null ? null : time.toISOString())
