import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'

/** What the next request gets instead of the customer's books. */
export interface ScriptedAnswer {
  status?: number
  /** Sent as it is, with `contentType`; an object as JSON. The books when absent and the status is 200 or 201. */
  body?: string | object
  contentType?: string
  headers?: Record<string, string>
  delayMs?: number
  /** The connection ends before the head, or in the middle of the body. */
  cut?: 'head' | 'body'
}

export interface StoreRequest {
  method: string
  /** As sent, still encoded. */
  path: string
  customerId: string | null
  platform: string | null
  authorization: string | null
}

export type OneOffEntry = Record<string, unknown> & { id: string; store_transaction_id?: string }
export type SubscriptionReply = Record<string, unknown>

interface Books {
  non_subscriptions: Record<string, OneOffEntry[]>
  subscriptions: Record<string, SubscriptionReply>
}

export interface RevenueCatServer {
  /** For `REVENUECAT_API_BASE_URL`. */
  url: string
  keys: { ios: string; android: string }
  /** Adds a one-off purchase to a customer's books, as API v1 lists it. Unset fields get likely values. */
  addPack(customerId: string, productId: string, entry: OneOffEntry): void
  /** Sets the latest period of a subscription product. */
  setSubscription(customerId: string, productId: string, entry: SubscriptionReply): void
  /** The next requests get these answers, in turn. */
  answer(...answers: ScriptedAnswer[]): void
  /** All requests without an answer in turn get this one, until null. */
  answerAlways(answer: ScriptedAnswer | null): void
  requests: readonly StoreRequest[]
  /** What the client did against the protocol; each was answered with 400 or 401. Must be empty after a test. */
  violations: readonly string[]
  close(): Promise<void>
}

const iso = (date: Date): string => date.toISOString().replace(/\.\d{3}Z$/, 'Z')

const oneOff = (entry: OneOffEntry): OneOffEntry => ({
  display_name: null,
  is_sandbox: false,
  original_purchase_date: entry['purchase_date'] ?? iso(new Date()),
  purchase_date: iso(new Date()),
  store: 'app_store',
  ...entry,
})

const subscription = (entry: SubscriptionReply): SubscriptionReply => ({
  auto_resume_date: null,
  billing_issues_detected_at: null,
  grace_period_expires_date: null,
  is_sandbox: false,
  original_purchase_date: entry['purchase_date'] ?? null,
  ownership_type: 'PURCHASED',
  period_type: 'normal',
  refunded_at: null,
  store: 'app_store',
  unsubscribe_detected_at: null,
  ...entry,
})

/**
 * A local stand-in for RevenueCat's REST API v1, as far as this project uses it: `GET /v1/subscribers/{app_user_id}`
 * with a public key. It answers 201 for a customer that it has not seen and remembers it, 200 for one that it has.
 */
export const startRevenueCat = async (): Promise<RevenueCatServer> => {
  const keys = { ios: 'appl_test_ios_key', android: 'goog_test_android_key' }
  const books = new Map<string, Books>()
  const requests: StoreRequest[] = []
  const violations: string[] = []
  const scripted: ScriptedAnswer[] = []
  let standing: ScriptedAnswer | null = null
  const closing = new AbortController()

  const booksOf = (customerId: string): Books => {
    const known = books.get(customerId) ?? { non_subscriptions: {}, subscriptions: {} }
    books.set(customerId, known)
    return known
  }

  const reply = (customerId: string): object => {
    const now = new Date()
    const firstSeen = iso(now)
    return {
      request_date: iso(now),
      request_date_ms: now.getTime(),
      subscriber: {
        entitlements: {},
        first_seen: firstSeen,
        last_seen: firstSeen,
        management_url: null,
        original_app_user_id: customerId,
        original_application_version: null,
        original_purchase_date: null,
        other_purchases: {},
        subscriber_attributes: { $email: { value: 'somebody@example.com', updated_at_ms: now.getTime() } },
        ...booksOf(customerId),
      },
    }
  }

  const sendJson = (response: ServerResponse, status: number, body: object): void => {
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
  }

  /** The fault of a request, or the customer it asks for. */
  const check = (request: IncomingMessage): { fault: string; status: number } | { customerId: string } => {
    const { headers } = request
    const segment = /^\/v1\/subscribers\/([^/?#]+)$/.exec(request.url ?? '')?.[1]
    if (request.method !== 'GET') return { fault: `method ${request.method}`, status: 400 }
    if (segment === undefined) return { fault: `path ${request.url}`, status: 400 }
    const customerId = decodeURIComponent(segment)
    if (encodeURIComponent(customerId) !== segment) return { fault: `path encoding ${segment}`, status: 400 }
    if (headers['content-type'] !== 'application/json')
      return { fault: `content-type ${headers['content-type']}`, status: 400 }
    const platform = headers['x-platform']
    if (platform !== 'ios' && platform !== 'android')
      return { fault: `x-platform ${String(platform)}`, status: 400 }
    if (headers.authorization !== `Bearer ${keys[platform]}`)
      return { fault: `authorization for ${platform}`, status: 401 }
    return { customerId }
  }

  const handle = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const checked = check(request)
    requests.push({
      method: request.method ?? '',
      path: request.url ?? '',
      customerId: 'customerId' in checked ? checked.customerId : null,
      platform: request.headers['x-platform']?.toString() ?? null,
      authorization: request.headers.authorization ?? null,
    })
    if ('fault' in checked) {
      violations.push(checked.fault)
      const [code, message] =
        checked.status === 401 ? [7225, 'Invalid API Key.'] : [7226, 'The request is not valid.']
      return sendJson(response, checked.status, { code, message })
    }
    const { customerId } = checked
    const answer = scripted.shift() ?? standing ?? {}
    if (answer.delayMs !== undefined) await sleep(answer.delayMs, undefined, { signal: closing.signal })
    if (answer.cut === 'head') return void request.socket.destroy()
    const status = answer.status ?? (books.has(customerId) ? 200 : 201)
    const isOk = status === 200 || status === 201
    const body = answer.body ?? (isOk ? reply(customerId) : { code: status * 10, message: 'scripted' })
    const text = typeof body === 'string' ? body : JSON.stringify(body)
    const type = answer.contentType ?? (typeof body === 'string' ? 'text/html' : 'application/json')
    response.writeHead(status, {
      'content-type': type,
      'content-length': Buffer.byteLength(text),
      ...answer.headers,
    })
    if (answer.cut === 'body') response.write(text.slice(0, 10), () => request.socket.destroy())
    else response.end(text)
  }

  const server = createServer((request, response) => {
    handle(request, response).catch(() => request.socket.destroy())
  })
  const { promise: listening, resolve } = Promise.withResolvers<void>()
  server.listen(0, '127.0.0.1', resolve)
  await listening
  const address = server.address()
  if (typeof address !== 'object' || !address) throw new Error('no address')

  return {
    url: `http://127.0.0.1:${address.port}`,
    keys,
    addPack: (customerId, productId, entry) => {
      ;(booksOf(customerId).non_subscriptions[productId] ??= []).push(oneOff(entry))
    },
    setSubscription: (customerId, productId, entry) => {
      booksOf(customerId).subscriptions[productId] = subscription(entry)
    },
    answer: (...answers) => void scripted.push(...answers),
    answerAlways: (answer) => {
      standing = answer
    },
    requests,
    violations,
    close: async () => {
      closing.abort()
      server.closeAllConnections()
      await new Promise((done) => server.close(done))
    },
  }
}
