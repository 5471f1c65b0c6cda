import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { readFile, readdir } from 'node:fs/promises'
import { test, type TestContext } from 'node:test'
import { promisify, inspect } from 'node:util'
import { AppError } from '../../platform/errors.ts'
import { createHashThreads } from './hash-threads.ts'

const parameters = { memoryCost: 19_456, timeCost: 2, parallelism: 1, outputLen: 32 }
const secret = 'zamek w chmurach'

const makeThreads = (t: TestContext, own: Partial<Parameters<typeof createHashThreads>[0]> = {}) => {
  const threads = createHashThreads({ threads: 2, waitingLimit: 64, ...own })
  t.after(() => threads.close())
  return threads
}

/** A thread that does with each job what `body` says; `job` and `parentPort` are in scope. */
const scripted = (body: string): URL =>
  new URL(
    `data:text/javascript,${encodeURIComponent(
      `import { parentPort } from 'node:worker_threads'\nparentPort.on('message', (job) => { ${body} })`,
    )}`,
  )

const isUnavailable = (error: unknown): boolean =>
  error instanceof AppError &&
  error.code === 'unavailable' &&
  error.details.retryAfterSeconds === 2 &&
  !inspect(error, { depth: 10 }).includes(secret)

test('hashes and checks, more jobs than threads', async (t) => {
  const threads = makeThreads(t)
  const hashes = await Promise.all(Array.from({ length: 6 }, () => threads.hash(secret, parameters)))
  assert.equal(new Set(hashes).size, 6)
  const verdicts = await Promise.all(
    hashes.flatMap((phc) => [threads.verify(secret, phc), threads.verify('inne', phc)]),
  )
  assert.deepEqual(
    verdicts,
    hashes.flatMap(() => [true, false]),
  )
})

test('the event loop goes on meanwhile', async (t) => {
  const threads = makeThreads(t)
  let turns = 0
  const ticker = setInterval(() => (turns += 1), 2)
  await Promise.all(Array.from({ length: 8 }, () => threads.hash(secret, parameters)))
  clearInterval(ticker)
  assert.ok(turns > 5, `only ${turns} turns`)
})

test('a thread that ends during a job fails that job without its password, the next one gets another', async (t) => {
  const script = scripted(
    `if (job.password === 'crash') throw new Error('was given ${secret}'); parentPort.postMessage(true)`,
  )
  const threads = makeThreads(t, { threads: 1, script })
  const results = await Promise.allSettled(
    ['good', 'crash', 'good', 'crash', 'good'].map((password) => threads.verify(password, '')),
  )
  assert.deepEqual(
    results.map((result) => (result.status === 'fulfilled' ? result.value : isUnavailable(result.reason))),
    [true, true, true, true, true],
  )
  assert.deepEqual(
    results.map(({ status }) => status),
    ['fulfilled', 'rejected', 'fulfilled', 'rejected', 'fulfilled'],
  )
})

test('a thread that ends while idle is replaced', async (t) => {
  const script = scripted('parentPort.postMessage(true); setTimeout(() => process.exit(3), 5)')
  const threads = makeThreads(t, { threads: 1, script })
  for (let round = 0; round < 3; round += 1) {
    assert.equal(await threads.verify(secret, ''), true)
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
})

test('work that fails in the thread is a fault that does not quote the password', async (t) => {
  const threads = makeThreads(t, { threads: 1 })
  await assert.rejects(threads.verify(secret, `not a hash of ${secret}`), (error) => {
    assert.ok(error instanceof Error && !(error instanceof AppError))
    assert.ok(!inspect(error, { depth: 10 }).includes(secret))
    return true
  })
  assert.match(await threads.hash(secret, parameters), /^\$argon2id/, 'the thread goes on')
})

test('more than may wait are refused at once, and their places come back', async (t) => {
  const threads = makeThreads(t, { threads: 1, waitingLimit: 2 })
  const asked = await Promise.allSettled(Array.from({ length: 5 }, () => threads.hash(secret, parameters)))
  assert.deepEqual(
    asked.map(({ status }) => status),
    ['fulfilled', 'fulfilled', 'fulfilled', 'rejected', 'rejected'],
  )
  assert.match(await threads.hash(secret, parameters), /^\$argon2id/)
})

test('closing refuses what is under way, what waits and what comes later', async () => {
  const threads = createHashThreads({ threads: 1, waitingLimit: 64, script: scripted('') })
  const pending = Promise.allSettled([threads.verify(secret, ''), threads.verify(secret, '')])
  await new Promise((resolve) => setTimeout(resolve, 50))
  await threads.close()
  for (const result of [...(await pending), ...(await Promise.allSettled([threads.verify(secret, '')]))])
    assert.ok(result.status === 'rejected' && isUnavailable(result.reason))
})

/** Priorities of the threads of this process, by Linux's `stat` of each. */
const nicenesses = async (): Promise<number[]> => {
  const ids = await readdir('/proc/self/task')
  return Promise.all(
    ids.map(async (id) => {
      const stat = await readFile(`/proc/self/task/${id}/stat`, 'utf8')
      return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[16])
    }),
  )
}

test('as many threads as asked, of low priority, from the first jobs on', async (t) => {
  if (process.platform !== 'linux') return t.skip('priorities of single threads are Linux only')
  const own = (await nicenesses())[0] ?? 0
  const lowered = async () => (await nicenesses()).filter((each) => each > own).length
  assert.equal(await lowered(), 0)
  const threads = makeThreads(t, { threads: 2 })
  assert.equal(await lowered(), 0)
  await Promise.all(Array.from({ length: 6 }, () => threads.hash(secret, parameters)))
  // A thread of V8's or libuv's that a hashing thread starts inherits its priority; the main ones keep theirs.
  assert.ok((await lowered()) >= 2)
  assert.equal((await nicenesses())[0], own)
})

test('an idle thread keeps no process alive, a working one does', async () => {
  const source = `
    const { createHashThreads } = await import(${JSON.stringify(new URL('hash-threads.ts', import.meta.url))})
    const threads = createHashThreads({ threads: 2, waitingLimit: 1 })
    const phc = await threads.hash('x', ${JSON.stringify(parameters)})
    process.stdout.write(String(await threads.verify('x', phc)))`
  const run = promisify(execFile)(process.execPath, ['--input-type=module', '-e', source], {
    timeout: 20_000,
  })
  assert.equal((await run).stdout, 'true')
})
