import assert from 'node:assert/strict'
import { pbkdf2Sync } from 'node:crypto'
import { test } from 'node:test'
import { solveChallenge } from 'altcha-lib'
import { deriveKey } from 'altcha-lib/algorithms/pbkdf2'
import { deriveKeys } from '../../platform/crypto.ts'
import { createMemoryCounters } from '../../providers/rate-limit-store/memory.ts'
import { createPostgresCounters } from '../../providers/rate-limit-store/postgres.ts'
import { createTestDatabase } from '../../../test/database.ts'
import {
  createProofOfWork,
  fewestTries,
  mostTries,
  proofPurposes,
  type ProofChallenge,
} from './proof-of-work.ts'

const keys = deriveKeys('root secret of the tests', []).challenge
const start = new Date(Math.ceil(Date.now() / 1000) * 1000)
const secondsLater = (seconds: number) => ({ now: () => new Date(start.getTime() + seconds * 1000) })

const makeProofs = (own: Partial<Parameters<typeof createProofOfWork>[0]> = {}) =>
  createProofOfWork({
    keys,
    counters: createMemoryCounters(),
    clock: secondsLater(0),
    cost: 1,
    ...own,
  })

const encode = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64')

const solve = async (challenge: ProofChallenge) => {
  const solution = await solveChallenge({ challenge, deriveKey })
  assert.ok(solution)
  return { challenge, solution }
}

test('a challenge is signed, names its purpose and lives ten minutes', async () => {
  const { parameters, signature } = await makeProofs({ cost: 7 }).challenge('mail')
  const { nonce, salt, keyPrefix, ...rest } = parameters
  assert.deepEqual(rest, {
    algorithm: 'PBKDF2/SHA-256',
    cost: 7,
    keyLength: 32,
    expiresAt: start.getTime() / 1000 + 600,
    data: { purpose: 'mail' },
  })
  for (const random of [nonce, salt, keyPrefix]) assert.match(random, /^[0-9a-f]{32}$/)
  assert.match(signature, /^[0-9a-f]{64}$/)
})

test('the number of tries lies between its bounds', async () => {
  const proofs = makeProofs()
  const counters: number[] = []
  for (let round = 0; round < 30; round += 1)
    counters.push((await solve(await proofs.challenge('login'))).solution.counter)
  assert.ok(Math.min(...counters) >= fewestTries && Math.max(...counters) <= mostTries, counters.join(' '))
  assert.ok(new Set(counters).size > 10, counters.join(' '))
})

for (const purpose of proofPurposes)
  test(`a solved challenge of ${purpose} counts once, and for nothing else`, async () => {
    const proofs = makeProofs()
    const proof = encode(await solve(await proofs.challenge(purpose)))
    for (const other of proofPurposes.filter((each) => each !== purpose))
      assert.equal(await proofs.verify(proof, other), false)
    assert.equal(await proofs.verify(proof, purpose), true)
    assert.equal(await proofs.verify(proof, purpose), false)
  })

test('two processes with one PostgreSQL store: ten presentations at once, one counts', async (t) => {
  const { database, close } = await createTestDatabase()
  t.after(close)
  const counters = createPostgresCounters({ pool: database.pool })
  const [one, other] = [makeProofs({ counters }), makeProofs({ counters })]
  const proof = encode(await solve(await one.challenge('register')))
  const verdicts = await Promise.all(
    Array.from({ length: 10 }, (_, turn) => (turn % 2 ? one : other).verify(proof, 'register')),
  )
  assert.deepEqual(verdicts.filter(Boolean), [true])
})

test('it counts until the second it expires, by the application clock', async () => {
  const proof = encode(await solve(await makeProofs().challenge('login')))
  assert.equal(await makeProofs({ clock: secondsLater(599.9) }).verify(proof, 'login'), true)
  assert.equal(await makeProofs({ clock: secondsLater(600) }).verify(proof, 'login'), false)
})

test('with a clock that is far ahead of the machine', async () => {
  const proofs = makeProofs({ clock: secondsLater(90 * 86_400) })
  assert.equal(await proofs.verify(encode(await solve(await proofs.challenge('login'))), 'login'), true)
  const today = encode(await solve(await makeProofs().challenge('login')))
  assert.equal(await proofs.verify(today, 'login'), false)
})

test('a nonce stays claimed in a process whose clock is behind', async () => {
  const counters = createMemoryCounters()
  const proof = encode(await solve(await makeProofs().challenge('login')))
  assert.equal(await makeProofs({ counters }).verify(proof, 'login'), true)
  await counters.hit([{ key: 'sweeps what is over', windowSeconds: 1 }], secondsLater(630).now())
  assert.equal(await makeProofs({ counters, clock: secondsLater(590) }).verify(proof, 'login'), false)
})

