import assert from 'node:assert/strict'
import { after, afterEach, before, beforeEach, test } from 'node:test'
import { createTestDatabase, type TestDatabase } from '../../../test/database.ts'
import { manualClock } from '../../../test/ledger-fixtures.ts'
import { recordingLogger } from '../../../test/logger.ts'
import { createJobs, defineJob, migrateJobs, type Jobs } from './jobs.ts'
import { createScheduler, periodStart, scheduledPayload, type Schedule } from './schedules.ts'

const jobType = (name: string, schedule?: Schedule) =>
  defineJob({
    name,
    payload: scheduledPayload,
    retryLimit: 0,
    retryDelaySeconds: 1,
    limitSeconds: 60,
    ...(schedule === undefined ? {} : { schedule }),
  })
const minutely = jobType('test.minutely', { everySeconds: 60 })
const daily = jobType('test.daily', { dailyAt: '03:15' })
const unscheduled = jobType('test.unscheduled')
const types = [minutely, daily, unscheduled]

let bench: TestDatabase
let jobs: Jobs
const logger = recordingLogger()
before(async () => {
  bench = await createTestDatabase()
  const options = { databaseUrl: bench.url, types, logger, concurrency: 1, applicationName: 'test-schedules' }
  await migrateJobs(options)
  jobs = await createJobs(options)
})
after(async () => {
  await jobs.stop(5)
  await bench.close()
})
beforeEach(() => bench.database.pool.query('delete from schedules; delete from pgboss.job'))
afterEach(() => assert.deepEqual(logger.lines, []))

const queued = async (name: string): Promise<number> => {
  const found = await bench.database.pool.query('select 1 from pgboss.job where name = $1', [name])
  return found.rowCount ?? 0
}

const schedulerAt = (start: string, own: { jobs?: Jobs } = {}) => {
  const clock = manualClock(start)
  return {
    clock,
    scheduler: createScheduler({ database: bench.database, jobs, clock, logger, types, ...own }),
  }
}

const minute = 60_000
const day = 24 * 60 * minute

test('the period of a moment, for every form of schedule', () => {
  const cases: [Schedule, now: string, start: string][] = [
    [{ everySeconds: 60 }, '2026-03-01T12:00:00.000Z', '2026-03-01T12:00:00.000Z'],
    [{ everySeconds: 60 }, '2026-03-01T12:00:59.999Z', '2026-03-01T12:00:00.000Z'],
    [{ everySeconds: 300 }, '2026-03-01T12:04:59.999Z', '2026-03-01T12:00:00.000Z'],
    [{ everySeconds: 300 }, '2026-03-01T12:05:00.000Z', '2026-03-01T12:05:00.000Z'],
    [{ hourlyAtMinute: 30 }, '2026-03-01T12:29:59.999Z', '2026-03-01T11:30:00.000Z'],
    [{ hourlyAtMinute: 30 }, '2026-03-01T12:30:00.000Z', '2026-03-01T12:30:00.000Z'],
    [{ hourlyAtMinute: 0 }, '2026-03-01T00:00:00.000Z', '2026-03-01T00:00:00.000Z'],
    [{ dailyAt: '03:15' }, '2026-03-01T03:14:59.999Z', '2026-02-28T03:15:00.000Z'],
    [{ dailyAt: '03:15' }, '2026-03-01T03:15:00.000Z', '2026-03-01T03:15:00.000Z'],
    [{ dailyAt: '00:00' }, '2028-02-29T23:59:59.999Z', '2028-02-29T00:00:00.000Z'],
    // Polish summer time begins this night; schedules are in UTC and do not move.
    [{ dailyAt: '03:15' }, '2026-03-29T12:00:00.000Z', '2026-03-29T03:15:00.000Z'],
  ]
  for (const [schedule, now, start] of cases)
    assert.equal(
      periodStart(schedule, new Date(now)).toISOString(),
      start,
      `${JSON.stringify(schedule)} at ${now}`,
    )
})

