import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { receivedOfLine } from '../../../test/line-fixtures.ts'
import { propertySettings } from '../../../test/property-settings.ts'
import { storeLives, type SentEvent, type StoreLife } from '../../../test/store-lives.ts'
import { foldLine, inEventOrder } from './fold.ts'
import { currentPeriod, type LineState } from './line-state.ts'
import { projectUser } from './project-user.ts'
import { dispensableEvents } from './prune.ts'
import { isPurchase } from './store-event.ts'

const settings = propertySettings()
const { seed } = settings

const foldAll = (events: readonly SentEvent[], { lines }: StoreLife): LineState[] =>
  lines.map((_, line) => foldLine(receivedOfLine(events, line)))

/** What access depends on; without the history that pruning may take. */
const shown = (line: LineState): object => {
  const { isActive, willRenew, accessEndsAt, billingIssueAt, pendingPlan, plan, store } = line
  const { ownerUserId, unknownOwnerIds } = line
  const flags = { isActive, willRenew, accessEndsAt, billingIssueAt, pendingPlan, plan, store }
  return { ...flags, ownerUserId, unknownOwnerIds, period: currentPeriod(line) }
}

/** An order of places 0..n-1 from any list of numbers. */
const permuted = <T>(items: readonly T[], keys: readonly number[]): T[] =>
  items
    .map((item, place) => ({ item, key: keys[place % keys.length] ?? 0, place }))
    .sort((a, b) => a.key - b.key || a.place - b.place)
    .map(({ item }) => item)

const keys = fc.array(fc.nat(1000), { minLength: 40, maxLength: 40 })

test(`every order of arrival folds to one state, seed ${seed}`, () => {
  fc.assert(
    fc.property(storeLives({ isGappy: true }), keys, (life, order) => {
      const shuffled = permuted(life.events, order)
      const now = new Date(Date.UTC(2026, 8, 1))
      assert.deepEqual(foldAll(shuffled, life), foldAll(life.events, life))
      const [late, inOrder] = [foldAll(shuffled, life), foldAll(life.events, life)]
      assert.deepEqual(projectUser(late, now), projectUser(inOrder.toReversed(), now))
    }),
    settings,
  )
})

test(`the folded state is what the store knows, seed ${seed}`, () => {
  fc.assert(
    fc.property(storeLives(), keys, (life, order) => {
      const folded = foldAll(permuted(life.events, order), life)
      for (const [at, truth] of life.lines.entries()) {
        const line = folded[at]!
        const period = currentPeriod(line)
        const refunded = [...line.refunds].filter(([, flag]) => flag.isRefunded).map(([id]) => id)
        assert.deepEqual(
          {
            transactionId: period?.transactionId,
            plan: line.plan,
            endMs: period?.endsAt.getTime(),
            isActive: line.isActive,
            willRenew: line.willRenew,
            owner: line.ownerUserId === null ? line.unknownOwnerIds?.[0] : String(line.ownerUserId),
            refunded: refunded.toSorted(),
          },
          {
            transactionId: truth.transactionId,
            plan: truth.plan.split(':')[0],
            endMs: truth.endMs,
            isActive: truth.isActive,
            willRenew: truth.willRenew,
            owner: truth.owner,
            refunded: [...truth.refunded].toSorted(),
          },
        )
      }
    }),
    settings,
  )
})

const again = (events: readonly SentEvent[], picks: readonly number[], isNewId: boolean): SentEvent[] =>
  picks.map((pick) => {
    const { line, body } = events[pick % events.length]!
    const id = isNewId ? `${body.event.id}-again` : body.event.id
    return { line, body: { ...body, event: { ...body.event, id } } }
  })

const picks = fc.array(fc.nat(1000), { minLength: 1, maxLength: 6 })

test(`duplicates change nothing, seed ${seed}`, () => {
  fc.assert(
    fc.property(storeLives({ isGappy: true }), picks, keys, (life, chosen, order) => {
      const all = permuted([...life.events, ...again(life.events, chosen, false)], order)
      assert.deepEqual(foldAll(all, life), foldAll(life.events, life))
    }),
    settings,
  )
})

test(`events re-issued under new ids change nothing, seed ${seed}`, () => {
  const withoutIds = (lines: readonly LineState[]): object[] =>
    lines.map((line) => ({
      ...line,
      purchases: [...line.purchases.values()].map((purchase) => ({ ...purchase, eventId: null })),
    }))
  fc.assert(
    fc.property(storeLives(), picks, keys, (life, chosen, order) => {
      const all = permuted([...life.events, ...again(life.events, chosen, true)], order)
      assert.deepEqual(withoutIds(foldAll(all, life)), withoutIds(foldAll(life.events, life)))
    }),
    settings,
  )
})

test(`a late event from before the newest purchase undoes nothing newer, seed ${seed}`, () => {
  fc.assert(
    fc.property(storeLives({ without: ['transfer'] }), fc.nat(1000), (life, pick) => {
      for (const [at] of life.lines.entries()) {
        const events = receivedOfLine(life.events, at)
        const newest = inEventOrder(events).findLastIndex(isPurchase)
        const late = events[pick % events.length]!
        if (newest === 0 || inEventOrder(events).indexOf(late) >= newest) continue
        const before = foldLine(events.filter((event) => event !== late))
        const after = foldLine([
          ...events.filter((event) => event !== late),
          { ...late, receiptOrder: 1_000_000 },
        ])
        assert.deepEqual(shown(after), shown(before), `${late.type} came late`)
      }
    }),
    settings,
  )
})

test(`a pruned line folds to the same state, pruned at any time and again, seed ${seed}`, () => {
  const missing = fc.constantFrom('product_id', 'store', 'none')
  fc.assert(
    fc.property(storeLives({ isGappy: true }), missing, fc.nat(30), (life, field, cut) => {
      for (const sent of life.events) if (sent.body.event.type === 'RENEWAL') delete sent.body.event[field]
      for (const [at] of life.lines.entries()) {
        const events = receivedOfLine(life.events, at)
        const whole = shown(foldLine(events))
        const early = new Set(dispensableEvents(events.slice(0, cut)))
        const rest = events.filter(({ eventId }) => !early.has(eventId))
        assert.deepEqual(shown(foldLine(rest)), whole)
        const late = new Set(dispensableEvents(rest))
        const kept = rest.filter(({ eventId }) => !late.has(eventId))
        assert.deepEqual(shown(foldLine(kept)), whole)
        assert.deepEqual(dispensableEvents(kept), [])
      }
    }),
    settings,
  )
})
