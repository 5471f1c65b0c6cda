import assert from 'node:assert/strict'
import { test } from 'node:test'
import { lineEvent } from '../../../test/line-fixtures.ts'
import { foldLine, inEventOrder } from './fold.ts'
import type { LineEvent } from './line-state.ts'
import { projectUser, shownLine } from './project-user.ts'
import { dispensableEvents } from './prune.ts'

const bought = lineEvent('INITIAL_PURCHASE', '2026-03-01', {
  transactionId: 't1',
  productId: 'dawnotemu_monthly',
  store: 'app_store',
  expiresAt: new Date('2026-04-01'),
})
const moved = (
  at: string,
  from: readonly string[],
  to: readonly string[],
  store: LineEvent['store'] = 'app_store',
): LineEvent => {
  const users = (ids: readonly string[]): number[] => ids.map(Number).filter((id) => !Number.isNaN(id))
  return lineEvent('TRANSFER', at, {
    store,
    transferredFrom: from,
    transferredTo: to,
    fromUserIds: users(from),
    toUserId: users(to)[0] ?? null,
  })
}
const ownerOf = (...events: LineEvent[]): number | null => foldLine(events).ownerUserId

test('the owner is the user whom the line’s first event names', () => {
  assert.equal(ownerOf(bought, { ...bought, eventId: 'c', type: 'CANCELLATION', userId: 12 }), 11)
  assert.equal(ownerOf(lineEvent('BILLING_ISSUE', '2026-03-01', { userId: 13 })), 13)
})

test('TRANSFER moves a line from one of the former customers to the receiver', () => {
  assert.equal(ownerOf(bought, moved('2026-03-02', ['99', '11'], ['$RC:1', '12'])), 12)
  assert.equal(ownerOf(bought, moved('2026-03-02', ['13'], ['12'])), 11)
  assert.equal(ownerOf(bought, moved('2026-03-02', ['11'], ['12']), moved('2026-03-03', ['12'], ['13'])), 13)
})

test('TRANSFER moves the lines of its store, or all when it names none', () => {
  assert.equal(ownerOf(bought, moved('2026-03-02', ['11'], ['12'], 'play_store')), 11)
  assert.equal(ownerOf(bought, moved('2026-03-02', ['11'], ['12'], 'other')), 11)
  assert.equal(ownerOf(bought, moved('2026-03-02', ['11'], ['12'], null)), 12)
  assert.equal(ownerOf({ ...bought, store: null }, moved('2026-03-02', ['11'], ['12'])), 12)
})

test('a TRANSFER before the purchase does not move it, nor one that is received late but was earlier', () => {
  const before = { ...moved('2026-02-28', ['11'], ['12']), receiptOrder: Number.MAX_SAFE_INTEGER }
  assert.equal(ownerOf(bought, before), 11)
})

test('TRANSFER to an unknown customer leaves nobody, and a later one from there is followed', () => {
  const away = moved('2026-03-02', ['11'], ['$RC:1'])
  const line = foldLine([bought, away])
  assert.deepEqual([line.ownerUserId, line.unknownOwnerIds], [null, ['$RC:1']])
  assert.equal(ownerOf(bought, away, lineEvent('CANCELLATION', '2026-03-03')), null)
  assert.equal(ownerOf(bought, away, moved('2026-03-03', ['$RC:2'], ['12'])), null)
  assert.equal(ownerOf(bought, away, moved('2026-03-03', ['$RC:1'], ['12'])), 12)
})

test('a purchase goes to the user it names, also when their TRANSFER has not arrived', () => {
  const renewal = lineEvent('RENEWAL', '2026-04-01', { transactionId: 't2', userId: 12 })
  const line = foldLine([bought, renewal])
  assert.deepEqual(
    [line.ownerUserId, line.purchases.get('t1')?.userId, line.purchases.get('t2')?.userId],
    [12, 11, 12],
  )
  const late = foldLine([bought, renewal, moved('2026-03-20', ['11'], ['12'])])
  assert.deepEqual([late.ownerUserId, late.purchases.get('t2')?.userId], [12, 12])
})

test('two events of one transaction are one purchase, told by the first', () => {
  const again = { ...bought, eventId: 'again', type: 'RENEWAL', at: new Date('2026-03-02') }
  const { purchases, periods } = foldLine([again, bought])
  assert.deepEqual([purchases.size, periods.length], [1, 1])
  assert.deepEqual([purchases.get('t1')?.isInitial, purchases.get('t1')?.eventId], [true, bought.eventId])
})