test('each period is started once, by its first tick', async () => {
  const { clock, scheduler } = schedulerAt('2026-03-01T12:00:10.000Z')
  assert.deepEqual(await scheduler.tick(), ['test.minutely', 'test.daily'])
  assert.deepEqual(await scheduler.tick(), [])
  clock.advance(49_999)
  assert.deepEqual(await scheduler.tick(), [])
  clock.advance(1)
  assert.deepEqual(await scheduler.tick(), ['test.minutely'])
  assert.equal(await queued('test.minutely'), 2)
  assert.equal(await queued('test.daily'), 1)
  assert.equal(await queued('test.unscheduled'), 0)
})

test('any number of schedulers start a period once between them', async () => {
  const schedulers = Array.from({ length: 4 }, () => schedulerAt('2026-03-01T12:00:10.000Z'))
  for (let period = 1; period <= 5; period += 1) {
    const started = await Promise.all(schedulers.map(({ scheduler }) => scheduler.tick()))
    assert.equal(started.flat().filter((name) => name === 'test.minutely').length, 1)
    assert.equal(await queued('test.minutely'), period)
    for (const { clock } of schedulers) clock.advance(minute)
  }
  assert.equal(await queued('test.daily'), 1)
})

test('a new process does not start again what another one started', async () => {
  await schedulerAt('2026-03-01T12:00:10.000Z').scheduler.tick()
  assert.deepEqual(await schedulerAt('2026-03-01T12:00:50.000Z').scheduler.tick(), [])
})

test('periods missed while nothing ran are made up by one run', async () => {
  await schedulerAt('2026-03-01T12:00:00.000Z').scheduler.tick()
  const { clock, scheduler } = schedulerAt('2026-03-04T12:00:00.000Z')
  assert.deepEqual(await scheduler.tick(), ['test.minutely', 'test.daily'])
  assert.deepEqual(await scheduler.tick(), [])
  assert.equal(await queued('test.daily'), 2)
  clock.advance(day)
  assert.deepEqual(await scheduler.tick(), ['test.minutely', 'test.daily'])
})

test('a clock that lags behind starts no period that is over', async () => {
  await schedulerAt('2026-03-01T12:05:00.000Z').scheduler.tick()
  const { clock, scheduler } = schedulerAt('2026-03-01T12:03:00.000Z')
  assert.deepEqual(await scheduler.tick(), [])
  clock.advance(2 * minute)
  assert.deepEqual(await scheduler.tick(), [])
  clock.advance(minute)
  assert.deepEqual(await scheduler.tick(), ['test.minutely'])
})

test('a period whose job could not be queued stays open and is started by the next tick', async () => {
  let isBroken = true
  const flaky: Jobs = {
    ...jobs,
    enqueue: async (tx, type, payload, options) => {
      const id = await jobs.enqueue(tx, type, payload, options)
      if (isBroken) throw new Error('lost the connection')
      return id
    },
  }
  const { scheduler } = schedulerAt('2026-03-01T12:00:10.000Z', { jobs: flaky })
  await assert.rejects(scheduler.tick(), /lost the connection/)
  assert.equal(await queued('test.minutely'), 0)
  isBroken = false
  assert.deepEqual(await scheduler.tick(), ['test.minutely', 'test.daily'])
  assert.equal(await queued('test.minutely'), 1)
})

test('the loop ticks by itself until it is stopped', async () => {
  const { clock, scheduler } = schedulerAt('2026-03-01T12:00:10.000Z')
  scheduler.start()
  const deadline = Date.now() + 10_000
  while ((await queued('test.minutely')) < 1 && Date.now() < deadline)
    await new Promise((done) => setTimeout(done, 20))
  assert.equal(await queued('test.minutely'), 1)
  await scheduler.stop()
  clock.advance(minute)
  await new Promise((done) => setTimeout(done, 1200))
  assert.equal(await queued('test.minutely'), 1)
})
