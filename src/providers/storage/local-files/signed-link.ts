import { createHmac, timingSafeEqual } from 'node:crypto'

/** What a link to one object promises; empty strings stand for "as stored". */
export interface SignedLink {
  key: string
  /** Unix seconds. */
  expires: number
  type: string
  disposition: string
}

const signature = (signingKey: Uint8Array, { key, expires, type, disposition }: SignedLink): Buffer =>
  createHmac('sha256', signingKey)
    // JSON keeps the fields apart: no two different links give the same text.
    .update(JSON.stringify(['file-link-1', key, expires, type, disposition]))
    .digest()

/** `{base}/files/{key}?expires=…&type=…&disposition=…&signature=…`, HMAC-SHA-256 over all of it. */
export const signLink = (publicBaseUrl: string, signingKey: Uint8Array, link: SignedLink): string => {
  const query = new URLSearchParams({ expires: String(link.expires) })
  if (link.type !== '') query.set('type', link.type)
  if (link.disposition !== '') query.set('disposition', link.disposition)
  query.set('signature', signature(signingKey, link).toString('base64url'))
  return `${publicBaseUrl.replace(/\/+$/, '')}/files/${link.key}?${query.toString()}`
}

const single = (query: URLSearchParams, name: string): string | null => {
  const values = query.getAll(name)
  return values.length > 1 ? null : (values[0] ?? '')
}

/** The link's promise, or null when it is altered, incomplete or past its time. */
export const verifyLink = (
  signingKey: Uint8Array,
  key: string,
  query: URLSearchParams,
  now: Date,
): SignedLink | null => {
  const expires = single(query, 'expires')
  const type = single(query, 'type')
  const disposition = single(query, 'disposition')
  const given = single(query, 'signature')
  if (expires === null || type === null || disposition === null || given === null) return null
  if (!/^\d{1,15}$/.test(expires) || !/^[\w-]{43}$/.test(given)) return null
  const link = { key, expires: Number(expires), type, disposition }
  if (!timingSafeEqual(signature(signingKey, link), Buffer.from(given, 'base64url'))) return null
  return now.getTime() < link.expires * 1000 ? link : null
}
