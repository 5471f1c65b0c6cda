import type { FastifyRequest } from 'fastify'
import type { Clock } from '../../platform/clock.ts'
import { AppError } from '../../platform/errors.ts'
import { addressKey } from '../../platform/http/limits.ts'
import type { RateLimitStore } from '../../providers/rate-limit-store/rate-limit-store.ts'
import type { ProofOfWork } from './proof-of-work.ts'
import type { WaitRoom } from './wait-room.ts'

const windowSeconds = 600
const freeRequests = 3
const delaysMs = [2000, 4000, 8000] as const
const purposes = { register: 'register', resend: 'mail', 'reset-request': 'mail' } as const

/**
 * Stands before the routes that send mail or make accounts: browsers bring a proof of work, plain clients are slowed
 * from the 4th request in ten minutes. Refuses `challenge_required` and `rate_limited`.
 */
export type RequestGuard = (
  request: FastifyRequest,
  route: keyof typeof purposes,
  proof: unknown,
) => Promise<void>

/** Browsers send fetch metadata and can be given work to do; the shipped app sends none. */
export const canSolve = (request: FastifyRequest, proof: unknown): boolean =>
  request.headers['sec-fetch-site'] !== undefined || proof !== undefined

export const createRequestGuard =
  (deps: {
    proofs: ProofOfWork
    counters: RateLimitStore
    keyOf: (kind: string, value: string) => string
    clock: Clock
    waitRoom: WaitRoom
    isEnabled: boolean
  }): RequestGuard =>
  async (request, route, proof) => {
    if (!deps.isEnabled) return
    if (canSolve(request, proof)) {
      if (!(await deps.proofs.verify(proof, purposes[route]))) throw new AppError('challenge_required')
      return
    }
    const key = deps.keyOf(`slow:${route}`, addressKey(request.clientAddress))
    const [counter] = await deps.counters.hit([{ key, windowSeconds }], deps.clock.now())
    const excess = (counter?.count ?? 1) - freeRequests
    if (excess > 0) await deps.waitRoom.wait(delaysMs[Math.min(excess, delaysMs.length) - 1] ?? 0)
  }
