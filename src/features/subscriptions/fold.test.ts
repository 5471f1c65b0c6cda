import assert from 'node:assert/strict'
import { test } from 'node:test'
import { lineEvent } from '../../../test/line-fixtures.ts'
import { foldLine } from './fold.ts'
import { currentPeriod, type LineEvent } from './line-state.ts'
import { projectUser, type UserProjection } from './project-user.ts'

const date = (text: string): Date => new Date(text.length === 10 ? `${text}T00:00:00Z` : text)
const now = date('2026-03-20')

/** Bought on 1 March, until 1 April. */
const first = lineEvent('INITIAL_PURCHASE', '2026-03-01', {
  transactionId: 't1',
  originalTransactionId: 't1',
  productId: 'dawnotemu_monthly',
  purchasedAt: date('2026-03-01'),
  expiresAt: date('2026-04-01'),
  store: 'app_store',
})
/** Renewed half a day early, until 1 May. */
const second = lineEvent('RENEWAL', '2026-03-31T12:00:00Z', {
  transactionId: 't2',
  productId: 'dawnotemu_annual',
  purchasedAt: date('2026-04-01'),
  expiresAt: date('2026-05-01'),
})
const bought: UserProjection = {
  isActive: true,
  plan: 'dawnotemu_monthly',
  pendingPlan: null,
  expiresAt: date('2026-04-01'),
  willRenew: true,
  source: 'app_store',
  billingIssueAt: null,
}

const projected = (...events: LineEvent[]): UserProjection => projectUser([foldLine(events)], now)
const after = (...events: LineEvent[]): UserProjection => projected(first, ...events)

test('no line, or a line without a period: all empty', () => {
  const empty = projectUser([], now)
  assert.deepEqual([empty.isActive, empty.plan, empty.expiresAt, empty.willRenew], [false, null, null, false])
  assert.deepEqual(projected(lineEvent('UNCANCELLATION', '2026-03-02')), empty)
  assert.deepEqual(projected(lineEvent('EXPIRATION', '2026-03-02')), empty)
})

test('INITIAL_PURCHASE sets all, also to null', () => {
  assert.deepEqual(after(), bought)
  const bare = lineEvent('INITIAL_PURCHASE', '2026-03-10', { transactionId: 't9' })
  assert.deepEqual(after(bare), { ...bought, plan: null, source: null, expiresAt: date('2026-04-14') })
})

test('RENEWAL begins a period and sets plan and store only when given', () => {
  assert.deepEqual(after(second), { ...bought, plan: 'dawnotemu_annual', expiresAt: date('2026-05-01') })
  const bare = { ...second, productId: null, store: null }
  assert.deepEqual(after(bare), { ...bought, expiresAt: date('2026-05-01') })
  assert.equal(after({ ...second, store: 'play_store' }).source, 'play_store')
  assert.equal(after({ ...second, store: 'other' }).source, null)
})

test('a purchase event clears billing issue, grace and pending plan', () => {
  const issue = lineEvent('BILLING_ISSUE', '2026-03-05', { graceEndsAt: date('2026-06-01') })
  const change = lineEvent('PRODUCT_CHANGE', '2026-03-06', { newProductId: 'dawnotemu_yearly' })
  assert.deepEqual(after(issue, change, second), after(second))
})

test('CANCELLATION ends renewal and keeps access; UNCANCELLATION takes it back', () => {
  const cancel = lineEvent('CANCELLATION', '2026-03-05', { transactionId: 't1', cancelReason: 'UNSUBSCRIBE' })
  assert.deepEqual(after(cancel), { ...bought, willRenew: false })
  assert.deepEqual(foldLine([first, cancel]).refunds.size, 0)
  const issue = lineEvent('BILLING_ISSUE', '2026-03-06')
  assert.deepEqual(after(cancel, issue, lineEvent('UNCANCELLATION', '2026-03-07')), bought)
})

