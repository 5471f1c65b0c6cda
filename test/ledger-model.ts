import assert from 'node:assert/strict'

// What the specification says of the ledger (30 §4), in plain arrays and without a line of the ledger's own code.

const weekMs = 7 * 86_400_000

export interface ModelLot {
  account: ModelAccount
  /** Place in the order of granting: the ids of the database grow the same way. */
  place: number
  source: string
  granted: number
  remaining: number
  /** Infinity: never. */
  expires: number
  created: number
  purchase: number | null
}

export interface Taking {
  account: ModelAccount
  /** The ledger's id of a debit; null for a claw-back. */
  id: number | null
  amount: number
  narration: number | null
  purchase: number | null
  isOpen: boolean
  taken: { lot: ModelLot; amount: number }[]
}

export interface ModelAccount {
  lots: ModelLot[]
  debits: Taking[]
  /** Ledger ids by grant key. */
  keys: Map<number, number>
  rows: number
  cached: number
  isClosing: boolean
}

export const newAccount = (): ModelAccount => ({
  lots: [],
  debits: [],
  keys: new Map(),
  rows: 0,
  cached: 0,
  isClosing: false,
})

export const spendableIn = (account: ModelAccount, now: number): number =>
  account.lots.reduce((points, lot) => points + (lot.expires > now ? lot.remaining : 0), 0)

const rankIn = (order: readonly string[], source: string): string => {
  const index = order.indexOf(source)
  return index === -1 ? `9${source}` : String(index)
}

const isBefore = (order: readonly string[], a: ModelLot, b: ModelLot): boolean => {
  const keyOf = (lot: ModelLot) => [rankIn(order, lot.source), lot.expires, lot.created, lot.place] as const
  const other = keyOf(b)
  for (const [index, value] of keyOf(a).entries()) {
    const against = other[index] ?? 0
    if (value !== against) return value < against
  }
  return false
}

export const createModel = (order: readonly string[]) => {
  /** Claw-backs of all purchases, in the order they were made. */
  const clawBacks: Taking[] = []
  const mutated = (account: ModelAccount, now: number): void => {
    account.cached = spendableIn(account, now)
  }

  const grant = (
    account: ModelAccount,
    lot: Pick<ModelLot, 'source' | 'granted' | 'expires' | 'purchase'>,
    now: number,
  ): void => {
    const place = account.lots.length
    account.lots.push({ ...lot, account, place, remaining: lot.granted, created: now })
    account.rows += 1
    mutated(account, now)
  }

  /** What each lot gives, or null when there is too little; nothing is changed then. */
  const debit = (account: ModelAccount, amount: number, now: number): Taking['taken'] | null => {
    if (spendableIn(account, now) < amount) return null
    const taken: Taking['taken'] = []
    for (let left = amount; left > 0;) {
      const open = account.lots.filter((lot) => lot.expires > now && lot.remaining > 0)
      const next = open.find((lot) => open.every((rival) => rival === lot || isBefore(order, lot, rival)))
      assert.ok(next, 'the spending order is total')
      const share = Math.min(left, next.remaining)
      next.remaining -= share
      left -= share
      taken.push({ lot: next, amount: share })
    }
    account.rows += 1
    mutated(account, now)
    return taken
  }

  const empty = (lot: ModelLot): number => {
    const points = lot.remaining
    if (points > 0) lot.account.rows += 1
    lot.remaining = 0
    return points
  }

  const giveBack = (taking: Taking, now: number): void => {
    taking.isOpen = false
    taking.account.rows += 1
    for (const { lot, amount } of taking.taken) {
      if (lot.expires <= now) {
        empty(lot)
        lot.expires = now + weekMs
      }
      lot.remaining += amount
    }
    mutated(taking.account, now)
  }

  const expireLots = (lots: readonly ModelLot[], now: number): number => {
    let points = 0
    for (const lot of lots) {
      const gone = empty(lot)
      if (gone > 0) mutated(lot.account, now)
      points += gone
    }
    return points
  }

  const clawBack = (accounts: readonly ModelAccount[], purchase: number, now: number): number => {
    let points = 0
    for (const account of accounts)
      for (const lot of account.lots.filter((each) => each.purchase === purchase && each.remaining > 0)) {
        const amount = lot.remaining
        const taken = [{ lot, amount }]
        clawBacks.push({ account, id: null, amount, narration: null, purchase, isOpen: true, taken })
        points += expireLots([lot], now)
      }
    return points
  }

  const undo = (purchase: number, now: number): number => {
    const open = clawBacks.filter(
      (each) => each.purchase === purchase && each.isOpen && !each.account.isClosing,
    )
    for (const each of open) giveBack(each, now)
    return open.reduce((points, each) => points + each.amount, 0)
  }

  const close = (account: ModelAccount, now: number): number => {
    account.isClosing = true
    const points = expireLots(account.lots, now)
    mutated(account, now)
    return points
  }

  return { grant, debit, giveBack, expireLots, clawBack, undo, close }
}

export type Model = ReturnType<typeof createModel>