const alterations: [name: string, own: Record<string, unknown>][] = [
  ['algorithm', { algorithm: 'PBKDF2/SHA-512' }],
  ['nonce', { nonce: '0'.repeat(32) }],
  ['salt', { salt: '0'.repeat(32) }],
  ['cost', { cost: 2 }],
  ['a huge cost', { cost: 1_000_000_000 }],
  ['keyLength', { keyLength: 16 }],
  ['keyPrefix', {}],
  ['a short keyPrefix', { keyPrefix: '00' }],
  ['expiresAt', { expiresAt: start.getTime() / 1000 + 3600 }],
  ['purpose', { data: { purpose: 'register' } }],
  ['an added field', { keySignature: '0'.repeat(64) }],
  ['an own prototype', JSON.parse('{"__proto__":{"cost":1}}')],
]
for (const [name, own] of alterations)
  test(`altered: ${name}`, async () => {
    const proofs = makeProofs()
    const { parameters, signature } = await proofs.challenge('login')
    // With the prefix of its first try it would be solved: only the signature stands in the way.
    const { nonce, salt, cost } = { ...parameters, ...own }
    const firstTry = Buffer.concat([Buffer.from(nonce, 'hex'), Buffer.alloc(4)])
    const derivedKey = pbkdf2Sync(firstTry, Buffer.from(salt, 'hex'), Math.min(cost, 100), 32, 'sha256')
    const solution = { counter: 0, derivedKey: derivedKey.toString('hex') }
    const altered: object = { ...parameters, keyPrefix: solution.derivedKey.slice(0, 32) }
    for (const [key, value] of Object.entries(own))
      Object.defineProperty(altered, key, { value, enumerable: true })
    const purpose = name === 'purpose' ? 'register' : 'login'
    const forged = encode({ challenge: { parameters: altered, signature }, solution })
    assert.equal(await proofs.verify(forged, purpose), false)
    const signed = { parameters, signature }
    assert.equal(await proofs.verify(encode(await solve(signed)), 'login'), true, 'the true one counts still')
  })

test('a cost of the client\u2019s own is not worked off', async () => {
  const proofs = makeProofs()
  const { challenge, solution } = await solve(await proofs.challenge('login'))
  const dear = { ...challenge, parameters: { ...challenge.parameters, cost: 1_000_000 } }
  const started = performance.now()
  assert.equal(await proofs.verify(encode({ challenge: dear, solution }), 'login'), false)
  assert.ok(performance.now() - started < 100, 'refused by its signature')
})

test('a wrong solution does not use the challenge up', async () => {
  const proofs = makeProofs()
  const { challenge, solution } = await solve(await proofs.challenge('login'))
  const { signature } = await proofs.challenge('login')
  for (const wrong of [
    { challenge, solution: { ...solution, counter: solution.counter - 1 } },
    { challenge, solution: { ...solution, counter: -1 } },
    { challenge, solution: { ...solution, counter: solution.counter + 2 ** 32 } },
    { challenge, solution: { ...solution, counter: String(solution.counter) } },
    { challenge, solution: { ...solution, derivedKey: challenge.parameters.keyPrefix.repeat(2) } },
    { challenge, solution: { ...solution, derivedKey: solution.derivedKey.toUpperCase() } },
    { challenge: { ...challenge, signature }, solution },
    { challenge: { parameters: challenge.parameters }, solution },
  ])
    assert.equal(await proofs.verify(encode(wrong), 'login'), false, JSON.stringify(wrong))
  assert.equal(await proofs.verify(encode({ challenge, solution }), 'login'), true)
})

test('after the secret was rotated a challenge of before counts, one of a stranger does not', async () => {
  const proof = encode(await solve(await makeProofs().challenge('mail')))
  const rotated = deriveKeys('next root secret', ['root secret of the tests']).challenge
  const stranger = deriveKeys('some other secret', []).challenge
  assert.equal(await makeProofs({ keys: stranger }).verify(proof, 'mail'), false)
  assert.equal(await makeProofs({ keys: rotated }).verify(proof, 'mail'), true)
  const newer = encode(await solve(await makeProofs({ keys: rotated }).challenge('mail')))
  assert.equal(await makeProofs().verify(newer, 'mail'), false)
  assert.equal(await makeProofs({ keys: rotated }).verify(newer, 'mail'), true)
})

test('anything else is false, at once, whatever its form', async () => {
  const proofs = makeProofs()
  const huge = 'A'.repeat(1024 * 1024)
  const deep = Buffer.from('['.repeat(3000)).toString('base64')
  const things = [undefined, null, true, 0, 42, Number.NaN, 10n, Symbol('x'), () => 1, {}, [], ['a'], start]
  const texts = ['', ' ', 'null', '{}', 'abc', '%%%', '\0', '\ud800', huge, deep]
  const documents = [null, 1, 'x', [], {}, { challenge: null }, { challenge: {}, solution: {} }].map(encode)
  const started = performance.now()
  for (const each of [...things, ...texts, ...documents])
    assert.equal(await proofs.verify(each, 'login'), false)
  assert.ok(performance.now() - started < 500)
})

test('deriving leaves the event loop alone', async () => {
  const proofs = makeProofs({ cost: 300_000 })
  let turns = 0
  const ticker = setInterval(() => (turns += 1), 2)
  await proofs.challenge('login')
  clearInterval(ticker)
  assert.ok(turns > 5, `only ${turns} turns`)
})

for (const cost of [0, -1, 1.5, Number.NaN, 1_000_001])
  test(`a cost of ${cost} is refused at the start`, () =>
    assert.throws(() => makeProofs({ cost }), /POW_COST/))
