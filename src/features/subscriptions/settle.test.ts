import assert from 'node:assert/strict'
import { test } from 'node:test'
import { lineEvent } from '../../../test/line-fixtures.ts'
import { foldLine } from './fold.ts'
import type { LineEvent } from './line-state.ts'
import {
  mergeRefund,
  settlePack,
  settlePeriod,
  type PeriodPurchase,
  type PurchaseLedger,
  type Settlement,
} from './settle.ts'

const date = (text: string): Date => new Date(text)
const bought = lineEvent('INITIAL_PURCHASE', '2026-01-31', {
  transactionId: 't1',
  productId: 'dawnotemu_monthly',
  purchasedAt: date('2026-01-31'),
  expiresAt: date('2026-02-28'),
})
const annual = { ...bought, productId: 'dawnotemu_annual', expiresAt: date('2027-01-31') }
const purchase: PeriodPurchase = {
  id: 5,
  transactionId: 't1',
  productId: 'dawnotemu_monthly',
  isInitial: true,
  userId: 11,
  purchasedAt: date('2026-01-31'),
  endsAt: date('2026-02-28'),
  refund: null,
  monthsPaidBefore: null,
  notGrantedReason: null,
}
const annualPurchase = { ...purchase, productId: 'dawnotemu_annual', endsAt: date('2027-01-31') }
const untouched: PurchaseLedger = { grantedMonths: [], pointsLeft: 0, openClawBacks: 0 }
const points = { monthly: 26, yearlyMonth: 30, yearlyProductIds: ['dawnotemu_annual', 'dawnotemu_yearly'] }

const settle = (facts: {
  purchase?: PeriodPurchase
  events?: LineEvent[]
  ledger?: Partial<PurchaseLedger>
  now?: string
  mayOwnerReceive?: boolean
}): Settlement =>
  settlePeriod({
    purchase: facts.purchase ?? purchase,
    line: foldLine(facts.events ?? [bought]),
    ledger: { ...untouched, ...facts.ledger },
    mayOwnerReceive: facts.mayOwnerReceive ?? true,
    points,
    now: date(facts.now ?? '2026-02-01'),
  })
const summary = ({ actions }: Settlement): unknown[] =>
  actions.map((action) =>
    action.kind === 'grant' ? [action.month, action.userId, action.amount] : action.kind,
  )

const refunded = lineEvent('CANCELLATION', '2026-02-02', {
  transactionId: 't1',
  cancelReason: 'CUSTOMER_SUPPORT',
})
const reversed = lineEvent('REFUND_REVERSED', '2026-02-03', { transactionId: 't1' })
const moved = lineEvent('TRANSFER', '2026-03-10', { fromUserIds: [11], toUserId: 12 })

test('a bought month is paid at once, under its key and reason', () => {
  const early = settle({ now: '2026-01-30T12:00:00Z' })
  assert.deepEqual(early.actions, [
    {
      kind: 'grant',
      userId: 11,
      month: 0,
      amount: 26,
      source: 'monthly',
      reason: 'subscription_initial_purchase',
      grantKey: 'sub:5:0',
    },
  ])
  assert.deepEqual([early.nextGrantAt, early.isUnknownProduct], [null, false])
  const renewed = settle({ purchase: { ...purchase, isInitial: false } }).actions[0]
  assert.equal(renewed?.kind === 'grant' && renewed.reason, 'subscription_renewal')
})

test('an unknown product and none pay as monthly and are reported', () => {
  for (const productId of ['something', null]) {
    const settlement = settle({ purchase: { ...purchase, productId } })
    assert.deepEqual([summary(settlement), settlement.isUnknownProduct], [[[0, 11, 26]], true])
  }
})

test('what is granted is not granted again', () => {
  assert.deepEqual(summary(settle({ ledger: { grantedMonths: [0], pointsLeft: 26 } })), [])
})

test('bought and refunded before any grant: nothing; reversed: granted', () => {
  assert.deepEqual(summary(settle({ events: [bought, refunded] })), [])
  assert.deepEqual(summary(settle({ events: [bought, refunded, reversed] })), [[0, 11, 26]])
})

test('granted and refunded: clawed back, again when points return, never without points', () => {
  const events = [bought, refunded]
  const granted = { grantedMonths: [0] }
  assert.deepEqual(summary(settle({ events, ledger: { ...granted, pointsLeft: 3 } })), ['claw_back'])
  assert.deepEqual(summary(settle({ events, ledger: { ...granted, pointsLeft: 2, openClawBacks: 1 } })), [
    'claw_back',
  ])
  assert.deepEqual(summary(settle({ events, ledger: { ...granted, openClawBacks: 1 } })), [])
})

test('clawed back and no longer refunded: undone', () => {
  const events = [bought, refunded, reversed]
  assert.deepEqual(summary(settle({ events, ledger: { grantedMonths: [0], openClawBacks: 1 } })), [
    'undo_claw_back',
  ])
})

