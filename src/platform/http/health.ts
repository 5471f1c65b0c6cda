import { Type } from 'typebox'
import type { HttpServer } from './server.ts'

export type CheckResult = 'ok' | 'degraded' | 'failed' | 'off'

/** Answers within its deadline or counts as failed. */
export type HealthCheck = (signal: AbortSignal) => Promise<CheckResult>

const totalMs = 2000
const checkSchema = Type.Union([
  Type.Literal('ok'),
  Type.Literal('degraded'),
  Type.Literal('failed'),
  Type.Literal('off'),
])
const readySchema = Type.Object({
  status: Type.Union([Type.Literal('ok'), Type.Literal('unavailable'), Type.Literal('draining')]),
  checks: Type.Record(Type.String(), checkSchema),
  release: Type.String(),
})

/** Repeats an answer for a while: an expensive probe is not made for every request. */
export const cachedCheck = (check: HealthCheck, ttlMs: number): HealthCheck => {
  let until = 0
  let last: CheckResult = 'failed'
  return async (signal) => {
    if (Date.now() >= until) {
      last = await check(signal)
      until = Date.now() + ttlMs
    }
    return last
  }
}

const within = async (check: HealthCheck): Promise<CheckResult> => {
  const signal = AbortSignal.timeout(totalMs)
  const late = new Promise<CheckResult>((resolve) => {
    signal.addEventListener('abort', () => resolve('failed'), { once: true })
  })
  return Promise.race([check(signal).catch((): CheckResult => 'failed'), late])
}

/** /health/live and /health/ready (40 §10.4); names of checks and results only, never hosts or error texts. */
export const registerHealth = (
  server: HttpServer,
  options: {
    release: string
    checks: Readonly<Record<string, HealthCheck>>
    /** Checks without which nothing works; the others only degrade. */
    required: readonly string[]
    isDraining: () => boolean
  },
): void => {
  const config = { access: 'public' } as const
  server.get(
    '/health/live',
    {
      config,
      schema: {
        summary: 'The process answers',
        response: { 200: Type.Object({ status: Type.Literal('ok') }) },
      },
    },
    (_request, reply) => {
      reply.header('cache-control', 'no-store')
      return { status: 'ok' as const }
    },
  )
  server.get(
    '/health/ready',
    {
      config,
      schema: { summary: 'The service can be used', response: { 200: readySchema, 503: readySchema } },
    },
    async (_request, reply) => {
      const names = Object.keys(options.checks)
      const results = await Promise.all(Object.values(options.checks).map(within))
      const checks = Object.fromEntries(names.map((name, index) => [name, results[index] ?? 'failed']))
      const isUp = options.required.every((name) => checks[name] === 'ok')
      for (const name of names)
        if (checks[name] === 'failed' && !options.required.includes(name)) checks[name] = 'degraded'
      const status = options.isDraining() ? 'draining' : isUp ? 'ok' : 'unavailable'
      return reply
        .code(status === 'ok' ? 200 : 503)
        .header('cache-control', 'no-store')
        .send({ status, checks, release: options.release })
    },
  )
}
