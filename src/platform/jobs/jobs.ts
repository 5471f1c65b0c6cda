import { setTimeout as sleep } from 'node:timers/promises'
import { PgBoss, type ConstructorOptions } from 'pg-boss'
import { Type, type Static, type TSchema } from 'typebox'
import { Value } from 'typebox/value'
import { systemClock, type Clock } from '../clock.ts'
import { executeRaw, type Tx } from '../db/database.ts'
import { withContext, type Logger } from '../observability/logger.ts'
import type { Schedule } from './schedules.ts'

/** What is fixed about a job: its name on the wire, the shape of its payload, its limits. */
export interface JobType<S extends TSchema = TSchema> {
  /** Stable dotted name; also the queue's. */
  name: string
  payload: S
  /** Runs after the first, whether the earlier one threw or its process died. */
  retryLimit: number
  retryDelaySeconds: number
  /** Doubles the delay each time, up to this many seconds. */
  retryDelayMaxSeconds?: number
  /** A run longer than this is aborted and counts as failed. */
  limitSeconds: number
  /** Runs of this job at once in one worker process. */
  concurrency?: number
  schedule?: Schedule
}

export interface JobContext {
  jobId: string
  /** Zero at the first run. */
  retryCount: number
  /** Aborted when the claim is lost, the limit is over, or the process stops and has waited long enough. */
  signal: AbortSignal
}

/** A job type with the code that does it. It runs at least once, and possibly twice. */
export interface Job {
  type: JobType
  run(payload: unknown, context: JobContext): Promise<void>
}

/** Thrown by a handler that gave its work back because the process is stopping: queued again at once, no try used. */
export class JobHandedBack extends Error {
  constructor() {
    super('job handed back at shutdown')
    this.name = 'JobHandedBack'
  }
}

export const defineJob = <S extends TSchema>(type: JobType<S>): JobType<S> => type

export const handleJob = <S extends TSchema>(
  type: JobType<S>,
  handler: (payload: Static<S>, context: JobContext) => Promise<void>,
): Job => ({ type, run: (payload, context) => handler(Value.Parse(type.payload, payload), context) })

export const deadLetterQueue = 'dead-letters'
// A killed worker's job is found after the heartbeat lapses and the next look of a supervisor: under 30 s.
const heartbeatSeconds = 20
const superviseSeconds = 5

export type JobState = 'created' | 'retry' | 'active' | 'completed' | 'cancelled' | 'failed'

export interface EnqueueOptions {
  startAfterSeconds?: number
  /** At most one waiting job per key. */
  singletonKey?: string
}

export interface Jobs {
  /** Queues a job in the caller's transaction: it exists if and only if that transaction commits. */
  enqueue<S extends TSchema>(
    tx: Tx,
    type: JobType<S>,
    payload: Static<S>,
    options?: EnqueueOptions,
  ): Promise<string>
  /** A job by its id; null when unknown or no longer kept. `endedAt` is when its last run ended. */
  find(type: JobType, id: string): Promise<{ state: JobState; payload: unknown; endedAt: Date | null } | null>
  /** Takes jobs until `stop`. */
  work(jobs: readonly Job[]): Promise<void>
  /** Takes no new job, waits for running ones, then aborts what is left. */
  stop(timeoutSeconds: number): Promise<void>
}

export interface JobsOptions {
  databaseUrl: string
  /** All job types of the program: their queues are made at start. */
  types: readonly JobType[]
  logger: Logger
  /** Upper bound of runs of one type at once. */
  concurrency: number
  applicationName: string
  /** Dates the end of a job; default: the machine's. */
  clock?: Clock
  /** Called for every failed run, after it was logged. */
  onFailure?: (name: string, error: unknown) => void
}

const bossOptions = (options: JobsOptions, own: Partial<ConstructorOptions>): ConstructorOptions => ({
  connectionString: options.databaseUrl,
  application_name: options.applicationName,
  max: 4,
  // Schedules run by the application clock (schedules.ts), not by pg-boss.
  schedule: false,
  superviseIntervalSeconds: superviseSeconds,
  monitorIntervalSeconds: superviseSeconds,
  ...own,
})

/** Creates the queue tables and one queue for each type. Part of migrating; idempotent. */
export const migrateJobs = async (options: JobsOptions): Promise<void> => {
  const boss = new PgBoss(bossOptions(options, { supervise: false, migrate: true }))
  boss.on('error', (error) => options.logger.error({ err: error }, 'job queue error'))
  await boss.start()
  try {
    const existing = new Set((await boss.getQueues()).map((queue) => queue.name))
    if (!existing.has(deadLetterQueue))
      await boss.createQueue(deadLetterQueue, { retentionSeconds: 90 * 86_400 })
    for (const type of options.types) {
      const settings = {
        retryLimit: type.retryLimit,
        retryDelay: type.retryDelaySeconds,
        retryBackoff: type.retryDelayMaxSeconds !== undefined,
        ...(type.retryDelayMaxSeconds === undefined ? {} : { retryDelayMax: type.retryDelayMaxSeconds }),
        expireInSeconds: type.limitSeconds + 30,
        heartbeatSeconds,
        deleteAfterSeconds: 7 * 86_400,
        deadLetter: deadLetterQueue,
        notify: true,
      }
      if (existing.has(type.name)) await boss.updateQueue(type.name, settings)
      else await boss.createQueue(type.name, settings)
    }
  } finally {
    await boss.stop({ graceful: false, close: true })
  }
}

