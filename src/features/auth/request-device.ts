import type { FastifyRequest } from 'fastify'
import { addressPrefix } from '../../platform/http/client-address.ts'
import type { Device } from './queries.ts'

const clientNameLimit = 64
const userAgentLimit = 256

const userAgentOf = (request: FastifyRequest): string =>
  (request.headers['user-agent'] ?? '').replaceAll(/[^\x20-\x7e]/g, '').slice(0, userAgentLimit)

/** What is kept of the device behind a request; `clientName` is its own word for itself, else the user agent's first. */
export const deviceOf = (request: FastifyRequest, clientName?: string): Device => {
  const userAgent = userAgentOf(request)
  const name = clientName?.replaceAll(/\p{Cc}/gu, '').trim() || userAgent.split(/[\s/(]/)[0] || 'unknown'
  return {
    clientName: [...name].slice(0, clientNameLimit).join(''),
    userAgent,
    ipPrefix: addressPrefix(request.clientAddress),
  }
}
