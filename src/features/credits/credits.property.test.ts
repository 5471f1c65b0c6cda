import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import fc from 'fast-check'
import { AppError } from '../../platform/errors.ts'
import {
  assertBooks,
  defaultPriority,
  hourMs,
  openLedger,
  spendableOf,
  sum,
  type LedgerBench,
} from '../../../test/ledger-fixtures.ts'
import { createCredits, type Credits, type LotSource } from './credits.ts'

// Histories of ledger calls on a real database, compared after each step with a model of a few lines: I1 to I7 and I10.
// A failure prints the seed and the shortest history; LEDGER_RUNS runs more of them.

type Step =
  | {
      kind: 'grant'
      user: number
      amount: number
      source: LotSource
      expiresInHours: number | null
      key: number | null
    }
  | { kind: 'debit'; user: number; amount: number; narration: number }
  | { kind: 'refund'; debit: number }
  | { kind: 'wait'; hours: number }

const sources: readonly LotSource[] = ['event', 'monthly', 'referral', 'add_on', 'free']
const users = 2
const narrations = 3

// Coarse times, so that the clock often stands at the very moment a lot expires.
const hours = (most: number) => fc.integer({ min: 1, max: most }).map((count) => count * 6)
const user = fc.nat({ max: users - 1 })
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('grant' as const),
      user,
      amount: fc.integer({ min: 1, max: 12 }),
      source: fc.constantFrom(...sources),
      expiresInHours: fc.option(hours(8)),
      key: fc.option(fc.nat({ max: 2 }), { freq: 2 }),
    }),
  },
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('debit' as const),
      user,
      amount: fc.integer({ min: 1, max: 15 }),
      narration: fc.nat({ max: narrations - 1 }),
    }),
  },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('refund' as const), debit: fc.nat({ max: 9 }) }) },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant('wait' as const), hours: hours(30) }),
  },
)
const priority = fc.oneof(fc.constant(defaultPriority), fc.shuffledSubarray([...sources]))

interface ModelLot {
  /** Place in the order of granting: the ids of the database grow the same way. */
  place: number
  source: string
  granted: number
  remaining: number
  expires: number
  created: number
}
interface ModelDebit {
  id: number
  amount: number
  narration: number
  isOpen: boolean
  taken: { lot: ModelLot; amount: number }[]
}
interface Account {
  id: number
  narrationIds: { narrationId: number; storyId: number }[]
  lots: ModelLot[]
  debits: ModelDebit[]
  keys: Map<number, number>
  rows: number
}

const rankIn = (order: readonly string[], source: string): string => {
  const index = order.indexOf(source)
  return index === -1 ? `9${source}` : String(index)
}

/** Takes points off the model's lots in the specified order; null when there are too few, and nothing changed. */
const take = (
  account: Account,
  amount: number,
  order: readonly string[],
  now: number,
): ModelDebit['taken'] | null => {
  const live = account.lots.filter((lot) => lot.expires > now && lot.remaining > 0)
  if (sum(live.map((lot) => lot.remaining)) < amount) return null
  const taken: ModelDebit['taken'] = []
  let left = amount
  while (left > 0) {
    const keyOf = (lot: ModelLot) => [rankIn(order, lot.source), lot.expires, lot.created, lot.place] as const
    const isBefore = (a: ModelLot, b: ModelLot): boolean => {
      for (const [index, value] of keyOf(a).entries()) {
        const against = keyOf(b)[index] ?? 0
        if (value !== against) return value < against
      }
      return false
    }
    const open = live.filter((lot) => lot.remaining > 0)
    const next = open.find((lot) => open.every((rival) => rival === lot || isBefore(lot, rival)))
    assert.ok(next, 'the spending order is total')
    const share = Math.min(left, next.remaining)
    next.remaining -= share
    left -= share
    taken.push({ lot: next, amount: share })
  }
  return taken
}

let bench: LedgerBench
before(async () => {
  bench = await openLedger()
})
after(() => bench.close())

const openAccount = async (): Promise<Account> => {
  const id = await bench.newUser()
  const narrationIds = []
  for (let count = 0; count < narrations; count += 1) narrationIds.push(await bench.newNarration(id))
  return { id, narrationIds, lots: [], debits: [], keys: new Map(), rows: 0 }
}

const play = async (
  accounts: Account[],
  credits: Credits,
  order: readonly string[],
  next: Step,
): Promise<void> => {
  const now = bench.clock.now().getTime()
  if (next.kind === 'wait') return bench.clock.advance(next.hours * hourMs)
  if (next.kind === 'refund') return refund(accounts, credits, next.debit, now)
  const account = accounts[next.user]
  assert.ok(account)
  return next.kind === 'grant'
    ? grant(account, credits, next, now)
    : debit(account, credits, order, next, now)
}

const grant = async (
  account: Account,
  credits: Credits,
  next: Step & { kind: 'grant' },
  now: number,
): Promise<void> => {
  const expires = next.expiresInHours === null ? Infinity : now + next.expiresInHours * hourMs
  const result = await bench.database.transaction((tx) =>
    credits.grant(tx, {
      userId: account.id,
      amount: next.amount,
      source: next.source,
      reason: 'admin_grant',
      ...(expires === Infinity ? {} : { expiresAt: new Date(expires) }),
      ...(next.key === null ? {} : { grantKey: `test:${account.id}:${next.key}` }),
    }),
  )
  const known = next.key === null ? undefined : account.keys.get(next.key)
  if (known !== undefined) return assert.deepEqual(result, { transactionId: known, isNew: false })
  assert.equal(result.isNew, true)
  if (next.key !== null) account.keys.set(next.key, result.transactionId)
  const { source, amount } = next
  account.lots.push({
    place: account.lots.length,
    source,
    granted: amount,
    remaining: amount,
    expires,
    created: now,
  })
  account.rows += 1
}