/** What pg-boss keeps of a run: when it ended by the application clock, which its own columns do not know. */
const outputSchema = Type.Object({ ended_at: Type.String() })

/** Resolves with the promise, or rejects as soon as the signal aborts. */
const orAborted = async <T>(promise: Promise<T>, signal: AbortSignal): Promise<T> => {
  let onAbort: (() => void) | undefined
  const aborted = new Promise<never>((_resolve, reject) => {
    onAbort = () => reject(signal.reason instanceof Error ? signal.reason : new Error('aborted'))
    if (signal.aborted) onAbort()
    else signal.addEventListener('abort', onAbort, { once: true })
  })
  try {
    return await Promise.race([promise, aborted])
  } finally {
    if (onAbort) signal.removeEventListener('abort', onAbort)
  }
}

export const createJobs = async (options: JobsOptions): Promise<Jobs> => {
  const stopping = new AbortController()
  const running = new Set<Promise<unknown>>()
  const { logger, clock = systemClock } = options
  const ending = () => ({ ended_at: clock.now().toISOString() })
  const boss = new PgBoss(bossOptions(options, { migrate: false, supervise: true, useListenNotify: true }))
  boss.on('error', (error) => logger.error({ err: error }, 'job queue error'))
  boss.on('warning', (warning) => logger.warn({ warning: warning.message }, 'job queue warning'))
  await boss.start()

  const enqueue: Jobs['enqueue'] = async (tx, type, payload, own = {}) => {
    const data = Value.Parse(type.payload, payload) as object
    const settings = {
      db: { executeSql: (text: string, values?: unknown[]) => executeRaw(tx, text, values) },
      ...(own.startAfterSeconds === undefined ? {} : { startAfter: own.startAfterSeconds }),
    }
    if (own.singletonKey === undefined) {
      const id = await boss.send(type.name, data, settings)
      if (id === null) throw new Error(`job ${type.name} was not queued`)
      return id
    }
    // `send` takes a key and, in a queue of the standard policy, ignores it; `upsert` finds the waiting job or makes
    // it. It finds neither when the waiting job of another transaction is claimed between its two looks.
    for (let tries = 1; tries <= 3; tries += 1) {
      const { jobs } = await boss.upsert(type.name, data, { ...settings, singletonKey: own.singletonKey })
      if (jobs[0] !== undefined) return jobs[0]
    }
    throw new Error(`job ${type.name} was not queued`)
  }

  const find: Jobs['find'] = async (type, id) => {
    const [job] = await boss.findJobs<object>(type.name, { id })
    if (!job) return null
    const { state, data: payload, output, completedOn } = job
    // A run whose process died has no output of ours.
    const endedAt = Value.Check(outputSchema, output) ? new Date(output.ended_at) : completedOn
    return { state, payload, endedAt }
  }

  const runOne = async (
    job: Job,
    claim: { id: string; retryCount: number; data: object; signal: AbortSignal },
  ) => {
    const limit = AbortSignal.timeout(job.type.limitSeconds * 1000)
    const signal = AbortSignal.any([claim.signal, limit, stopping.signal])
    const started = Date.now()
    const fields = { job: job.type.name, retry: claim.retryCount }
    try {
      const work = job.run(claim.data, { jobId: claim.id, retryCount: claim.retryCount, signal })
      await orAborted(work, limit)
      logger.debug({ ...fields, duration_ms: Date.now() - started }, 'job done')
    } catch (error) {
      if (error instanceof JobHandedBack || stopping.signal.aborted) {
        logger.info(fields, 'job handed back')
        await boss.send(job.type.name, claim.data)
        return
      }
      logger.error({ ...fields, duration_ms: Date.now() - started, err: error }, 'job failed')
      options.onFailure?.(job.type.name, error)
      // pg-boss stores the error with the job row: only its class goes there, never texts or payloads.
      // oxlint-disable-next-line preserve-caught-error
      throw Object.assign(new Error(error instanceof Error ? error.name : 'unknown failure'), ending())
    }
  }

  /** One place where runs of a job happen one after another. */
  const workOn = async (job: Job): Promise<void> => {
    let worker = ''
    const settings = { pollingIntervalSeconds: 2, notifyPollingIntervalSeconds: 2 }
    worker = await boss.work<object>(job.type.name, settings, async (claims) => {
      for (const claim of claims) {
        const run = withContext({ job_id: claim.id }, () => runOne(job, claim))
        const settled = run.catch(() => undefined)
        running.add(settled)
        try {
          await run
        } finally {
          running.delete(settled)
          // Without this a worker sleeps until the next poll after each job, however many are waiting.
          boss.notifyWorker(worker)
        }
      }
      return ending()
    })
  }

  const work = async (jobs: readonly Job[]): Promise<void> => {
    for (const job of jobs) {
      const places = Math.max(1, Math.min(job.type.concurrency ?? 2, options.concurrency))
      for (let place = 0; place < places; place += 1) await workOn(job)
    }
  }

  const stop = async (timeoutSeconds: number): Promise<void> => {
    // Handlers are told shortly before the end, so that they can hand their work back in order.
    const timer = setTimeout(
      () => stopping.abort(new JobHandedBack()),
      Math.max(0, timeoutSeconds * 1000 - 3000),
    )
    await boss.stop({ graceful: true, close: true, timeout: Math.max(1000, timeoutSeconds * 1000) })
    clearTimeout(timer)
    // What has not heard the abort by now is left behind: its job was given to the others above.
    if (running.size > 0) await Promise.race([Promise.all(running), sleep(1000)])
  }

  return { enqueue, find, work, stop }
}