test('a purchase from the store’s reply leaves the fold once a webhook tells of it, its refund stays', () => {
  const rest = lineEvent('RENEWAL', '2026-03-02', {
    eventId: 'rest:t1',
    transactionId: 't1',
    origin: 'store_reply',
    expiresAt: new Date('2026-09-01'),
  })
  const refund = {
    ...rest,
    eventId: 'rest:t1:refund',
    type: 'CANCELLATION',
    cancelReason: 'CUSTOMER_SUPPORT',
  }
  const naming = lineEvent('BILLING_ISSUE', '2026-03-03', { transactionId: 't1' })
  assert.deepEqual(foldLine([rest, refund, naming]).accessEndsAt, new Date('2026-09-01'))
  const line = foldLine([bought, rest, refund, naming])
  assert.deepEqual(line.accessEndsAt, bought.expiresAt)
  assert.equal(line.refunds.get('t1')?.isRefunded, true)
})

test('events of one instant count in the order of receipt', () => {
  const cancel = { ...lineEvent('CANCELLATION', '2026-03-02'), receiptOrder: 5 }
  const uncancel = { ...lineEvent('UNCANCELLATION', '2026-03-02'), receiptOrder: 6 }
  assert.equal(foldLine([uncancel, cancel, bought]).willRenew, true)
  const swapped = foldLine([bought, { ...cancel, receiptOrder: 7 }, uncancel])
  assert.equal(swapped.willRenew, false)
  assert.deepEqual(inEventOrder([uncancel, cancel, bought]), [bought, cancel, uncancel])
})

test('an event id counts once, as it was first received', () => {
  const cancel = lineEvent('CANCELLATION', '2026-03-02')
  const other = { ...cancel, type: 'EXPIRATION', receiptOrder: cancel.receiptOrder + 1 }
  for (const events of [
    [bought, cancel, other],
    [other, cancel, bought],
  ]) {
    const { isActive, willRenew } = foldLine(events)
    assert.deepEqual([isActive, willRenew], [true, false])
  }
})

const line = (transactionId: string, expiresAt: string, ...more: LineEvent[]) =>
  foldLine([{ ...bought, eventId: transactionId, transactionId, expiresAt: new Date(expiresAt) }, ...more])
const now = new Date('2026-03-20')
const shownOf = (...lines: ReturnType<typeof line>[]): string | undefined =>
  shownLine(lines, now)?.periods.at(-1)?.transactionId

test('of several lines the one still running is shown, then the latest end, then the transaction id', () => {
  const revoked = line('z', '2026-12-01', lineEvent('EXPIRATION', '2026-03-10'))
  const over = line('a', '2026-03-20')
  const running = line('m', '2026-03-20T00:00:00.001Z')
  assert.equal(shownOf(revoked, over, running), 'm')
  assert.equal(shownOf(over, revoked), 'z')
  assert.equal(shownOf(running, line('k', '2026-06-01')), 'k')
  assert.equal(shownOf(line('q', '2026-06-01'), line('p', '2026-06-01')), 'p')
  assert.equal(shownOf(foldLine([lineEvent('CANCELLATION', '2026-03-02')])), undefined)
})

test('EXPIRATION of one line leaves another one’s access', () => {
  const ended = line('a', '2026-12-01', lineEvent('EXPIRATION', '2026-03-10'))
  assert.equal(projectUser([ended, line('b', '2026-04-01')], now).isActive, true)
})

test('pruning keeps the newest purchase, what follows it, TRANSFERs, and who last named product and store', () => {
  const cancel = lineEvent('CANCELLATION', '2026-03-05')
  const transfer = moved('2026-03-06', ['11'], ['12'])
  const next = lineEvent('RENEWAL', '2026-04-01', { transactionId: 't2' })
  const issue = lineEvent('BILLING_ISSUE', '2026-05-01')
  const all = [bought, cancel, transfer, next, issue]
  assert.deepEqual(dispensableEvents(all), [cancel.eventId])
  const full = { ...next, productId: 'dawnotemu_annual', store: 'app_store' as const }
  assert.deepEqual(dispensableEvents([bought, cancel, transfer, full, issue]), [
    bought.eventId,
    cancel.eventId,
  ])
  assert.deepEqual(dispensableEvents([cancel, transfer, issue]), [])
  assert.deepEqual(dispensableEvents([bought, { ...full, userId: null }]), [])
})