test('the stored refund flag survives the pruning of its event; the later writer wins', () => {
  const stored = { isRefunded: true, changedAt: date('2026-02-02') }
  const settlement = settle({
    purchase: { ...purchase, refund: stored },
    ledger: { grantedMonths: [0], pointsLeft: 1 },
  })
  assert.deepEqual([summary(settlement), settlement.refund], [['claw_back'], stored])
  const later = { isRefunded: false, changedAt: date('2026-02-03') }
  assert.deepEqual([mergeRefund(stored, later), mergeRefund(later, stored)], [later, later])
  const same = { ...later, changedAt: stored.changedAt }
  assert.deepEqual(
    [mergeRefund(stored, same), mergeRefund(null, null), mergeRefund(null, same)],
    [same, null, same],
  )
})

test('annual months: missed ones are made up, granted ones skipped, the next one told', () => {
  const now = '2026-04-30T00:00:00Z'
  const settlement = settle({
    purchase: annualPurchase,
    events: [annual],
    now,
    ledger: { grantedMonths: [0, 2] },
  })
  assert.deepEqual(
    settlement.actions.map(
      (action) => action.kind === 'grant' && [action.grantKey, action.reason, action.amount],
    ),
    [
      ['sub:5:1', 'yearly_subscription_monthly_grant', 30],
      ['sub:5:3', 'yearly_subscription_monthly_grant', 30],
    ],
  )
  assert.deepEqual(settlement.nextGrantAt, date('2026-05-31'))
})

test('after a transfer month 0 stays the buyer’s and coming months go to the new owner', () => {
  const events = [annual, moved]
  const settlement = settle({ purchase: annualPurchase, events, now: '2026-03-31T00:00:00Z' })
  assert.deepEqual(summary(settlement), [
    [0, 11, 30],
    [1, 12, 30],
    [2, 12, 30],
  ])
})

test('months of nobody, or of a deactivated owner, wait for them', () => {
  const away = { ...moved, toUserId: null, transferredTo: ['$RC'] }
  const now = '2026-03-31T00:00:00Z'
  const nobody = settle({ purchase: annualPurchase, events: [annual, away], now })
  const sleeping = settle({ purchase: annualPurchase, events: [annual], now, mayOwnerReceive: false })
  for (const settlement of [nobody, sleeping])
    assert.deepEqual([summary(settlement), settlement.nextGrantAt], [[[0, 11, 30]], date('2026-02-28')])
})

test('a refund in the year: all is clawed back, no month follows until it is reversed', () => {
  const now = '2026-04-30T00:00:00Z'
  const ledger = { grantedMonths: [0], pointsLeft: 30 }
  const refund = settle({ purchase: annualPurchase, events: [annual, refunded], now, ledger })
  assert.deepEqual([summary(refund), refund.nextGrantAt], [['claw_back'], null])
  const undone = { grantedMonths: [0], pointsLeft: 0, openClawBacks: 1 }
  const back = settle({ purchase: annualPurchase, events: [annual, refunded, reversed], now, ledger: undone })
  assert.deepEqual(summary(back), ['undo_claw_back', [1, 11, 30], [2, 11, 30], [3, 11, 30]])
})

test('imported: months begun before the import count as paid; what pays nothing pays nothing', () => {
  const now = '2026-04-30T00:00:00Z'
  const imported = { ...annualPurchase, monthsPaidBefore: date('2026-03-31T00:00:01Z') }
  assert.deepEqual(summary(settle({ purchase: imported, events: [annual], now })), [[3, 11, 30]])
  const silent = { ...annualPurchase, notGrantedReason: 'before_import' }
  const nothing = settle({ purchase: silent, events: [annual], now })
  assert.deepEqual([summary(nothing), nothing.nextGrantAt], [[], null])
})

const pack = { id: 9, userId: 11, productId: 'credits_20', isRefunded: false }

test('a pack is granted once to whoever is entitled, and tried again otherwise', () => {
  assert.deepEqual(settlePack({ purchase: pack, ledger: untouched, isEntitled: true }), {
    actions: [
      {
        kind: 'grant',
        userId: 11,
        month: 0,
        amount: 20,
        source: 'add_on',
        reason: 'addon:credits_20',
        grantKey: 'pack:9',
      },
    ],
    notGrantedReason: null,
  })
  const refusal = settlePack({ purchase: pack, ledger: untouched, isEntitled: false })
  assert.deepEqual(refusal, { actions: [], notGrantedReason: 'not_entitled' })
  const granted = { grantedMonths: [0], pointsLeft: 20, openClawBacks: 0 }
  const again = settlePack({ purchase: pack, ledger: granted, isEntitled: false })
  assert.deepEqual(again, { actions: [], notGrantedReason: null })
})

test('a refunded pack gives back what is left, a reversal returns or grants it', () => {
  const gone = { ...pack, isRefunded: true }
  const granted = { grantedMonths: [0], pointsLeft: 4, openClawBacks: 0 }
  const kinds = (facts: Parameters<typeof settlePack>[0]): string[] =>
    settlePack(facts).actions.map(({ kind }) => kind)
  assert.deepEqual(kinds({ purchase: gone, ledger: untouched, isEntitled: true }), [])
  assert.deepEqual(kinds({ purchase: gone, ledger: granted, isEntitled: true }), ['claw_back'])
  const taken = { grantedMonths: [0], pointsLeft: 0, openClawBacks: 1 }
  assert.deepEqual(kinds({ purchase: pack, ledger: taken, isEntitled: false }), ['undo_claw_back'])
  assert.deepEqual(kinds({ purchase: pack, ledger: untouched, isEntitled: true }), ['grant'])
})