const debit = async (
  account: Account,
  credits: Credits,
  order: readonly string[],
  next: Step & { kind: 'debit' },
  now: number,
): Promise<void> => {
  const target = account.narrationIds[next.narration]
  assert.ok(target)
  const request = {
    userId: account.id,
    amount: next.amount,
    reason: `audio_synthesis:${target.storyId}`,
    ...target,
  }
  const call = () => bench.database.transaction((tx) => credits.debit(tx, request))
  const open = account.debits.find((entry) => entry.isOpen && entry.narration === next.narration)
  if (open)
    return assert.deepEqual(await call(), { transactionId: open.id, isNew: false }, 'I7: nothing is charged')
  const available = sum(account.lots.filter((lot) => lot.expires > now).map((lot) => lot.remaining))
  const taken = take(account, next.amount, order, now)
  if (!taken)
    return assert.rejects(call(), (error: unknown) => {
      assert.ok(error instanceof AppError)
      assert.equal(
        error.details.text,
        `Insufficient Story Points: need ${next.amount}, available ${available}`,
      )
      return true
    })
  const { transactionId, isNew } = await call()
  assert.equal(isNew, true)
  account.debits.push({
    id: transactionId,
    amount: next.amount,
    narration: next.narration,
    isOpen: true,
    taken,
  })
  account.rows += 1
}

const refund = async (accounts: Account[], credits: Credits, which: number, now: number): Promise<void> => {
  const all = accounts.flatMap((account) => account.debits.map((entry) => ({ account, entry })))
  const chosen = all.length === 0 ? undefined : all[which % all.length]
  if (!chosen) return
  const { account, entry } = chosen
  const isDone = await bench.database.transaction((tx) => credits.refund(tx, entry.id, 'synthesis_failed'))
  assert.equal(isDone, entry.isOpen, 'I6: a second refund does nothing')
  if (!entry.isOpen) return
  entry.isOpen = false
  account.rows += 1
  for (const { lot, amount } of entry.taken) {
    if (lot.expires <= now) {
      if (lot.remaining > 0) account.rows += 1
      lot.remaining = 0
      lot.expires = now + 168 * hourMs
    }
    lot.remaining += amount
  }
}

const compare = async (account: Account, isChanged: boolean): Promise<void> => {
  const books = await bench.books(account.id)
  assertBooks(books)
  assert.deepEqual(
    books.lots.map((lot) => [lot.source, lot.granted, lot.remaining, lot.expiresAt?.getTime() ?? Infinity]),
    account.lots.map((lot) => [lot.source, lot.granted, lot.remaining, lot.expires]),
    'I6, I7, I10: the lots hold what the model says',
  )
  assert.equal(books.transactions.length, account.rows)
  for (const entry of account.debits) {
    const row = books.transactions.find((candidate) => candidate.id === entry.id)
    assert.equal(row?.amount, -entry.amount, 'I7: a debit is its amount or nothing')
    assert.equal(row.status, entry.isOpen ? 'applied' : 'refunded')
    const taken = entry.taken.map(({ lot, amount }) => ({
      lotId: books.lots[lot.place]?.id ?? 0,
      amount: -amount,
    }))
    assert.deepEqual(
      row.allocations,
      taken.sort((a, b) => a.lotId - b.lotId),
      'I10: taken in the spending order',
    )
  }
  const spendable = await bench.credits.balance(bench.database.read, account.id)
  assert.equal(spendable, spendableOf(books, bench.clock.now()), 'I1: the balance is the live lots')
  if (isChanged) assert.equal(books.cached, spendable, 'I1: the cache follows each change')
}

test('property: histories of grants, debits, refunds and time', async () => {
  const runs = Number(process.env['LEDGER_RUNS'] ?? '') || 60
  let refunds = 0
  let refusals = 0
  await fc.assert(
    fc.asyncProperty(priority, fc.array(step, { minLength: 10, maxLength: 30 }), async (order, steps) => {
      const { clock } = bench
      const credits = createCredits({ clock, config: { ...bench.credits.config, sourcesPriority: order } })
      const accounts = [await openAccount(), await openAccount()]
      for (const next of steps) {
        const rows = accounts.map((account) => account.rows)
        await play(accounts, credits, order, next)
        // A grant or a debit is looked at in its own account; that the other one stood still shows in the steps after.
        for (const [index, account] of accounts.entries())
          if (!('user' in next) || next.user === index) await compare(account, account.rows !== rows[index])
        if (next.kind === 'debit' && accounts.every((account, index) => account.rows === rows[index]))
          refusals += 1
      }
      for (const account of accounts) await compare(account, false)
      refunds += sum(accounts.map((account) => account.debits.filter((entry) => !entry.isOpen).length))
    }),
    { numRuns: runs },
  )
  // The histories must reach the interesting states, or the property says little.
  assert.ok(
    refunds > runs / 2 && refusals > runs / 2,
    `${refunds} refunds, ${refusals} debits without effect`,
  )
})
