import assert from 'node:assert/strict'
import { after, before, beforeEach, test } from 'node:test'
import { listRuns } from '../../platform/jobs/job-runs.ts'
import type { Job } from '../../platform/jobs/jobs.ts'
import { assertBooks, dayMs, hourMs, openLedger, type LedgerBench } from '../../../test/ledger-fixtures.ts'
import { setStatus } from '../../../test/ledger-purchases.ts'
import { recordingLogger } from '../../../test/logger.ts'
import {
  createExpireLots,
  createGrantMonthlyDefault,
  expireOneByOne,
  type Credits,
  type LotSource,
} from './credits.ts'

let bench: LedgerBench
let logger: ReturnType<typeof recordingLogger>
before(async () => {
  bench = await openLedger()
})
beforeEach(() => {
  logger = recordingLogger()
})
after(() => bench.close())

const run = (job: Job): Promise<void> =>
  job.run({}, { jobId: '1', retryCount: 0, signal: new AbortController().signal })

const base = () => ({ database: bench.database, clock: bench.clock, logger })
const sweepWith = (credits: Pick<Credits, 'expireDue'>) => run(createExpireLots({ ...base(), credits }))
const sweep = () => sweepWith(bench.credits)
const monthly = (monthlyDefault: number, own: Partial<Pick<Credits, 'grant' | 'lock'>> = {}) =>
  run(createGrantMonthlyDefault({ ...base(), monthlyDefault, credits: { ...bench.credits, ...own } }))

const grant = (userId: number, amount: number, source: LotSource = 'free', expiresInMs?: number) =>
  bench.database.transaction((tx) =>
    bench.credits.grant(tx, {
      userId,
      amount,
      source,
      reason: 'admin_grant',
      ...(expiresInMs === undefined
        ? {}
        : { expiresAt: new Date(bench.clock.now().getTime() + expiresInMs) }),
    }),
  )

const checkedBooks = async (userId: number) => {
  const books = await bench.books(userId)
  assertBooks(books)
  return books
}
const lastResult = async (name: string): Promise<unknown> =>
  (await listRuns(bench.database.read)).find((found) => found.name === name)?.result

test('the sweep: every source to zero, one row with metadata a lot, the cache follows; twice is once', async () => {
  const userId = await bench.newUser()
  const sources = ['event', 'monthly', 'referral', 'add_on', 'free'] as const
  for (const [index, source] of sources.entries()) await grant(userId, index + 1, source, hourMs)
  await grant(userId, 7, 'free')
  bench.clock.advance(hourMs)
  const before = await bench.credits.balance(bench.database.read, userId)
  await sweep()
  const books = await checkedBooks(userId)
  assert.equal(books.cached, 7)
  assert.equal(await bench.credits.balance(bench.database.read, userId), before, 'I11: only dead points go')
  assert.deepEqual(
    books.lots.map((lot) => lot.remaining),
    [0, 0, 0, 0, 0, 7],
  )
  assert.deepEqual(
    books.transactions
      .filter((row) => row.type === 'expire')
      .map((row) => [row.amount, row.reason, row.metadata]),
    books.lots.slice(0, 5).map((lot) => [
      -lot.granted,
      'auto_expire',
      {
        lot_id: lot.id,
        lot_source: lot.source,
        lot_amount_granted: lot.granted,
        expired_at: lot.expiresAt?.toISOString(),
        source_task: 'credits.expire-lots',
      },
    ]),
  )
  await sweep()
  assert.deepEqual(await bench.books(userId), books)
  assert.deepEqual(await lastResult('credits.expire-lots'), { users: 0, failed: 0, points: 0 })
})

test('two sweeps at once take each lot once', async () => {
  const users = await Promise.all(Array.from({ length: 6 }, () => bench.newUser()))
  for (const userId of users) await grant(userId, 3, 'free', hourMs)
  bench.clock.advance(hourMs)
  await Promise.all([sweep(), sweep()])
  for (const userId of users) {
    const books = await checkedBooks(userId)
    assert.deepEqual(
      books.transactions.map((row) => row.type),
      ['credit', 'expire'],
    )
  }
})

test('five accounts, the third fails: four are done, one is reported, and the run fails', async () => {
  const users = await Promise.all(Array.from({ length: 5 }, () => bench.newUser()))
  users.sort((a, b) => a - b)
  for (const userId of users) await grant(userId, 3, 'free', hourMs)
  bench.clock.advance(hourMs)
  const expireDue: Credits['expireDue'] = (tx, userId) =>
    userId === users[2] ? Promise.reject(new Error('no')) : bench.credits.expireDue(tx, userId)
  await assert.rejects(sweepWith({ expireDue }), /too much of the run failed/)
  const left = await Promise.all(users.map(async (userId) => (await checkedBooks(userId)).lots[0]?.remaining))
  assert.deepEqual(left, [0, 0, 3, 0, 0])
  assert.deepEqual(
    logger.lines.map((line) => [line.message, line.fields['user_id']]),
    [['skipped in a scheduled run', users[2]]],
  )
  assert.deepEqual(await lastResult('credits.expire-lots'), { users: 5, failed: 1, points: 12 })
  await sweep()
})

