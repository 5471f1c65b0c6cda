import assert from 'node:assert/strict'
import { createHash, scryptSync } from 'node:crypto'
import { createServer, type RequestListener } from 'node:http'
import { after, test, type TestContext } from 'node:test'
import { AppError } from '../../platform/errors.ts'
import { createPasswords } from './passwords.ts'

const passwords = createPasswords()
after(() => passwords.close())

const email = 'anna.wierzbicka@dom-pod-lasem.pl'
const composed = 'zażółć gęślą'.normalize('NFC')
const decomposed = composed.normalize('NFD')

const v1Hash = (password: string, parameters = 'scrypt:32768:8:1'): string => {
  const salt = 'Ab3dEf6hIj9kLm2n'
  const key = scryptSync(password, salt, 64, {
    cost: 32_768,
    blockSize: 8,
    parallelization: 1,
    maxmem: 64 * 1024 ** 2,
  })
  return `${parameters}$${salt}$${key.toString('hex')}`
}

const refusesWith = (code: string) => (error: unknown) => error instanceof AppError && error.code === code

test('hashes with argon2id at the required cost, with a new salt each time', async () => {
  const [one, other] = await Promise.all([
    passwords.hash('zamek w chmurach'),
    passwords.hash('zamek w chmurach'),
  ])
  assert.match(one, /^\$argon2id\$v=19\$m=19456,t=2,p=1\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}$/)
  assert.notEqual(one, other)
})

test('the right password opens its hash, another does not', async () => {
  const stored = await passwords.hash('zamek w chmurach')
  assert.deepEqual(await passwords.verify('zamek w chmurach', stored), { ok: true, needsRehash: false })
  assert.deepEqual(await passwords.verify('zamek w chmurach ', stored), { ok: false, needsRehash: false })
})

test('composed and decomposed spellings are one password', async () => {
  assert.notEqual(composed, decomposed)
  assert.equal((await passwords.verify(decomposed, await passwords.hash(composed))).ok, true)
  assert.equal((await passwords.verify(composed, await passwords.hash(decomposed))).ok, true)
})

test('a hash of other parameters is opened and asks for a new one', async () => {
  const stronger = createPasswords({ memoryKib: 32_768, timeCost: 3 })
  const stored = await stronger.hash('zamek w chmurach')
  assert.deepEqual(await passwords.verify('zamek w chmurach', stored), { ok: true, needsRehash: true })
  assert.deepEqual(await passwords.verify('inne', stored), { ok: false, needsRehash: false })
})

test('v1 hashes are opened and replaced', async () => {
  const stored = v1Hash('Stare haslo 7')
  assert.deepEqual(await passwords.verify('Stare haslo 7', stored), { ok: true, needsRehash: true })
  assert.deepEqual(await passwords.verify('stare haslo 7', stored), { ok: false, needsRehash: false })
})

test('v1 hashes: the text as sent, then its NFC form', async () => {
  assert.equal((await passwords.verify(decomposed, v1Hash(decomposed))).ok, true)
  assert.equal((await passwords.verify(decomposed, v1Hash(composed))).ok, true)
  assert.equal((await passwords.verify(composed, v1Hash(decomposed))).ok, false)
})

const salt16 = 'A'.repeat(22)
const digest32 = 'B'.repeat(43)
for (const stored of [
  v1Hash('tajne haslo', 'scrypt:524288:8:1'),
  v1Hash('tajne haslo', 'scrypt:32768:8:11'),
  v1Hash('tajne haslo', 'scrypt:32767:8:1'),
  `$argon2id$v=19$m=262145,t=2,p=1$${salt16}$${digest32}`,
  `$argon2id$v=19$m=19456,t=11,p=1$${salt16}$${digest32}`,
  `$argon2i$v=19$m=19456,t=2,p=1$${salt16}$${digest32}`,
  'pbkdf2:sha256:260000$abc$00',
  '',
]) {
  test(`refuses and reports the stored form ${stored.slice(0, 32)}`, async () => {
    const reports: string[] = []
    const own = createPasswords({ report: (problem) => reports.push(problem) })
    assert.deepEqual(await own.verify('tajne haslo', stored), { ok: false, needsRehash: false })
    assert.deepEqual(reports, ['stored_hash_refused'])
  })
}

