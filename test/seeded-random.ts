import { randomFrom } from './audio-fixtures.ts'

export interface SeededRandom {
  /** 0 ≤ x < 1 */
  next(): number
  /** A whole number, 0 ≤ x < limit. */
  below(limit: number): number
  pick<T>(from: readonly [T, ...T[]]): T
}

/** Repeatable choices for a test that prints its seed. */
export const seededRandom = (seed: number): SeededRandom => {
  const next = randomFrom(seed)
  const below = (limit: number): number => Math.floor(next() * limit)
  const pick = <T>(from: readonly [T, ...T[]]): T => from[below(from.length)] ?? from[0]
  return { next, below, pick }
}