test('one failure in ten is tolerated and reported', async () => {
  const users = await Promise.all(Array.from({ length: 10 }, () => bench.newUser()))
  for (const userId of users) await grant(userId, 3, 'free', hourMs)
  bench.clock.advance(hourMs)
  const expireDue: Credits['expireDue'] = (tx, userId) =>
    userId === users[2] ? Promise.reject(new Error('no')) : bench.credits.expireDue(tx, userId)
  await sweepWith({ expireDue })
  assert.deepEqual(await lastResult('credits.expire-lots'), { users: 10, failed: 1, points: 27 })
  await sweep()
})

test('expiring five lots where the third fails: four done, one reported', async () => {
  const userId = await bench.newUser()
  for (let count = 0; count < 5; count += 1) await grant(userId, 2)
  const lotIds = (await bench.books(userId)).lots.map((lot) => lot.id)
  const expireLot: Credits['expireLot'] = (tx, lotId, reason) =>
    lotId === lotIds[2] ? Promise.reject(new Error('no')) : bench.credits.expireLot(tx, lotId, reason)
  const outcomes = await expireOneByOne(
    { database: bench.database, logger, credits: { expireLot } },
    lotIds,
    'admin_expire',
  )
  assert.deepEqual(
    outcomes.map((each) => [each.lotId, each.outcome, each.points]),
    lotIds.map((lotId, index) => (index === 2 ? [lotId, 'failed', 0] : [lotId, 'expired', 2])),
  )
  assert.equal((await checkedBooks(userId)).cached, 2)
  assert.equal(logger.lines.length, 1)
  const again = await expireOneByOne(
    { database: bench.database, logger, credits: bench.credits },
    lotIds.slice(1, 3),
    'admin_expire',
  )
  assert.deepEqual(
    again.map((each) => each.outcome),
    ['nothing_to_expire', 'expired'],
  )
})

test('the monthly default: every active account once a month, whoever is subscribed; off at zero', async () => {
  const [active, inactive] = [await bench.newUser(), await bench.newUser()]
  await setStatus(bench, inactive, 'deactivated')
  await monthly(0)
  assert.deepEqual(await lastResult('credits.grant-monthly-default'), { off: true })
  assert.equal((await checkedBooks(active)).cached, 0)
  await Promise.all([monthly(4), monthly(4)])
  await monthly(4)
  const books = await checkedBooks(active)
  const month = bench.clock.now().toISOString().slice(0, 7)
  assert.deepEqual(
    books.transactions.map((row) => [row.type, row.amount, row.reason]),
    [['credit', 4, 'monthly_grant']],
  )
  assert.deepEqual(
    books.lots.map((lot) => [lot.source, lot.expiresAt]),
    [['monthly', null]],
  )
  const { rows } = await bench.database.pool.query(
    'select grant_key from credit_transactions where user_id = $1',
    [active],
  )
  assert.deepEqual(rows, [{ grant_key: `default:${active}:${month}` }])
  assert.equal((await bench.books(inactive)).transactions.length, 0)
  bench.clock.advance(31 * dayMs)
  await monthly(4)
  assert.equal((await checkedBooks(active)).cached, 8)
})

test('an account deactivated between the look and its turn gets nothing', async () => {
  const userId = await bench.newUser()
  const lock: Credits['lock'] = async (tx, ids) =>
    new Map([...(await bench.credits.lock(tx, ids)).keys()].map((id) => [id, 'deactivated']))
  await monthly(4, { lock })
  assert.equal((await bench.books(userId)).transactions.length, 0)
})

test('more than a batch of accounts is worked through', async () => {
  await bench.database.pool.query(
    `insert into users (email) select 'many-' || n || '@example.test' from generate_series(1, 620) n`,
  )
  bench.clock.advance(31 * dayMs)
  await monthly(1)
  const month = bench.clock.now().toISOString().slice(0, 7)
  const { rows } = await bench.database.pool.query<{ missing: string }>(
    `select count(*) as missing from users u where status = 'active' and not exists (
       select from credit_transactions where grant_key = 'default:' || u.id || ':' || $1)`,
    [month],
  )
  assert.equal(Number(rows[0]?.missing), 0)
})

test('a run that breaks off is recorded by the class of its fault and fails', async () => {
  const broken = createExpireLots({
    ...base(),
    credits: bench.credits,
    clock: {
      now: () => {
        throw new RangeError('no time')
      },
    },
  })
  await assert.rejects(run(broken), RangeError)
})
