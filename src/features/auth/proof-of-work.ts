import { randomInt } from 'node:crypto'
import { createChallenge, verifySolution } from 'altcha-lib'
import { deriveKey } from 'altcha-lib/algorithms/pbkdf2'
import { Type, type Static } from 'typebox'
import { Value } from 'typebox/value'
import type { Clock } from '../../platform/clock.ts'
import type { PurposeKeys } from '../../platform/crypto.ts'
import type { RateLimitStore } from '../../providers/rate-limit-store/rate-limit-store.ts'

export const proofPurposes = ['register', 'login', 'mail'] as const
export type ProofPurpose = (typeof proofPurposes)[number]
export const proofPurposeSchema = Type.Enum([...proofPurposes])

export const challengeLifeSeconds = 600

/**
 * PBKDF2 passes a try. Measured with `npm run bench:proof` (one core of an EPYC server): 0.9 ms a try in Node, 1.0 to
 * 1.5 ms in Chromium's WebCrypto, up to 0.4 ms of it for the call itself. A mid-range phone is taken to be 3.5 times
 * slower, which makes the tries below 0.5 to 2 s there in one thread. The server pays for two tries, one to make and one
 * to check a challenge.
 */
export const defaultPowCost = 5000
export const fewestTries = 120
export const mostTries = 480

// The server runs one derivation of this many passes per challenge and per proof: about 0.2 s of one core.
const highestCost = 1_000_000
const longestProof = 4096
// Processes whose clocks differ must not take a nonce again that another of them has already forgotten.
const clockSkewSeconds = 60

const hex = (length: number) => Type.String({ pattern: `^[0-9a-f]{${length}}$` })

/** An ALTCHA v2 challenge. Nothing may be added: what the signature covers is what is checked. */
export const challengeSchema = Type.Object(
  {
    parameters: Type.Object(
      {
        algorithm: Type.Literal('PBKDF2/SHA-256'),
        nonce: hex(32),
        salt: hex(32),
        cost: Type.Integer({ minimum: 1, maximum: highestCost, description: 'Passes of one try' }),
        keyLength: Type.Literal(32),
        keyPrefix: hex(32),
        expiresAt: Type.Integer({ minimum: 1, description: 'Seconds since 1970' }),
        data: Type.Object({ purpose: proofPurposeSchema }, { additionalProperties: false }),
      },
      { additionalProperties: false },
    ),
    signature: hex(64),
  },
  { additionalProperties: false },
)
export type ProofChallenge = Static<typeof challengeSchema>

const proofSchema = Type.Object({
  challenge: challengeSchema,
  solution: Type.Object({
    counter: Type.Integer({ minimum: 0, maximum: 2 ** 32 - 1 }),
    derivedKey: hex(64),
  }),
})
type Proof = Static<typeof proofSchema>

export interface ProofOfWork {
  /** A signed challenge that lives 10 min. */
  challenge(purpose: ProofPurpose): Promise<ProofChallenge>
  /** True once for a solved, live challenge of ours and of this purpose; false for anything else, whatever its form. */
  verify(proof: unknown, purpose: ProofPurpose): Promise<boolean>
}

const parseProof = (proof: unknown): Proof | null => {
  if (typeof proof !== 'string' || proof.length > longestProof) return null
  try {
    const parsed: unknown = JSON.parse(Buffer.from(proof, 'base64').toString('utf8'))
    return Value.Check(proofSchema, parsed) ? parsed : null
  } catch {
    return null
  }
}

const hmacSecret = (key: Uint8Array): string => Buffer.from(key).toString('base64url')

/**
 * Self-hosted ALTCHA challenges. The client derives keys for the counters 0, 1, 2 … until one begins with `keyPrefix`.
 * The prefix is made from a counter of our choice, so the wait lies between two known bounds; looking for any key that
 * begins with zeros would sometimes take five times its mean. Throws for a cost above one million passes.
 */
export const createProofOfWork = (deps: {
  keys: PurposeKeys
  counters: Pick<RateLimitStore, 'claim'>
  clock: Clock
  /** PBKDF2 passes a try; null for the measured default. */
  cost: number | null
}): ProofOfWork => {
  const { keys, counters, clock } = deps
  const cost = deps.cost ?? defaultPowCost
  if (!Number.isInteger(cost) || cost < 1 || cost > highestCost)
    throw new Error(`POW_COST must be a whole number from 1 to ${highestCost}`)

  const challenge: ProofOfWork['challenge'] = async (purpose) => {
    const made = await createChallenge({
      algorithm: 'PBKDF2/SHA-256',
      cost,
      counter: randomInt(fewestTries, mostTries + 1),
      deriveKey,
      keyLength: 32,
      expiresAt: Math.floor(clock.now().getTime() / 1000) + challengeLifeSeconds,
      data: { purpose },
      hmacSignatureSecret: hmacSecret(keys.current),
    })
    return Value.Parse(challengeSchema, made)
  }

  /** Signature first: only a cost that we set ourselves is ever worked off. */
  const isSolved = async (proof: Proof): Promise<boolean> => {
    for (const key of keys.all) {
      const { verified, invalidSignature } = await verifySolution({
        ...proof,
        deriveKey,
        hmacSignatureSecret: hmacSecret(key),
      })
      if (!invalidSignature) return verified
    }
    return false
  }

  const verify: ProofOfWork['verify'] = async (given, purpose) => {
    const proof = parseProof(given)
    if (proof === null) return false
    const { nonce, expiresAt, data } = proof.challenge.parameters
    const now = clock.now()
    const secondsLeft = expiresAt - now.getTime() / 1000
    if (data.purpose !== purpose || secondsLeft <= 0) return false
    // The library has its own expiry check against the machine's clock, which ours trails in no real environment.
    if (!(await isSolved(proof))) return false
    // Last, so that a wrong solution does not use the challenge up.
    return counters.claim(`proof:${nonce}`, Math.ceil(secondsLeft) + clockSkewSeconds, now)
  }

  return { challenge, verify }
}