test('a refund by support or negative price flags its transaction and keeps access', () => {
  const flagOf = (event: LineEvent): boolean | undefined =>
    foldLine([first, event]).refunds.get('t1')?.isRefunded
  const support = lineEvent('CANCELLATION', '2026-03-05', { cancelReason: 'CUSTOMER_SUPPORT' })
  assert.deepEqual(after(support), bought)
  assert.equal(flagOf(support), true)
  const negative = lineEvent('CANCELLATION', '2026-03-05', { price: -1, transactionId: 't1' })
  assert.deepEqual(after(negative), { ...bought, willRenew: false })
  assert.equal(flagOf(negative), true)
  assert.equal(flagOf({ ...negative, price: 0 }), undefined)
})

test('refund, reversal and purchase end the same in all orders of receipt', () => {
  const refund = lineEvent('CANCELLATION', '2026-03-05', { transactionId: 't1', price: -1 })
  const reversal = lineEvent('REFUND_REVERSED', '2026-03-06', { transactionId: 't1' })
  for (const order of [
    [first, refund, reversal],
    [reversal, first, refund],
    [refund, reversal, first],
  ]) {
    const numbered = order.map((event, receiptOrder) => ({ ...event, receiptOrder }))
    assert.equal(foldLine(numbered).refunds.get('t1')?.isRefunded, false)
  }
})

test('BILLING_ISSUE is noted and its grace prolongs access', () => {
  const at = date('2026-03-31')
  const issue = lineEvent('BILLING_ISSUE', '2026-03-31', { graceEndsAt: date('2026-04-17') })
  assert.deepEqual(after(issue), { ...bought, billingIssueAt: at, expiresAt: date('2026-04-17') })
  const early = { ...issue, graceEndsAt: date('2026-03-20') }
  assert.deepEqual(after(early), { ...bought, billingIssueAt: at })
  assert.deepEqual(after({ ...issue, graceEndsAt: null }), { ...bought, billingIssueAt: at })
})

const ended: UserProjection = { ...bought, isActive: false, willRenew: false }

test('EXPIRATION of the current transaction ends access, early too; plan and date stay', () => {
  const inTime = lineEvent('EXPIRATION', '2026-04-01', { transactionId: 't1', expiresAt: date('2026-04-01') })
  assert.deepEqual(after(inTime), ended)
  const early = lineEvent('EXPIRATION', '2026-03-10', { transactionId: 't1', expiresAt: date('2026-03-10') })
  assert.deepEqual(after(early), { ...ended, expiresAt: date('2026-03-10') })
  assert.deepEqual(currentPeriod(foldLine([first, early]))?.expiredAt, date('2026-03-10'))
})

test('EXPIRATION counts without an end or with one at the period’s end, and clears grace', () => {
  const issue = lineEvent('BILLING_ISSUE', '2026-04-01', { graceEndsAt: date('2026-04-17') })
  assert.deepEqual(after(issue, lineEvent('EXPIRATION', '2026-04-17')), ended)
  assert.deepEqual(after(lineEvent('EXPIRATION', '2026-04-02', { expiresAt: date('2026-04-01') })), ended)
  const other = lineEvent('EXPIRATION', '2026-04-02', { transactionId: 't0', expiresAt: date('2026-03-31') })
  assert.deepEqual(after(other), bought)
})

test('a late EXPIRATION after RENEWAL leaves access', () => {
  const late = lineEvent('EXPIRATION', '2026-04-02', { transactionId: 't1', expiresAt: date('2026-04-01') })
  assert.deepEqual(after(second, late), after(second))
})

test('a late older RENEWAL shortens nothing and changes no plan', () => {
  const older = { ...first, eventId: 'older', type: 'RENEWAL', transactionId: 't0', at: date('2026-02-01') }
  assert.deepEqual(after(second, { ...older, receiptOrder: Number.MAX_SAFE_INTEGER }), after(second))
})

