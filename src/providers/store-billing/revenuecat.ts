import { readSubscriber } from './revenuecat-reply.ts'
import type { StoreBilling, StorePlatform, SubscriberReply } from './store-billing.ts'

const defaultTimeoutMs = 10_000
/** A customer with years of monthly purchases stays under 100 KiB. */
const replyLimitBytes = 4 * 1024 * 1024

/** Null when the body is too large or is not JSON. */
const readJson = async (response: Response): Promise<{ json: unknown } | null> => {
  const chunks: Uint8Array[] = []
  let bytes = 0
  for await (const chunk of response.body ?? []) {
    bytes += chunk.byteLength
    if (bytes > replyLimitBytes) return null
    chunks.push(chunk)
  }
  try {
    const json: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(chunks)))
    return { json }
  } catch {
    return null
  }
}

const interpret = async (response: Response): Promise<SubscriberReply> => {
  const { status } = response
  if (status === 200 || status === 201) {
    const body = await readJson(response)
    const subscriber = body && readSubscriber(body.json)
    return subscriber ? { kind: 'ok', subscriber } : { kind: 'unavailable', status }
  }
  await response.body?.cancel()
  if (status === 429 || (status >= 500 && status <= 599)) return { kind: 'unavailable', status }
  return { kind: 'invalid', alert: status === 401 || status === 403, status }
}

/** A path segment that no URL parser takes for "this folder" or "the one above". */
const isPathSegment = (customerId: string): boolean => !/^\.{0,2}$/.test(customerId)

/**
 * RevenueCat's REST API v1 with the apps' public keys (v2 does not know the SDK's transaction ids). `timeoutMs` covers
 * the whole call, body included.
 */
export const createRevenueCat = (config: {
  /** `REVENUECAT_API_BASE_URL`, without `/v1`. */
  baseUrl: string
  keys: Readonly<Record<StorePlatform, string | null>>
  timeoutMs?: number
}): StoreBilling => {
  const { keys, timeoutMs = defaultTimeoutMs } = config
  const root = config.baseUrl.replace(/\/+$/, '')

  const fetchSubscriber: StoreBilling['fetchSubscriber'] = async ({ customerId, platform }, signal) => {
    signal.throwIfAborted()
    const key = keys[platform]
    if (!key || !isPathSegment(customerId)) return { kind: 'invalid', alert: false, status: null }
    try {
      const response = await fetch(
        `${root}/v1/subscribers/${encodeURIComponent(customerId.toWellFormed())}`,
        {
          method: 'GET',
          headers: {
            Authorization: `Bearer ${key}`,
            'Content-Type': 'application/json',
            'X-Platform': platform,
          },
          redirect: 'manual',
          signal: AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]),
        },
      )
      return await interpret(response)
    } catch {
      signal.throwIfAborted()
      return { kind: 'unavailable', status: null }
    }
  }

  return {
    name: 'revenuecat',
    hasKey: (platform) => Boolean(keys[platform]),
    fetchSubscriber,
  }
}
