import { randomUUID } from 'node:crypto'
import { compactVerify, SignJWT } from 'jose'
import { Type } from 'typebox'
import { Value } from 'typebox/value'
import { AppError } from '../../platform/errors.ts'

export const accessLifetimeSeconds = 900

const claimsSchema = Type.Object({
  sub: Type.String({ pattern: '^[1-9][0-9]{0,9}$' }),
  sid: Type.Integer({ minimum: 1 }),
  type: Type.String(),
  iat: Type.Integer(),
  exp: Type.Integer(),
  jti: Type.String({ minLength: 1 }),
})

export interface AccessClaims {
  userId: number
  sessionId: number
  /** Whole second of issue. */
  issuedAt: Date
}

export interface AccessTokens {
  /** JWT HS256 of 900 s, never past the session's end. */
  issue(session: { userId: number; sessionId: number; sessionExpiresAt: Date }, now: Date): Promise<string>
  /** Signature, claims and life only; the session is checked by the caller. Throws rows 1 to 4 of 10 §6. */
  verify(authorization: string | undefined, now: Date): Promise<AccessClaims>
}

/** RFC 7519 tokens under the `access` purpose keys; the first key signs, all verify. */
export const createAccessTokens = (keys: {
  current: Uint8Array
  all: readonly Uint8Array[]
}): AccessTokens => {
  const payloadOf = async (token: string): Promise<unknown> => {
    for (const key of keys.all) {
      try {
        const { payload } = await compactVerify(token, key, { algorithms: ['HS256'] })
        return JSON.parse(new TextDecoder().decode(payload))
      } catch {
        // Another key of the rotation may fit.
      }
    }
    throw new AppError('token_invalid')
  }

  return {
    issue: (session, now) => {
      const issuedAt = Math.floor(now.getTime() / 1000)
      const end = Math.min(
        issuedAt + accessLifetimeSeconds,
        Math.floor(session.sessionExpiresAt.getTime() / 1000),
      )
      return new SignJWT({ sid: session.sessionId, type: 'access' })
        .setProtectedHeader({ alg: 'HS256', typ: 'JWT' })
        .setSubject(String(session.userId))
        .setIssuedAt(issuedAt)
        .setExpirationTime(end)
        .setJti(randomUUID())
        .sign(keys.current)
    },
    verify: async (authorization, now) => {
      const [scheme, token, ...rest] = (authorization ?? '').trim().split(/\s+/)
      if (scheme?.toLowerCase() !== 'bearer' || token === undefined || rest.length > 0)
        throw new AppError('token_missing')
      const claims = await payloadOf(token)
      const nowSeconds = now.getTime() / 1000
      if (!Value.Check(claimsSchema, claims) || claims.iat > nowSeconds + 30)
        throw new AppError('token_invalid')
      if (Number(claims.sub) > 2_147_483_647 || claims.sid > 2_147_483_647)
        throw new AppError('token_invalid')
      if (claims.exp <= nowSeconds) throw new AppError('token_expired')
      if (claims.type !== 'access') throw new AppError('token_type')
      return { userId: Number(claims.sub), sessionId: claims.sid, issuedAt: new Date(claims.iat * 1000) }
    },
  }
}
