import { scryptSync, timingSafeEqual } from 'node:crypto'
import { parentPort } from 'node:worker_threads'
import { hashSync, verifySync } from '@node-rs/argon2'
import { lowerPriority } from '../../platform/lower-priority.ts'
import type { HashAnswer, HashJob, ScryptKey } from './hash-threads.ts'

// Requests and PostgreSQL then take the processor as they need it, and hashing gets the rest.
lowerPriority(0)

const scryptMatches = (password: string, { cost, blockSize, parallelism, salt, key }: ScryptKey): boolean => {
  // Node refuses at its default 32 MiB, which is just what v1's parameters need; the ceilings bound this already.
  const maxmem = 128 * blockSize * (cost + parallelism + 2)
  const options = { cost, blockSize, parallelization: parallelism, maxmem }
  return timingSafeEqual(scryptSync(password, salt, key.length, options), key)
}

const work = (job: HashJob): HashAnswer => {
  switch (job.kind) {
    case 'hash':
      return hashSync(job.password, job.parameters)
    case 'verify':
      return verifySync(job.phc, job.password)
    case 'scrypt':
      return job.forms.some((form) => scryptMatches(form, job.stored))
  }
}

parentPort?.on('message', (job: HashJob) => {
  let answer: HashAnswer
  try {
    answer = work(job)
  } catch {
    // Without the error: what failed was given a password.
    answer = null
  }
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread's port has no origin
  parentPort?.postMessage(answer)
})
