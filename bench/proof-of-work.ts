/**
 * What a proof of work costs: `npm run bench:proof`. Solves 40 challenges of the default cost in one thread with
 * WebCrypto, checks them, and measures a single try in Chromium where there is one. A mid-range phone is assumed to be
 * 3.5 times slower in one thread than this machine.
 */
import { access } from 'node:fs/promises'
import { randomBytes } from 'node:crypto'
import { loadavg } from 'node:os'
import { solveChallenge } from 'altcha-lib'
import { deriveKey } from 'altcha-lib/algorithms/web/pbkdf2'
import { chromium } from 'playwright-core'
import {
  createProofOfWork,
  defaultPowCost,
  fewestTries,
  mostTries,
} from '../src/features/auth/proof-of-work.ts'
import { systemClock } from '../src/platform/clock.ts'
import { deriveKeys } from '../src/platform/crypto.ts'
import { createMemoryCounters } from '../src/providers/rate-limit-store/memory.ts'

const phoneFactor = 3.5
const rounds = 40
const executablePath = '/usr/bin/chromium'

/** One import and one derivation at a time, as a solver in a page does it; milliseconds a try. */
const tryInChromium = async (): Promise<number | null> => {
  const isThere = await access(executablePath).then(
    () => true,
    () => false,
  )
  if (!isThere) return null
  const browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-gpu'] })
  try {
    const page = await browser.newPage()
    // WebCrypto needs a secure context; nothing is fetched for it.
    await page.route('**/*', (route) => route.fulfill({ contentType: 'text/html', body: '' }))
    await page.goto('http://localhost/')
    return await page.evaluate(async (cost) => {
      const tries = 300
      const salt = new Uint8Array(16)
      const started = performance.now()
      for (let index = 0; index < tries; index += 1) {
        const secret = new TextEncoder().encode(String(index))
        const key = await crypto.subtle.importKey('raw', secret, { name: 'PBKDF2' }, false, ['deriveBits'])
        const algorithm = { name: 'PBKDF2', salt, iterations: cost, hash: 'SHA-256' }
        await crypto.subtle.deriveBits(algorithm, key, 256)
      }
      return (performance.now() - started) / tries
    }, defaultPowCost)
  } finally {
    await browser.close()
  }
}

const timed = async <T>(work: () => Promise<T>): Promise<[T, number]> => {
  const started = performance.now()
  return [await work(), performance.now() - started]
}

const describe = (times: readonly number[]): string => {
  const sorted = times.toSorted((left, right) => left - right)
  const at = (share: number) => (sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? 0).toFixed(1)
  return `lowest ${at(0)}, p50 ${at(0.5)}, p95 ${at(0.95)}, highest ${at(1)} ms`
}

const proofs = createProofOfWork({
  keys: deriveKeys(randomBytes(32).toString('hex'), []).challenge,
  counters: createMemoryCounters(),
  clock: systemClock,
  cost: null,
})
const making: number[] = []
const solving: number[] = []
const checking: number[] = []
let tries = 0
for (let round = 0; round < rounds; round += 1) {
  const [challenge, making1] = await timed(() => proofs.challenge('login'))
  const [solution, solving1] = await timed(() => solveChallenge({ challenge, deriveKey }))
  const proof = Buffer.from(JSON.stringify({ challenge, solution })).toString('base64')
  const [isValid, checking1] = await timed(() => proofs.verify(proof, 'login'))
  if (!isValid || !solution) throw new Error('a solved challenge was not accepted')
  making.push(making1)
  solving.push(solving1)
  checking.push(checking1)
  tries += solution.counter + 1
}
const nodeTry = solving.reduce((sum, time) => sum + time, 0) / tries
const onPhone = (milliseconds: number): string =>
  [fewestTries, mostTries].map((each) => ((each * milliseconds * phoneFactor) / 1000).toFixed(2)).join(' to ')

const chromiumTry = await tryInChromium()
console.log(
  `load average    ${loadavg()
    .map((each) => each.toFixed(2))
    .join(' ')}`,
)
console.log(`cost            ${defaultPowCost} passes a try, ${fewestTries} to ${mostTries} tries`)
console.log(`make            ${describe(making)}`)
console.log(`solve (Node)    ${describe(solving)}; ${nodeTry.toFixed(2)} ms a try`)
console.log(`check           ${describe(checking)}`)
console.log(`phone, as Node  ${onPhone(nodeTry)} s, taken to be ${phoneFactor} times slower`)
if (chromiumTry === null) console.log('Chromium        not measured: not installed')
else {
  console.log(`Chromium        ${chromiumTry.toFixed(2)} ms a try`)
  console.log(`phone, as that  ${onPhone(chromiumTry)} s, taken to be ${phoneFactor} times slower`)
}
