import type { FastifyContextConfig, FastifyPluginCallback } from 'fastify'
import { AppError } from '../../../platform/errors.ts'
import { contentRange, planDelivery } from '../../../platform/http/byte-range.ts'
import { StorageUnavailable } from '../storage.ts'
import type { LocalFiles } from './local-files.ts'

export interface LocalFileRoutesOptions {
  storage: LocalFiles
  now: () => Date
  /** Route configuration of the host, e.g. its mark for routes that need no login. */
  config?: FastifyContextConfig
}

const asRefusal = (error: unknown): never => {
  if (error instanceof StorageUnavailable)
    throw new AppError('unavailable', { retryAfterSeconds: 30, cause: error })
  throw error
}

/**
 * `GET` and `HEAD /files/{key}`: serves what `presignGet` of local files has signed. The signature is the only
 * permission asked for; an `Authorization` header plays no part. Refuses `link_invalid`, `not_found`,
 * `range_not_satisfiable`, `unavailable`.
 */
export const localFileRoutes: FastifyPluginCallback<LocalFileRoutesOptions> = (app, options, done) => {
  const { storage, now } = options
  app.route<{ Params: { '*': string } }>({
    method: ['GET', 'HEAD'],
    url: '/files/*',
    // The automatic HEAD would open the file and throw its bytes away.
    exposeHeadRoute: false,
    ...(options.config && { config: options.config }),
    handler: async (request, reply) => {
      const key = request.params['*']
      const link = storage.verifyLink(key, new URL(request.url, 'http://localhost').searchParams)
      if (link === null) throw new AppError('link_invalid')
      const file = await storage.stored(key).catch(asRefusal)
      if (file === null) throw new AppError('not_found')

      const plan = planDelivery({ method: request.method, headers: request.headers }, file)
      if (plan.status === 416)
        throw new AppError('range_not_satisfiable', {
          headers: { 'content-range': contentRange(null, file.size) },
        })
      const range = plan.status === 206 ? plan.range : undefined
      const hasBody = plan.status !== 304 && request.method === 'GET'
      const object = hasBody ? await storage.get(key, range).catch(asRefusal) : undefined
      if (object === null) throw new AppError('not_found')
      if (object !== undefined && object.etag !== file.etag) {
        object.body.destroy()
        throw new AppError('unavailable', { retryAfterSeconds: 1 })
      }

      const secondsLeft = Math.max(0, Math.floor(link.expires - now().getTime() / 1000))
      reply.code(plan.status).headers({
        etag: file.etag,
        'last-modified': file.lastModified.toUTCString(),
        'accept-ranges': 'bytes',
        'cache-control': `private, max-age=${secondsLeft}`,
        'cross-origin-resource-policy': 'cross-origin',
        'x-content-type-options': 'nosniff',
      })
      if (plan.status === 304) return reply.send()
      const length = range === undefined ? file.size : range.end - range.start + 1
      reply.headers({ 'content-type': link.type || file.contentType, 'content-length': length })
      const disposition = link.disposition || file.contentDisposition
      if (disposition !== undefined) reply.header('content-disposition', disposition)
      if (range !== undefined) reply.header('content-range', contentRange(range, file.size))
      // Fastify destroys the stream when the client goes away.
      return reply.send(object?.body)
    },
  })
  done()
}
