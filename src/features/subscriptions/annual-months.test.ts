import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { lineEvent } from '../../../test/line-fixtures.ts'
import { propertySettings } from '../../../test/property-settings.ts'
import { addMonths, dueMonths, monthsStopAt, nextMonthAt } from './annual-months.ts'
import { foldLine } from './fold.ts'
import { emptyLine, type LineEvent } from './line-state.ts'

const settings = propertySettings()
const never = new Date('2099-01-01T00:00:00Z')

const annual = (purchasedAt: string, expiresAt: string): LineEvent =>
  lineEvent('INITIAL_PURCHASE', purchasedAt, {
    transactionId: 't1',
    productId: 'dawnotemu_annual',
    purchasedAt: new Date(purchasedAt),
    expiresAt: new Date(expiresAt),
  })

const bought = annual('2026-01-31T10:00:00Z', '2027-01-31T10:00:00Z')
const purchase = {
  transactionId: 't1',
  purchasedAt: new Date('2026-01-31T10:00:00Z'),
  endsAt: new Date('2027-01-31T10:00:00Z'),
  isRefunded: false,
}

const monthsOf = (now: Date | string, ...later: LineEvent[]): number[] =>
  dueMonths(purchase, foldLine([bought, ...later]), new Date(now)).map(({ k }) => k)

const upTo = (last: number): number[] => Array.from({ length: last + 1 }, (_, k) => k)

test('months are counted from the anchor, the day clamped', () => {
  const days = Array.from({ length: 12 }, (_, k) =>
    addMonths(purchase.purchasedAt, k).toISOString().slice(0, 10),
  )
  assert.deepEqual(days, [
    '2026-01-31',
    '2026-02-28',
    '2026-03-31',
    '2026-04-30',
    '2026-05-31',
    '2026-06-30',
    '2026-07-31',
    '2026-08-31',
    '2026-09-30',
    '2026-10-31',
    '2026-11-30',
    '2026-12-31',
  ])
  assert.equal(addMonths(new Date('2028-02-29T23:59:59.999Z'), 12).toISOString(), '2029-02-28T23:59:59.999Z')
  assert.equal(addMonths(new Date('2027-11-30T00:00:00Z'), 3).toISOString(), '2028-02-29T00:00:00.000Z')
})

test('a month is due from its very start', () => {
  assert.deepEqual(monthsOf('2026-02-28T09:59:59.999Z'), [0])
  assert.deepEqual(monthsOf('2026-02-28T10:00:00Z'), [0, 1])
})

test('month 0 is due at once, even before it begins', () => {
  assert.deepEqual(monthsOf('2026-01-30T20:00:00Z'), [0])
})

test('twelve months, however long one waits', () => {
  assert.deepEqual(monthsOf(never), upTo(11))
})

test('a refunded purchase has no due months', () => {
  assert.deepEqual(dueMonths({ ...purchase, isRefunded: true }, foldLine([bought]), never), [])
  assert.equal(nextMonthAt({ ...purchase, isRefunded: true }, foldLine([bought]), purchase.purchasedAt), null)
})

test('a counted EXPIRATION stops them, one of another period does not', () => {
  const at = '2026-04-15T00:00:00Z'
  const early = lineEvent('EXPIRATION', at, { transactionId: 't1', expiresAt: new Date(at) })
  assert.deepEqual(monthsOf(never, early), upTo(2))
  const other = lineEvent('EXPIRATION', at, { transactionId: 't0', expiresAt: new Date(at) })
  assert.deepEqual(monthsOf(never, other), upTo(11))
})

test('the next period stops them, at its start and not at its event', () => {
  const next = lineEvent('RENEWAL', '2026-05-30T00:00:00Z', {
    transactionId: 't2',
    purchasedAt: new Date('2026-05-31T10:00:00Z'),
  })
  assert.deepEqual(monthsOf(never, next), upTo(3))
})

test('a re-issued older purchase is not the next period', () => {
  const older = { ...annual('2025-01-01T00:00:00Z', '2026-01-01T00:00:00Z'), transactionId: 't0' }
  const again = { ...older, eventId: 'again', at: new Date('2026-03-01T00:00:00Z') }
  assert.deepEqual(monthsOf(never, older, again), upTo(11))
})

const short = { ...bought, expiresAt: new Date('2026-04-10T00:00:00Z') }

