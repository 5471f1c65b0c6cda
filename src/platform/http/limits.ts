import { isIPv4, isIPv6 } from 'node:net'
import type { FastifyReply } from 'fastify'
import type { Clock } from '../clock.ts'
import { AppError } from '../errors.ts'
import { ipv6Prefix } from './client-address.ts'

/** A quota of the specification: how many requests of one address or one user in a window. */
export interface LimitPolicy {
  /** As it appears in the `RateLimit` headers. */
  name: string
  by: 'address' | 'user'
  windows: readonly { quota: number; seconds: number }[]
}

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Counted on every request to the route, refused ones too, after authentication and before the body is read. */
    limit?: LimitPolicy
  }
}

export interface LimitResult {
  isOver: boolean
  /** Whole seconds until no window is exceeded any more, at least 1. */
  retryAfterSeconds: number
  /** `RateLimit-Policy` and `RateLimit`. */
  headers: Record<string, string>
}

export interface Limits {
  /** Counts one request of the subject. */
  hit(policy: LimitPolicy, subject: string): Promise<LimitResult>
}

/** What counts as one client: an IPv4 address, or the /64 that an IPv6 subscriber moves about in. */
export const addressKey = (address: string): string =>
  isIPv6(address) ? ipv6Prefix(address, 4) : isIPv4(address) ? address : 'unknown'

/** Names of the policy's windows in the headers: the second and later ones carry their length. */
const windowName = (policy: LimitPolicy, index: number): string =>
  index === 0 ? policy.name : `${policy.name}-${policy.windows[index]?.seconds ?? 0}`

/** Counts in a shared store; `keyOf` hides the subject. With `isEnabled` false nothing is counted or refused. */
export const createLimits = (deps: {
  hit: (
    counters: readonly { key: string; windowSeconds: number }[],
    now: Date,
  ) => Promise<{ count: number; resetsAt: Date }[]>
  keyOf: (kind: string, value: string) => string
  clock: Clock
  isEnabled: boolean
}): Limits => ({
  hit: async (policy, subject) => {
    if (!deps.isEnabled) return { isOver: false, retryAfterSeconds: 0, headers: {} }
    const now = deps.clock.now()
    const counters = await deps.hit(
      policy.windows.map(({ seconds }) => ({
        key: deps.keyOf(`limit:${policy.name}:${seconds}`, subject),
        windowSeconds: seconds,
      })),
      now,
    )
    const windows = policy.windows.map((window, index) => {
      const counter = counters[index] ?? { count: 1, resetsAt: now }
      return {
        ...window,
        name: windowName(policy, index),
        left: Math.max(0, window.quota - counter.count),
        isOver: counter.count > window.quota,
        secondsLeft: Math.max(1, Math.ceil((counter.resetsAt.getTime() - now.getTime()) / 1000)),
      }
    })
    const exceeded = windows.filter(({ isOver }) => isOver)
    return {
      isOver: exceeded.length > 0,
      retryAfterSeconds: Math.max(1, ...exceeded.map(({ secondsLeft }) => secondsLeft)),
      headers: {
        'ratelimit-policy': windows
          .map(({ name, quota, seconds }) => `"${name}";q=${quota};w=${seconds}`)
          .join(', '),
        ratelimit: windows
          .map(({ name, left, secondsLeft }) => `"${name}";r=${left};t=${secondsLeft}`)
          .join(', '),
      },
    }
  },
})

/** Counts the request; sets the headers, and refuses `rate_limited` once the quota is spent. */
export const applyLimit = async (
  limits: Limits,
  policy: LimitPolicy,
  subject: string,
  reply: FastifyReply,
): Promise<void> => {
  const { isOver, retryAfterSeconds, headers } = await limits.hit(policy, subject)
  reply.headers(headers)
  if (isOver) throw new AppError('rate_limited', { retryAfterSeconds })
}
