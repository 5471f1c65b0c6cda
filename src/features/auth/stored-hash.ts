/** The password hashes we can check: our argon2id PHC strings and v1's scrypt form. */
export type StoredHash =
  | { scheme: 'argon2id'; memoryKib: number; timeCost: number; parallelism: number; phc: string }
  | { scheme: 'scrypt'; cost: number; blockSize: number; parallelism: number; salt: Buffer; key: Buffer }

// Above these a stored row would be a way to exhaust the process, so it is refused, not run.
export const hashCeilings = {
  scryptWork: 2 ** 21,
  memoryKib: 256 * 1024,
  timeCost: 10,
  parallelism: 16,
} as const

const argon2Form =
  /^\$argon2id\$v=19\$m=(\d{1,9}),t=(\d{1,9}),p=(\d{1,3})\$[A-Za-z0-9+/]{11,86}\$[A-Za-z0-9+/]{16,86}$/
const scryptForm = /^scrypt:(\d{1,9}):(\d{1,9}):(\d{1,3})\$([A-Za-z0-9]{8,64})\$((?:[0-9a-f]{2}){16,64})$/

const within = (value: number, ceiling: number): boolean => value >= 1 && value <= ceiling

const isPowerOfTwo = (value: number): boolean => value > 1 && Number.isInteger(Math.log2(value))

const parseArgon2 = (stored: string): StoredHash | null => {
  const [, memory, time, lanes] = argon2Form.exec(stored) ?? []
  const memoryKib = Number(memory)
  const timeCost = Number(time)
  const parallelism = Number(lanes)
  const isSafe =
    within(memoryKib, hashCeilings.memoryKib) &&
    within(timeCost, hashCeilings.timeCost) &&
    within(parallelism, hashCeilings.parallelism)
  return isSafe ? { scheme: 'argon2id', memoryKib, timeCost, parallelism, phc: stored } : null
}

const parseScrypt = (stored: string): StoredHash | null => {
  const [, n, r, p, salt, key] = scryptForm.exec(stored) ?? []
  const cost = Number(n)
  const blockSize = Number(r)
  const parallelism = Number(p)
  const isSafe =
    isPowerOfTwo(cost) &&
    within(cost * blockSize, hashCeilings.scryptWork) &&
    within(parallelism, hashCeilings.timeCost)
  if (!isSafe || salt === undefined || key === undefined) return null
  // v1 (werkzeug) used the salt's characters themselves as the salt bytes.
  return {
    scheme: 'scrypt',
    cost,
    blockSize,
    parallelism,
    salt: Buffer.from(salt, 'ascii'),
    key: Buffer.from(key, 'hex'),
  }
}

/** Null for an unknown form and for parameters above the ceilings (N·r 2²¹, 256 MiB, 10 passes). */
export const parseStoredHash = (stored: string): StoredHash | null =>
  stored.startsWith('scrypt:') ? parseScrypt(stored) : parseArgon2(stored)