test('extension counts, grace does not', () => {
  const extended = lineEvent('SUBSCRIPTION_EXTENDED', '2026-04-01T00:00:00Z', {
    expiresAt: new Date('2026-06-10T00:00:00Z'),
  })
  const grace = lineEvent('BILLING_ISSUE', '2026-04-10T00:00:00Z', {
    graceEndsAt: new Date('2026-06-10T00:00:00Z'),
  })
  const due = (...events: LineEvent[]): number[] =>
    dueMonths(purchase, foldLine(events), never).map(({ k }) => k)
  assert.deepEqual(due(short), upTo(2))
  assert.deepEqual(due(short, extended), upTo(4))
  assert.deepEqual(due(short, grace), upTo(2))
})

test('an extension to two years still makes twelve', () => {
  const extended = lineEvent('SUBSCRIPTION_EXTENDED', '2026-04-01T00:00:00Z', {
    expiresAt: new Date('2028-01-31T00:00:00Z'),
  })
  assert.deepEqual(monthsOf(never, extended), upTo(11))
})

test('when the period is pruned the stored end and the later periods count', () => {
  const stored = { ...purchase, endsAt: new Date('2026-06-01T00:00:00Z') }
  assert.deepEqual(dueMonths(stored, emptyLine, never).length, 5)
  const next = lineEvent('RENEWAL', '2026-04-30T10:00:00Z', { transactionId: 't2' })
  assert.equal(monthsStopAt(stored, foldLine([next])).toISOString(), '2026-04-30T10:00:00.000Z')
})

test('the next month is told until there is none', () => {
  const line = foldLine([bought])
  const next = (now: string): string | undefined => nextMonthAt(purchase, line, new Date(now))?.toISOString()
  assert.equal(next('2026-01-31T10:00:00Z'), '2026-02-28T10:00:00.000Z')
  assert.equal(next('2026-02-28T10:00:00Z'), '2026-03-31T10:00:00.000Z')
  assert.equal(next('2026-12-31T10:00:00Z'), undefined)
})

const monthEnds = fc
  .tuple(fc.integer({ min: 2020, max: 2098 }), fc.integer({ min: 0, max: 11 }), fc.nat(86_399_999))
  .map(([year, month, ms]) => new Date(Date.UTC(year, month + 1, 0) + ms))
const anyTime = fc.date({
  min: new Date('2020-01-01T00:00:00Z'),
  max: new Date('2098-12-31T23:59:59Z'),
  noInvalidDate: true,
})
const leapDays = fc.nat(19).map((n) => new Date(Date.UTC(2020 + 4 * n, 1, 29, 12)))

test(`an annual plan makes twelve months from any anchor, whenever the job runs, seed ${settings.seed}`, () => {
  const gaps = fc.array(fc.integer({ min: 1, max: 90 }), { minLength: 1, maxLength: 40 })
  fc.assert(
    fc.property(fc.oneof(anyTime, monthEnds, leapDays), gaps, (anchor, days) => {
      const end = addMonths(anchor, 12)
      const line = foldLine([annual(anchor.toISOString(), end.toISOString())])
      const own = { transactionId: 't1', purchasedAt: anchor, endsAt: end, isRefunded: false }
      const paid = new Map<number, Date>()
      let now = anchor.getTime()
      for (const gap of [0, ...days, 400]) {
        now += gap * 86_400_000
        for (const { k, startsAt } of dueMonths(own, line, new Date(now))) {
          assert.ok(k === 0 || startsAt.getTime() <= now)
          paid.set(k, startsAt)
        }
        const next = nextMonthAt(own, line, new Date(now))
        assert.equal(next === null, paid.size === 12)
        if (next) assert.ok(next.getTime() > now && next < end)
      }
      assert.deepEqual([...paid.keys()], upTo(11))
      for (const [k, startsAt] of paid) {
        const month = (anchor.getUTCMonth() + k) % 12
        const last = new Date(Date.UTC(startsAt.getUTCFullYear(), month + 1, 0)).getUTCDate()
        assert.equal(startsAt.getUTCMonth(), month)
        assert.equal(startsAt.getUTCDate(), Math.min(anchor.getUTCDate(), last))
        assert.equal(startsAt.getTime() % 86_400_000, anchor.getTime() % 86_400_000)
      }
    }),
    settings,
  )
})
