import { createHmac } from 'node:crypto'
import { constantTimeEqual } from '../../platform/crypto.ts'

/** Whether the header is the secret, bare or after `Bearer ` (exact case, one space); the rest is trimmed. */
export const hasSecret = (authorization: string | undefined, secret: string | null): boolean => {
  if (!secret || !authorization) return false
  const given = authorization.trim()
  const token = given.startsWith('Bearer ') ? given.slice('Bearer '.length) : given
  // Node reads header bytes as Latin-1: no secret of ours may match by that detour.
  const isAscii = /^[\x20-\x7e]+$/.test(given)
  return constantTimeEqual(token, secret) && isAscii
}

const toleranceSeconds = 300

/**
 * RevenueCat's `X-RevenueCat-Webhook-Signature: t=<unix seconds>,v1=<hex>`: HMAC-SHA-256 of `t.rawBody`, any of several
 * `v1`, not more than 300 s from now.
 */
export const hasSignature = (
  header: string | undefined,
  request: { raw: Uint8Array; secret: string; now: Date },
): boolean => {
  const parts = (header ?? '').split(',').map((part) => part.trim())
  const valuesOf = (name: string): string[] =>
    parts.filter((part) => part.startsWith(`${name}=`)).map((part) => part.slice(name.length + 1))
  const [time, ...more] = valuesOf('t')
  if (time === undefined || more.length > 0 || !/^\d{1,12}$/.test(time)) return false
  if (Math.abs(request.now.getTime() / 1000 - Number(time)) > toleranceSeconds) return false
  const expected = createHmac('sha256', request.secret).update(`${time}.`).update(request.raw).digest('hex')
  return valuesOf('v1').some((given) => constantTimeEqual(given.toLowerCase(), expected))
}
