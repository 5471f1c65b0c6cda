import assert from 'node:assert/strict'
import { after, afterEach, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { Type } from 'typebox'
import { createTestDatabase, type TestDatabase } from '../../../test/database.ts'
import { recordingLogger } from '../../../test/logger.ts'
import {
  createJobs,
  deadLetterQueue,
  defineJob,
  handleJob,
  JobHandedBack,
  migrateJobs,
  type Jobs,
  type JobType,
} from './jobs.ts'

const payload = Type.Object({ number: Type.Integer() })
const base = { payload, retryLimit: 1, retryDelaySeconds: 0, limitSeconds: 120 }
const jobType = (name: string, own: Partial<JobType<typeof payload>> = {}) =>
  defineJob({ ...base, ...own, name })

const types = {
  commit: jobType('test.commit'),
  prompt: jobType('test.prompt'),
  refused: jobType('test.refused'),
  failing: jobType('test.failing', { retryLimit: 2 }),
  later: jobType('test.later'),
  many: jobType('test.many', { concurrency: 5 }),
  single: jobType('test.single'),
  singleRace: jobType('test.single-race'),
  drain: jobType('test.drain', { concurrency: 1 }),
  back: jobType('test.back'),
  aborted: jobType('test.aborted'),
  deaf: jobType('test.deaf'),
  limit: jobType('test.limit', { limitSeconds: 1, retryLimit: 0 }),
}

let bench: TestDatabase
const logger = recordingLogger()
const options = (own: { concurrency?: number; onFailure?: (name: string, error: unknown) => void } = {}) => ({
  databaseUrl: bench.url,
  types: Object.values(types),
  logger,
  concurrency: 5,
  applicationName: 'test-jobs',
  ...own,
})

/** Queues without working: what a web process does. */
let web: Jobs
before(async () => {
  bench = await createTestDatabase()
  await migrateJobs(options())
  web = await createJobs(options())
})
after(async () => {
  await web.stop(5)
  await bench.close()
})
// A test that expects logged errors takes them out of the list itself.
afterEach(() => assert.deepEqual(logger.lines, []))

const enqueue = (
  type: JobType<typeof payload>,
  number: number,
  own?: { startAfterSeconds?: number; singletonKey?: string },
) => bench.database.transaction((tx) => web.enqueue(tx, type, { number }, own))

const rowsOf = async (name: string) =>
  (
    await bench.database.pool.query<{ id: string; state: string; data: unknown; output: unknown }>(
      'select id, state::text, data, output from pgboss.job where name = $1 order by created_on',
      [name],
    )
  ).rows

const eventually = async (
  isSo: () => boolean | Promise<boolean>,
  what: string,
  timeoutMs = 20_000,
): Promise<void> => {
  const deadline = Date.now() + timeoutMs
  while (!(await isSo())) {
    if (Date.now() > deadline) throw new Error(`gave up waiting for ${what}`)
    await sleep(20)
  }
}

/** A promise and the function that resolves it. */
const signalOf = <T>() => {
  let resolve: (value: T) => void = () => undefined
  const promise = new Promise<T>((done) => (resolve = done))
  return { promise, resolve }
}

test('making the queues twice changes nothing', async () => {
  const read = () =>
    bench.database.pool.query('select name, retry_limit, dead_letter from pgboss.queue order by name')
  const before = (await read()).rows
  await migrateJobs(options())
  assert.deepEqual((await read()).rows, before)
})

test('a job exists if and only if its transaction commits', async () => {
  let id = ''
  const undone = bench.database.transaction(async (tx) => {
    id = await web.enqueue(tx, types.commit, { number: 1 })
    throw new Error('the rest failed')
  })
  await assert.rejects(undone, /the rest failed/)
  assert.equal(await web.find(types.commit, id), null)
  assert.deepEqual(await rowsOf(types.commit.name), [])
  const kept = await enqueue(types.commit, 2)
  assert.deepEqual(await web.find(types.commit, kept), {
    state: 'created',
    payload: { number: 2 },
    endedAt: null,
  })
})

test('a payload of another shape is refused, with nothing queued', async () => {
  for (const wrong of [{}, { number: 'two' }, { number: 1.5 }, null, []])
    await assert.rejects(
      bench.database.transaction((tx) => web.enqueue(tx, types.refused, wrong as { number: number })),
      JSON.stringify(wrong),
    )
  assert.deepEqual(await rowsOf(types.refused.name), [])
})

test('a committed job is picked up at once', async (t) => {
  const worker = await createJobs(options())
  const started = new Map<number, number>()
  try {
    await worker.work([
      handleJob(types.prompt, ({ number }) => {
        started.set(number, performance.now())
        return Promise.resolve()
      }),
    ])
    const delays: number[] = []
    for (let number = 0; number < 15; number += 1) {
      await enqueue(types.prompt, number)
      const committed = performance.now()
      await eventually(() => started.has(number), `job ${number}`)
      delays.push((started.get(number) ?? 0) - committed)
    }
    const sorted = delays.toSorted((a, b) => a - b)
    const median = sorted[7] ?? Infinity
    t.diagnostic(`commit to pick-up: median ${median.toFixed(1)} ms, longest ${sorted.at(-1)?.toFixed(1)} ms`)
    assert.ok(median < 500, `median ${median} ms`)
  } finally {
    await worker.stop(5)
  }
})

test('a job that throws is retried, then kept as a dead letter; no text of the error is stored', async (t) => {
  const failures: unknown[] = []
  const worker = await createJobs(options({ onFailure: (name, error) => failures.push([name, error]) }))
  const retries: number[] = []
  class ReadingError extends Error {
    override name = 'ReadingError'
  }
  const secret = 'anna@example.test could not be read'
  try {
    await worker.work([
      handleJob(types.failing, (_payload, { retryCount }) => {
        retries.push(retryCount)
        throw new ReadingError(secret, { cause: new Error(secret) })
      }),
    ])
    const started = Date.now()
    const id = await enqueue(types.failing, 7)
    await eventually(async () => (await rowsOf(deadLetterQueue)).length > 0, 'the dead letter', 60_000)
    t.diagnostic(`three runs and the dead letter in ${((Date.now() - started) / 1000).toFixed(1)} s`)
    assert.deepEqual(retries, [0, 1, 2])
    assert.equal((await web.find(types.failing, id))?.state, 'failed')
    assert.deepEqual((await rowsOf(deadLetterQueue))[0]?.data, { number: 7 })
    const stored = JSON.stringify([...(await rowsOf(types.failing.name)), ...(await rowsOf(deadLetterQueue))])
    assert.ok(!stored.includes('anna') && !stored.includes('could not be read'), stored)
    assert.match(stored, /ReadingError/)
    assert.equal(failures.length, 3)
    const lines = logger.lines.splice(0)
    assert.deepEqual(
      lines.map((line) => [line.level, line.message, line.fields['job'], line.fields['retry']]),
      [0, 1, 2].map((retry) => ['error', 'job failed', 'test.failing', retry]),
    )
  } finally {
    await worker.stop(5)
  }
})

test('a job that waits starts after its time, not before', async () => {
  const worker = await createJobs(options())
  try {
    const run = signalOf<number>()
    await worker.work([
      handleJob(types.later, () => {
        run.resolve(Date.now())
        return Promise.resolve()
      }),
    ])
    const queued = Date.now()
    await enqueue(types.later, 1, { startAfterSeconds: 1 })
    const waited = (await run.promise) - queued
    assert.ok(waited >= 950 && waited < 15_000, `waited ${waited} ms`)
  } finally {
    await worker.stop(5)
  }
})

test('two workers share 200 jobs, and each runs exactly once', async () => {
  const runs: number[] = []
  const perWorker = [0, 0]
  const workers = await Promise.all([createJobs(options()), createJobs(options())])
  try {
    await bench.database.transaction(async (tx) => {
      for (let number = 0; number < 200; number += 1) await web.enqueue(tx, types.many, { number })
    })
    await Promise.all(
      workers.map((worker, index) =>
        worker.work([
          handleJob(types.many, async ({ number }) => {
            runs.push(number)
            perWorker[index] = (perWorker[index] ?? 0) + 1
            await sleep(5)
          }),
        ]),
      ),
    )
    await eventually(
      async () => (await rowsOf(types.many.name)).every((row) => row.state === 'completed'),
      'all jobs',
      60_000,
    )
    assert.deepEqual(
      runs.sort((a, b) => a - b),
      Array.from({ length: 200 }, (_, number) => number),
    )
    assert.ok(Math.min(...perWorker) > 20, `shared as ${perWorker.join(' and ')}`)
  } finally {
    await Promise.all(workers.map((worker) => worker.stop(5)))
  }
})

test('one waiting job a key: a second one is the first; other keys and no key are jobs of their own', async () => {
  const first = await enqueue(types.single, 1, { singletonKey: 'a' })
  assert.equal(await enqueue(types.single, 1, { singletonKey: 'a' }), first)
  const other = await enqueue(types.single, 2, { singletonKey: 'b' })
  const unkeyed = [await enqueue(types.single, 3), await enqueue(types.single, 3)]
  assert.equal(new Set([first, other, ...unkeyed]).size, 4)
  assert.equal((await rowsOf(types.single.name)).length, 4)
  // The key is free again once the job runs.
  await bench.database.pool.query(`update pgboss.job set state = 'active' where id = $1`, [first])
  assert.notEqual(await enqueue(types.single, 1, { singletonKey: 'a' }), first)
})

test('one waiting job a key, when several transactions ask at once', async () => {
  const ids = await Promise.all(
    Array.from({ length: 6 }, () => enqueue(types.singleRace, 1, { singletonKey: 'a' })),
  )
  assert.equal(new Set(ids).size, 1)
  assert.equal((await rowsOf(types.singleRace.name)).length, 1)
})

test('stop waits for the running job and takes no new one', async () => {
  const worker = await createJobs(options())
  const [running, mayEnd] = [signalOf<void>(), signalOf<void>()]
  const done: number[] = []
  await worker.work([
    handleJob(types.drain, async ({ number }, { signal }) => {
      running.resolve()
      await mayEnd.promise
      assert.equal(signal.aborted, false)
      done.push(number)
    }),
  ])
  const first = await enqueue(types.drain, 1)
  await running.promise
  const stopped = worker.stop(20)
  const second = await enqueue(types.drain, 2)
  await sleep(300)
  mayEnd.resolve()
  await stopped
  await sleep(300)
  assert.deepEqual(done, [1])
  assert.equal((await web.find(types.drain, first))?.state, 'completed')
  assert.equal((await web.find(types.drain, second))?.state, 'created')
})

for (const [title, type, answer] of [
  ['a handler hands its job back when it is told to stop', types.back, () => new JobHandedBack()],
  ['a handler that only throws the abort gives its job back too', types.aborted, (reason: unknown) => reason],
] as const)
  test(title, async () => {
    const worker = await createJobs(options())
    const running = signalOf<void>()
    await worker.work([
      handleJob(type, async (_payload, { signal }) => {
        running.resolve()
        await new Promise<void>((resolve) =>
          signal.addEventListener('abort', () => resolve(), { once: true }),
        )
        throw answer(signal.reason)
      }),
    ])
    await enqueue(type, 5)
    await running.promise
    const asked = Date.now()
    await worker.stop(4)
    assert.ok(Date.now() - asked < 4000, `stopped after ${Date.now() - asked} ms`)
    const waiting = (await rowsOf(type.name)).filter((row) => row.state === 'created')
    assert.deepEqual(
      waiting.map((row) => row.data),
      [{ number: 5 }],
    )
    // And a next process does it.
    const next = await createJobs(options())
    const again = signalOf<[number, number]>()
    await next.work([
      handleJob(type, ({ number }, { retryCount }) => {
        again.resolve([number, retryCount])
        return Promise.resolve()
      }),
    ])
    assert.deepEqual(await again.promise, [5, 0])
    await next.stop(5)
  })

test('stop does not wait for ever for a handler that hears nothing; its job runs elsewhere', async () => {
  const worker = await createJobs(options())
  const [running, release] = [signalOf<void>(), signalOf<void>()]
  await worker.work([
    handleJob(types.deaf, async () => {
      running.resolve()
      await release.promise
    }),
  ])
  const id = await enqueue(types.deaf, 1)
  await running.promise
  const asked = Date.now()
  const stopped = worker.stop(2).then(() => true)
  const isStopped = await Promise.race([stopped, sleep(8000).then(() => false)])
  release.resolve()
  await stopped
  assert.ok(isStopped, `still waiting after ${Date.now() - asked} ms`)
  assert.equal((await web.find(types.deaf, id))?.state, 'retry')
})

test('a run over its limit is aborted and counts as failed', async () => {
  const worker = await createJobs(options())
  const aborted = signalOf<string>()
  try {
    await worker.work([
      handleJob(types.limit, async (_payload, { signal }) => {
        signal.addEventListener('abort', () => aborted.resolve((signal.reason as Error).name), { once: true })
        await new Promise<never>(() => undefined)
      }),
    ])
    const id = await enqueue(types.limit, 1)
    assert.equal(await aborted.promise, 'TimeoutError')
    await eventually(async () => (await web.find(types.limit, id))?.state === 'failed', 'the failed state')
    const lines = logger.lines.splice(0)
    assert.deepEqual(
      lines.map((line) => [line.message, line.fields['job']]),
      [['job failed', 'test.limit']],
    )
  } finally {
    await worker.stop(5)
  }
})
