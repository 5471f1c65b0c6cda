import { createHash } from 'node:crypto'
import { Agent as HttpAgent } from 'node:http'
import { Agent as HttpsAgent } from 'node:https'
import type { S3Client, S3ClientConfig } from '@aws-sdk/client-s3'

export interface S3Options {
  bucket: string
  region: string
  /** Left out: the SDK's own chain (environment, profile, instance role). */
  credentials?: { accessKeyId: string; secretAccessKey: string; sessionToken?: string }
  /** Host, host:port or URL of an S3-compatible store. Left out: AWS. */
  endpoint?: string
  /** Address under which clients reach the store; signed URLs are signed for it. */
  publicEndpoint?: string
  /** `auto` (default): path style with an endpoint, virtual-hosted style on AWS. */
  addressingStyle?: 'path' | 'virtual' | 'auto'
  /** Decides http or https where an endpoint names no scheme, and for AWS itself. */
  useSsl: boolean
  /** Server-side encryption AES256 asked for on every put. */
  useSse: boolean
  /** Idle connections kept open for reuse. */
  maxConnections: number
  /** Tries after the first one. */
  maxRetries: number
  /** For one call until its answer starts, retries included; default 10000. */
  timeoutMs?: number
}

const ignore = (): void => {}
// Without a logger the SDK writes its warnings to the console. What matters is in the error that is thrown.
const silentLogger = { trace: ignore, debug: ignore, info: ignore, warn: ignore, error: ignore }

/** An endpoint with its scheme. */
export const endpointUrl = (endpoint: string, useSsl: boolean): string =>
  /^https?:\/\//i.test(endpoint) ? endpoint : `${useSsl ? 'https' : 'http'}://${endpoint}`

/**
 * The SDK's settings. `maxConnections` bounds idle sockets, not open ones: a listener's stream holds a socket for as
 * long as she listens, and a hard limit would let ten slow listeners stop every other call.
 */
export const clientConfig = (options: S3Options, endpoint: string | undefined): S3ClientConfig => {
  const agent = { keepAlive: true, maxFreeSockets: options.maxConnections }
  const style = options.addressingStyle ?? 'auto'
  return {
    region: options.region,
    tls: options.useSsl,
    forcePathStyle: style === 'auto' ? endpoint !== undefined : style === 'path',
    maxAttempts: options.maxRetries + 1,
    retryMode: 'adaptive',
    logger: silentLogger,
    // Other makers' stores reject the checksum trailers that the SDK adds by default.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    requestHandler: { httpAgent: new HttpAgent(agent), httpsAgent: new HttpsAgent(agent) },
    ...(options.credentials === undefined ? {} : { credentials: options.credentials }),
    ...(endpoint === undefined ? {} : { endpoint: endpointUrl(endpoint, options.useSsl) }),
  }
}

const hasBody = (request: unknown): request is { body: string; headers: Record<string, string> } =>
  typeof request === 'object' &&
  request !== null &&
  'headers' in request &&
  'body' in request &&
  typeof request.body === 'string'

/**
 * A bulk delete must carry a digest of its body. The SDK sends CRC32, older S3-compatible stores know only
 * Content-MD5 (the SDK's "MD5 fallback" page).
 */
export const useMd5ForBulkDelete = (client: S3Client): void => {
  client.middlewareStack.add(
    (next, context) => (args) => {
      if (context['commandName'] === 'DeleteObjectsCommand' && hasBody(args.request)) {
        const { body, headers } = args.request
        for (const name of Object.keys(headers))
          if (/^x-amz-(sdk-)?checksum-/i.test(name)) Reflect.deleteProperty(headers, name)
        headers['content-md5'] = createHash('md5').update(body).digest('base64')
      }
      return next(args)
    },
    { step: 'build', name: 'md5ForBulkDelete', priority: 'low' },
  )
}

/** Loads the SDK, which costs about a hundred milliseconds and tens of megabytes, only when it is first needed. */
export const loadS3 = async (options: S3Options) => {
  const [sdk, presigner] = await Promise.all([
    import('@aws-sdk/client-s3'),
    import('@aws-sdk/s3-request-presigner'),
  ])
  const client = new sdk.S3Client(clientConfig(options, options.endpoint))
  if (options.endpoint !== undefined) useMd5ForBulkDelete(client)
  const publicClient =
    options.publicEndpoint === undefined
      ? client
      : new sdk.S3Client(clientConfig(options, options.publicEndpoint))
  return { sdk, client, publicClient, getSignedUrl: presigner.getSignedUrl }
}
