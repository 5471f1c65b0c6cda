import { isIPv4, isIPv6 } from 'node:net'
import type { IncomingMessage } from 'node:http'

const plain = (address: string): string =>
  (/^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1] ?? address).toLowerCase()

/**
 * Address of the client: the socket's, or with n trusted proxies the n-th entry from the right of `X-Forwarded-For`
 * (fewer or malformed entries: the socket's). An IPv4-mapped address is that IPv4 address.
 */
export const clientAddress = (request: IncomingMessage, trustedProxyHops: number): string => {
  const socket = plain(request.socket.remoteAddress ?? '')
  if (trustedProxyHops < 1) return socket
  const header = request.headers['x-forwarded-for']
  const entries = (Array.isArray(header) ? header.join(',') : (header ?? ''))
    .split(',')
    .map((entry) => entry.trim())
  const entry = plain(entries.at(-trustedProxyHops) ?? '')
  return isIPv4(entry) || isIPv6(entry) ? entry : socket
}

const expandIpv6 = (address: string): string[] => {
  const [head = '', tail] = (address.split('%')[0] ?? '').split('::')
  const left = head === '' ? [] : head.split(':')
  if (tail === undefined) return left
  const right = tail === '' ? [] : tail.split(':')
  return [
    ...left,
    ...Array.from({ length: Math.max(0, 8 - left.length - right.length) }, () => '0'),
    ...right,
  ]
}

/** The first `groups` 16-bit groups of an IPv6 address as a prefix: 3 give the /48, 4 the /64. */
export const ipv6Prefix = (address: string, groups: number): string =>
  `${expandIpv6(address)
    .slice(0, groups)
    .map((group) => Number.parseInt(group, 16).toString(16))
    .join(':')}::/${groups * 16}`

/** The part of an address that is kept with a session: /24 of IPv4, /48 of IPv6. */
export const addressPrefix = (address: string): string => {
  if (isIPv4(address)) return `${address.split('.').slice(0, 3).join('.')}.0/24`
  return isIPv6(address) ? ipv6Prefix(address, 3) : ''
}