test('more than 1,024 bytes are wrong without hashing', async () => {
  const atLimit = 'ż'.repeat(512)
  const stored = await passwords.hash(atLimit)
  assert.equal((await passwords.verify(atLimit, stored)).ok, true)
  const closed = createPasswords({ concurrency: 0, waitingLimit: 0 })
  const long = 'x'.repeat(1025)
  assert.deepEqual(await closed.verify(long, stored), { ok: false, needsRehash: false })
  assert.deepEqual(await closed.verify(`${atLimit}x`, stored), { ok: false, needsRehash: false })
  await closed.dummyVerify(long)
  // The same gate refuses whatever would be hashed, so nothing above was.
  await assert.rejects(closed.verify(atLimit, stored), refusesWith('unavailable'))
  await assert.rejects(passwords.hash(long), refusesWith('password_long'))
})

test('the crowd beyond the waiting limit is refused, the rest is served', async (t) => {
  const own = createPasswords({ concurrency: 1, waitingLimit: 4 })
  t.after(() => own.close())
  const results = await Promise.allSettled(Array.from({ length: 8 }, () => own.hash('zamek w chmurach')))
  const refused = results.filter((result) => result.status === 'rejected')
  assert.equal(refused.length, 3)
  for (const { reason } of refused) {
    assert.ok(refusesWith('unavailable')(reason))
    assert.ok(reason.details.retryAfterSeconds >= 1)
  }
  assert.match(await own.hash('zamek w chmurach'), /^\$argon2id/)
})

test('an unknown account costs about what a known one costs', async () => {
  const stored = await passwords.hash('zamek w chmurach')
  const median = async (work: () => Promise<unknown>): Promise<number> => {
    const times: number[] = []
    for (let round = 0; round < 15; round += 1) {
      const start = performance.now()
      await work()
      times.push(performance.now() - start)
    }
    return times.sort((a, b) => a - b)[7] ?? 0
  }
  const known = await median(() => passwords.verify('zle haslo', stored))
  const unknown = await median(() => passwords.dummyVerify('zle haslo'))
  // Wide on purpose: a missing verification would be a hundred times faster, a busy machine is not.
  assert.ok(unknown > known / 4 && unknown < known * 4, `known ${known} ms, unknown ${unknown} ms`)
})

test('parameters that no login could use are refused at construction', () => {
  assert.throws(() => createPasswords({ memoryKib: 262_145 }))
  assert.throws(() => createPasswords({ timeCost: 11 }))
})

test('length is counted in code points of the NFC form', async () => {
  assert.equal(await passwords.assess('🐉🦊🐻🐸', email), 'short')
  assert.equal(await passwords.assess('🐉🦊🐻🐸🐰🐼🦁🐯', email), 'ok')
  // Ten code points as sent, seven after composition.
  assert.equal(await passwords.assess('zaz\u0307o\u0301lc\u0301x'.normalize('NFD'), email), 'short')
  const varied = Array.from({ length: 129 }, (_, place) => String.fromCodePoint(0x4e_00 + place * 37)).join(
    '',
  )
  assert.equal(await passwords.assess(varied, email), 'long')
  assert.equal(await passwords.assess(varied.slice(1), email), 'ok')
  assert.equal(await passwords.assess('x'.repeat(1024 * 1024), email), 'long')
})

for (const weak of [
  'haslo123',
  'hasło123',
  'Haslo123!',
  'dawnotemu1',
  'Dawnotemu2026!',
  'bajka123',
  'PunktyMagii1',
  'qwertyuiop',
  'kochamcie1',
  'ksiazka12',
  'anna.wierzbicka12',
  'AnnaWierzbicka2024',
  'wierzbicka1987',
  'aaaaaaaaaaaaaaaa',
]) {
  test(`weak: ${weak}`, async () => assert.equal(await passwords.assess(weak, email), 'weak'))
}

