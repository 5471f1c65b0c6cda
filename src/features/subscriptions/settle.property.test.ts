import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { receivedOfLine } from '../../../test/line-fixtures.ts'
import { propertySettings } from '../../../test/property-settings.ts'
import { storeLives, type SentEvent } from '../../../test/store-lives.ts'
import { foldLine } from './fold.ts'
import type { LineState } from './line-state.ts'
import { settlePeriod, type PeriodPurchase, type SettlementAction } from './settle.ts'

const settings = propertySettings()
const points = { monthly: 26, yearlyMonth: 30, yearlyProductIds: ['dawnotemu_annual'] }

interface Lot {
  userId: number
  month: number
  granted: number
  remaining: number
}

/** The ledger's part, as far as settlement relies on it: keyed grants, claw-back of what is left, its undoing. */
const createBooks = () => {
  const ids = new Map<string, number>()
  const lots = new Map<number, Lot[]>()
  const taken = new Map<number, { lot: Lot; amount: number }[]>()
  const keys = new Set<string>()
  const lotsOf = (id: number): Lot[] => lots.get(id) ?? []

  const carryOut = (id: number, action: SettlementAction): void => {
    if (action.kind === 'grant') {
      assert.ok(!keys.has(action.grantKey), `${action.grantKey} twice`)
      keys.add(action.grantKey)
      const { userId, month, amount } = action
      lots.set(id, [...lotsOf(id), { userId, month, granted: amount, remaining: amount }])
    } else if (action.kind === 'claw_back') {
      for (const lot of lotsOf(id)) {
        if (lot.remaining > 0) taken.set(id, [...(taken.get(id) ?? []), { lot, amount: lot.remaining }])
        lot.remaining = 0
      }
    } else {
      for (const { lot, amount } of taken.get(id) ?? []) lot.remaining += amount
      taken.delete(id)
    }
  }

  const settleLine = (line: LineState, now: Date): SettlementAction[] =>
    [...line.purchases.values()].flatMap((bought) => {
      const id = ids.get(bought.transactionId) ?? ids.size + 1
      ids.set(bought.transactionId, id)
      const purchase: PeriodPurchase = {
        ...bought,
        id,
        userId: bought.userId ?? 0,
        refund: null,
        monthsPaidBefore: null,
        notGrantedReason: null,
      }
      const ledger = {
        grantedMonths: lotsOf(id).map(({ month }) => month),
        pointsLeft: lotsOf(id).reduce((sum, { remaining }) => sum + remaining, 0),
        openClawBacks: (taken.get(id) ?? []).length,
      }
      const { actions } = settlePeriod({ purchase, line, ledger, mayOwnerReceive: true, points, now })
      for (const action of actions) carryOut(id, action)
      return actions
    })

  const all = (): { transactionId: string; lots: Lot[] }[] =>
    [...ids]
      .map(([transactionId, id]) => ({ transactionId, lots: lotsOf(id) }))
      .filter(({ lots }) => lots.length > 0)
      .sort((a, b) => (a.transactionId < b.transactionId ? -1 : 1))
  return { settleLine, all, lotsOf: (transactionId: string) => lotsOf(ids.get(transactionId) ?? 0) }
}

const shuffle = fc.array(fc.nat(1000), { minLength: 40, maxLength: 40 })
const order = (events: readonly SentEvent[], keys: readonly number[]): SentEvent[] =>
  events
    .map((event, at) => ({ event, key: keys[at % keys.length] ?? 0 }))
    .sort((a, b) => a.key - b.key)
    .map(({ event }) => event)

const dayMs = 86_400_000
const instant = fc.nat(900).map((days) => new Date(Date.UTC(2026, 0, 31) + days * dayMs))

/** The server stores no event of a customer that it does not know. */
const isStored = ({ line, body }: SentEvent): boolean =>
  line === null || /^[0-9]/.test(String(body.event['app_user_id']))

/** Every line settled after every arrival, as the webhook does. */
const live = (events: readonly SentEvent[], lines: number, now: Date): ReturnType<typeof createBooks> => {
  const books = createBooks()
  for (const [place, arrived] of events.entries())
    for (let line = 0; line < lines; line += 1)
      if (arrived.line === line || arrived.line === null)
        books.settleLine(foldLine(receivedOfLine(events.slice(0, place + 1), line)), now)
  return books
}

test(`settling again gives nothing, after any arrival and at any time, seed ${settings.seed}`, () => {
  const spends = fc.array(fc.nat(40), { maxLength: 8 })
  fc.assert(
    fc.property(storeLives({ isGappy: true }), shuffle, instant, spends, (life, keys, now, spent) => {
      const books = createBooks()
      const arrivals = order(life.events, keys)
      for (const [place] of arrivals.entries()) {
        const line = foldLine(receivedOfLine(arrivals.slice(0, place + 1), 0))
        books.settleLine(line, now)
        assert.deepEqual(books.settleLine(line, now), [])
        const amount = spent[place % (spent.length || 1)] ?? 0
        for (const { lots } of books.all())
          for (const lot of lots) lot.remaining = Math.max(0, lot.remaining - amount)
      }
    }),
    settings,
  )
})

test(`any order of arrival pays each transaction once, to one user, and ends in one balance, seed ${settings.seed}`, () => {
  fc.assert(
    fc.property(storeLives(), shuffle, instant, (life, keys, now) => {
      const firstMonths = (events: readonly SentEvent[]): object[] =>
        live(events, life.lines.length, now)
          .all()
          .map(({ transactionId, lots }) => ({
            transactionId,
            lots: lots.filter(({ month }) => month === 0),
          }))
          .filter(({ lots }) => lots.some(({ remaining }) => remaining > 0))
      const stored = life.events.filter(isStored)
      assert.deepEqual(firstMonths(order(stored, keys)), firstMonths(stored))
    }),
    { ...settings, numRuns: Math.ceil(settings.numRuns / 4) },
  )
})

test(`nothing is left on a refunded purchase, all on others, at most twelve months, seed ${settings.seed}`, () => {
  fc.assert(
    fc.property(storeLives(), shuffle, instant, (life, keys, now) => {
      const books = live(order(life.events, keys), life.lines.length, now)
      for (const [at] of life.lines.entries()) {
        const line = foldLine(receivedOfLine(life.events, at))
        for (const { transactionId, productId } of line.purchases.values()) {
          const lots = books.lotsOf(transactionId)
          const isRefunded = line.refunds.get(transactionId)?.isRefunded ?? false
          for (const lot of lots) assert.equal(lot.remaining, isRefunded ? 0 : lot.granted)
          const months = lots.map(({ month }) => month)
          assert.equal(new Set(months).size, months.length)
          assert.ok(months.length <= (productId === 'dawnotemu_annual' ? 12 : 1))
          if (!isRefunded) assert.ok(months.includes(0))
        }
      }
    }),
    { ...settings, numRuns: Math.ceil(settings.numRuns / 4) },
  )
})
