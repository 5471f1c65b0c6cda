import { createHash, createHmac, hkdfSync, randomBytes, timingSafeEqual } from 'node:crypto'
import { crc32 } from 'node:zlib'

export const keyPurposes = ['access', 'admin', 'mail-link', 'challenge', 'file-link'] as const
export type KeyPurpose = (typeof keyPurposes)[number]

/** 32-byte keys of one purpose. `current` makes; `all` verifies, the current one first. */
export interface PurposeKeys {
  current: Uint8Array
  all: Uint8Array[]
}

const deriveKey = (secret: string, purpose: KeyPurpose): Uint8Array =>
  new Uint8Array(hkdfSync('sha256', secret, '', `dawnotemu ${purpose}`, 32))

/** One key a purpose from the root secret (HKDF-SHA-256, RFC 5869); those of `previous` secrets only verify. */
export const deriveKeys = (secret: string, previous: readonly string[]): Record<KeyPurpose, PurposeKeys> => {
  const keysOf = (purpose: KeyPurpose): PurposeKeys => {
    const current = deriveKey(secret, purpose)
    return { current, all: [current, ...previous.map((earlier) => deriveKey(earlier, purpose))] }
  }
  return {
    access: keysOf('access'),
    admin: keysOf('admin'),
    'mail-link': keysOf('mail-link'),
    challenge: keysOf('challenge'),
    'file-link': keysOf('file-link'),
  }
}

/** `bytes` random bytes as base64url without padding: 32 give 43 characters. */
export const randomToken = (bytes: number): string => randomBytes(bytes).toString('base64url')

export const sha256 = (data: Uint8Array | string): Buffer => createHash('sha256').update(data).digest()

/** Compares in the same time whatever the contents and lengths are. */
export const constantTimeEqual = (left: Uint8Array | string, right: Uint8Array | string): boolean =>
  timingSafeEqual(sha256(left), sha256(right))

const base62 = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'

/** CRC-32 of the text as six base62 digits (0-9, A-Z, a-z), the last part of our tokens and API keys. */
export const tokenChecksum = (text: string): string => {
  let rest = crc32(text)
  let digits = ''
  for (let place = 0; place < 6; place += 1) {
    digits = (base62[rest % 62] ?? '') + digits
    rest = Math.floor(rest / 62)
  }
  return digits
}

const refreshTokenForm = /^(dtr_[A-Za-z0-9_-]{43})([0-9A-Za-z]{6})$/

/** `dtr_` + 256 random bits in base64url + checksum, 53 characters. */
export const newRefreshToken = (): string => {
  const token = `dtr_${randomToken(32)}`
  return token + tokenChecksum(token)
}

/** Whether it can be one of ours at all: form and checksum, no look at the database. */
export const isRefreshTokenForm = (text: string): boolean => {
  const [, token, checksum] = refreshTokenForm.exec(text) ?? []
  return token !== undefined && tokenChecksum(token) === checksum
}

/**
 * Names a counter of `value` without holding it in clear: `kind:` + 132 bits of HMAC-SHA-256, so that addresses and
 * e-mails cannot be guessed from the store. Every process with the same secret makes the same name.
 */
export const counterKey =
  (key: Uint8Array) =>
  (kind: string, value: string): string =>
    `${kind}:${createHmac('sha256', key).update(value).digest('base64url').slice(0, 22)}`

/** The secret part of a mailed link, 43 base64url characters, made again from key and salt whenever it is needed. */
export const mailToken = (key: Uint8Array, salt: Uint8Array | string): string =>
  createHmac('sha256', key).update(salt).digest('base64url')