test('weak: the local part of any address with digits', async () => {
  assert.equal(await passwords.assess('qzvtrwxk84731', 'qzvtrwxk@example.pl'), 'weak')
  assert.equal(await passwords.assess('qzvtrwxk84731', email), 'ok')
})

for (const strong of [
  'zamek smok księżyc rower',
  'zamek smok ksiezyc rower',
  'mama piecze pyszne pierogi',
  'kR7#vQ2!xLp',
])
  test(`ok: ${strong}`, async () => assert.equal(await passwords.assess(strong, email), 'ok'))

test('estimating does not hold up the event loop', async () => {
  const slowest = Array.from({ length: 128 }, (_, place) =>
    String.fromCodePoint(33 + ((place * 7919) % 90)),
  ).join('')
  let turns = 0
  const ticker = setInterval(() => (turns += 1), 5)
  assert.equal(await passwords.assess(slowest, email).finally(() => clearInterval(ticker)), 'ok')
  assert.ok(turns > 3, `only ${turns} turns`)
})

const rangeService = async (t: TestContext, answer: RequestListener): Promise<string> => {
  const server = createServer(answer)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  const address = server.address()
  return typeof address === 'object' && address ? `http://127.0.0.1:${address.port}/range` : ''
}

const phrase = 'zamek smok księżyc rower'
const sha1 = createHash('sha1').update(phrase.normalize('NFC')).digest('hex').toUpperCase()

test('breach query: five digits leave the server, a known password is weak', async (t) => {
  const seen: string[] = []
  const url = await rangeService(t, (request, response) => {
    seen.push(request.url ?? '')
    response.end(`0018A45C4D1DEF81644B54AB7F969B88D65:3\r\n${sha1.slice(5)}:42\r\n`)
  })
  const own = createPasswords({ breachedPasswordUrl: url })
  t.after(() => own.close())
  assert.equal(await own.assess(phrase, email), 'weak')
  assert.equal(await own.assess('zupełnie inna długa fraza', email), 'ok')
  assert.equal(seen[0], `/range/${sha1.slice(0, 5)}`)
  assert.ok(seen.every((path) => /^\/range\/[0-9A-F]{5}$/.test(path)))
})

test('breach query: padding lines do not count', async (t) => {
  const url = await rangeService(t, (_request, response) => response.end(`${sha1.slice(5)}:0\r\n`))
  const own = createPasswords({ breachedPasswordUrl: url })
  t.after(() => own.close())
  assert.equal(await own.assess(phrase, email), 'ok')
})

test('breach query: an already weak password is not asked about', async (t) => {
  let queries = 0
  const url = await rangeService(t, (_request, response) => {
    queries += 1
    response.end()
  })
  const own = createPasswords({ breachedPasswordUrl: url })
  t.after(() => own.close())
  assert.equal(await own.assess('haslo123', email), 'weak')
  assert.equal(queries, 0)
})

const failures: Record<string, RequestListener> = {
  'no answer in 1 s': () => {},
  'a body that never ends': (_request, response) =>
    void response.write('0018A45C4D1DEF81644B54AB7F969B88D65:3\r\n'),
  'a fault': (_request, response) => void response.writeHead(503).end(`${sha1.slice(5)}:42`),
  'a redirect': (_request, response) => void response.writeHead(302, { location: '/elsewhere' }).end(),
  'an endless flood': (_request, response) => void response.end('A'.repeat(2 * 1024 * 1024)),
}
for (const [name, answer] of Object.entries(failures)) {
  test(`breach query fails open and is reported: ${name}`, async (t) => {
    const url = await rangeService(t, answer)
    const reports: string[] = []
    const own = createPasswords({ breachedPasswordUrl: url, report: (problem) => reports.push(problem) })
    t.after(() => own.close())
    await own.assess('haslo123', email)
    const start = performance.now()
    assert.equal(await own.assess(phrase, email), 'ok')
    assert.ok(performance.now() - start < 2500)
    assert.deepEqual(reports, ['breach_query_failed'])
  })
}