test('SUBSCRIPTION_EXTENDED raises the end, never lowers it', () => {
  const extended = (end: string): LineEvent =>
    lineEvent('SUBSCRIPTION_EXTENDED', '2026-03-10', { transactionId: 't1', expiresAt: date(end) })
  assert.deepEqual(after(extended('2026-04-20')), { ...bought, expiresAt: date('2026-04-20') })
  assert.deepEqual(after(extended('2026-03-15')), bought)
  const issue = lineEvent('BILLING_ISSUE', '2026-03-09', { graceEndsAt: date('2026-05-10') })
  assert.deepEqual(after(issue, extended('2026-04-20')).expiresAt, date('2026-05-10'))
})

test('PRODUCT_CHANGE is pending until the next RENEWAL; the same plan or none is not shown', () => {
  const to = (newProductId: string | null): LineEvent =>
    lineEvent('PRODUCT_CHANGE', '2026-03-10', { newProductId, expiresAt: date('2026-03-10') })
  assert.deepEqual(after(to('dawnotemu_annual')), { ...bought, pendingPlan: 'dawnotemu_annual' })
  assert.deepEqual(after(to('dawnotemu_monthly')), bought)
  assert.deepEqual(after(to(null)), bought)
  assert.deepEqual(after(to('dawnotemu_annual'), second), after(second))
})

test('SUBSCRIPTION_PAUSED keeps access until EXPIRATION; a purchase resumes', () => {
  const pause = lineEvent('SUBSCRIPTION_PAUSED', '2026-03-10', { resumesAt: date('2026-05-01') })
  assert.deepEqual(after(pause), { ...bought, willRenew: false })
  assert.deepEqual(after(pause, second).willRenew, true)
})

test('REFUND_REVERSED of the current transaction restores access until its end', () => {
  const refund = lineEvent('CANCELLATION', '2026-03-05', { transactionId: 't1', price: -1 })
  const expired = lineEvent('EXPIRATION', '2026-03-05T01:00:00Z', {
    transactionId: 't1',
    expiresAt: date('2026-03-05'),
  })
  const reversal = lineEvent('REFUND_REVERSED', '2026-03-12', {
    transactionId: 't1',
    expiresAt: date('2026-04-01'),
  })
  assert.deepEqual(after(refund, expired, reversal), { ...bought, willRenew: false })
  assert.equal(currentPeriod(foldLine([first, expired, reversal]))?.expiredAt, null)
  assert.equal(after(expired, { ...reversal, expiresAt: null }).isActive, false)
  assert.equal(after(expired, { ...reversal, transactionId: 't0' }).isActive, false)
})

test('TEMPORARY_ENTITLEMENT_GRANT gives a line without a period a day at most, and no points', () => {
  const grant = lineEvent('TEMPORARY_ENTITLEMENT_GRANT', '2026-03-01', {
    productId: 'dawnotemu_monthly',
    store: 'app_store',
  })
  const granted = { ...bought, willRenew: false, expiresAt: date('2026-03-02') }
  assert.deepEqual(projected(grant), granted)
  assert.deepEqual(projected({ ...grant, expiresAt: date('2026-09-01') }), granted)
  const short = date('2026-03-01T06:00:00Z')
  assert.deepEqual(projected({ ...grant, expiresAt: short }), { ...granted, expiresAt: short })
  assert.equal(foldLine([grant]).purchases.size, 0)
  assert.deepEqual(after({ ...grant, at: date('2026-03-09') }), bought)
})

test('events without ids and times work in sequence', () => {
  const bare = (type: string, at: string): LineEvent =>
    lineEvent(type, at, { productId: 'dawnotemu_monthly' })
  const start = bare('INITIAL_PURCHASE', '2026-03-01')
  assert.deepEqual(projected(start), { ...bought, source: null, expiresAt: date('2026-04-05') })
  const renewed = projected(start, bare('CANCELLATION', '2026-03-02'), bare('RENEWAL', '2026-04-04'))
  assert.deepEqual(renewed, { ...bought, source: null, expiresAt: date('2026-05-09') })
  assert.equal(projected(start, bare('EXPIRATION', '2026-04-05')).isActive, false)
})
