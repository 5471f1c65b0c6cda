import fc from 'fast-check'
import type { LotSource } from '../src/features/credits/credits.ts'
import { defaultPriority } from './ledger-fixtures.ts'

// Generator G1 of 30 §18: one history of ledger calls on two accounts that share purchases.

export const sources: readonly LotSource[] = ['event', 'monthly', 'referral', 'add_on', 'free']
export const accountsEach = 2
export const narrationsEach = 2
export const purchasesEach = 2

export type Step =
  | {
      kind: 'grant'
      user: number
      amount: number
      source: LotSource
      expiresInHours: number | null
      key: number | null
      purchase: number | null
    }
  | { kind: 'debit'; user: number; amount: number; narration: number | null }
  | { kind: 'refund'; which: number }
  | { kind: 'expire'; which: number }
  | { kind: 'sweep'; user: number }
  | { kind: 'clawBack'; purchase: number }
  | { kind: 'undo'; purchase: number }
  | { kind: 'close'; user: number }
  | { kind: 'wait'; hours: number }

export interface History {
  priority: readonly string[]
  steps: readonly Step[]
}

// Coarse times, so that the clock often stands at the very moment a lot expires.
const hours = (most: number) => fc.integer({ min: 1, max: most }).map((count) => count * 6)
const user = fc.nat({ max: accountsEach - 1 })
const purchase = fc.nat({ max: purchasesEach - 1 })
const which = fc.nat({ max: 9 })

const grant = fc.record({
  kind: fc.constant('grant' as const),
  user,
  amount: fc.integer({ min: 1, max: 20 }),
  source: fc.constantFrom(...sources),
  expiresInHours: fc.option(hours(8), { freq: 2 }),
  key: fc.option(fc.nat({ max: 2 }), { freq: 2 }),
  purchase: fc.option(purchase, { freq: 3 }),
})

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 5, arbitrary: grant },
  {
    weight: 7,
    arbitrary: fc.record({
      kind: fc.constant('debit' as const),
      user,
      amount: fc.integer({ min: 1, max: 12 }),
      narration: fc.option(fc.nat({ max: narrationsEach - 1 }), { freq: 4 }),
    }),
  },
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('refund' as const), which }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('expire' as const), which }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('sweep' as const), user }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('clawBack' as const), purchase }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('undo' as const), purchase }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('close' as const), user }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('wait' as const), hours: hours(10) }) },
)

export const history = (longest: number): fc.Arbitrary<History> =>
  fc.record({
    priority: fc.oneof(fc.constant(defaultPriority), fc.shuffledSubarray([...sources])),
    // Everything but a grant is idle on empty accounts.
    steps: fc
      .tuple(grant, grant, grant, fc.array(step, { minLength: 4, maxLength: longest, size: 'max' }))
      .map(([first, second, third, others]) => [
        { ...first, user: 0 },
        { ...second, user: 1 },
        third,
        ...others,
      ]),
  })
