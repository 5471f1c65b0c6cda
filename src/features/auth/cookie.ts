import type { FastifyReply, FastifyRequest } from 'fastify'
import { AppError } from '../../platform/errors.ts'
import type { TokenPair } from './sessions.ts'

const cookieName = '__Host-dt_refresh'
const attributes = 'Secure; HttpOnly; SameSite=Strict'
const idleSeconds = 604_800

/** The value of the browser app's refresh cookie, or undefined. RFC 6265 §5.4: the first of several. */
export const readRefreshCookie = (request: FastifyRequest): string | undefined => {
  for (const pair of (request.headers.cookie ?? '').split(';')) {
    const at = pair.indexOf('=')
    if (at > 0 && pair.slice(0, at).trim() === cookieName) return pair.slice(at + 1).trim()
  }
  return undefined
}

/** `Set-Cookie` value: lives as long as the session may stay idle. */
export const refreshCookie = (token: string): string =>
  `${cookieName}=${token}; Path=/; Max-Age=${idleSeconds}; ${attributes}`

export const clearedRefreshCookie = `${cookieName}=; Path=/; Max-Age=0; ${attributes}`

/** The tokens of an answer: what came by cookie or belongs to a cookie session goes back in the cookie, in no body. */
export const tokenBody = (
  reply: FastifyReply,
  pair: TokenPair,
  cameByCookie = false,
): { access_token: string; refresh_token?: string; expires_in: number } => {
  const body = { access_token: pair.accessToken, expires_in: pair.expiresInSeconds }
  if (pair.transport === 'body' && !cameByCookie) return { ...body, refresh_token: pair.refreshToken }
  reply.header('set-cookie', refreshCookie(pair.refreshToken))
  return body
}

const originOf = (url: string): string => new URL(url).origin

/**
 * The cross-site defence of cookie login, refresh and sign-out: a header that only our own script sends, and a proof of
 * origin. A cookie alone never acts. Refuses `cross_site`.
 */
export const createCrossSiteDefence =
  (deps: { publicUrl: string; trustedProxyHops: number }) =>
  (request: FastifyRequest): void => {
    const { headers } = request
    const isSameOrigin = (): boolean => {
      const site = headers['sec-fetch-site']
      if (site !== undefined) return site === 'same-origin'
      const { origin, host } = headers
      if (origin === undefined || host === undefined) return false
      const forwarded = deps.trustedProxyHops > 0 ? headers['x-forwarded-proto'] : undefined
      const scheme = typeof forwarded === 'string' ? (forwarded.split(',').at(-1)?.trim() ?? '') : 'http'
      return origin === originOf(deps.publicUrl) || origin === `${scheme}://${host}`
    }
    if (headers['x-requested-with'] !== 'DawnoTemu' || !isSameOrigin()) throw new AppError('cross_site')
  }
