import { fork, type ChildProcess } from 'node:child_process'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { AppError } from '../src/platform/errors.ts'
import { sqlState } from '../src/platform/db/database.ts'
import { createCredits, createLedgerCheck, type DriftFinding } from '../src/features/credits/credits.ts'
import { systemClock } from '../src/platform/clock.ts'
import type { LedgerBench } from './ledger-fixtures.ts'
import { seededRandom, type SeededRandom } from './seeded-random.ts'

export interface SoakContext {
  bench: LedgerBench
  random: SeededRandom
  /** An account that lives at the moment. */
  user(): number
  /** A purchase that may have been paid to several of them. */
  purchase(): number
}

/** One thing a client does; it may be refused, but never fails otherwise. */
export type SoakAction = (context: SoakContext) => Promise<void>

export interface SoakResult {
  seconds: number
  /** How often each action was carried out. */
  done: Record<string, number>
  refusals: number
  /** Errors other than refusals: there must be none. */
  faults: string[]
  /** Deadlocks the database had to break, whoever noticed. */
  deadlocks: number
  kills: number
  accountsClosed: number
  findings: DriftFinding[]
  slowestMs: number
}

const between = (random: SeededRandom, least: number, most: number): number =>
  least + random.below(most - least + 1)

const worker = path.join(import.meta.dirname, 'fixtures/ledger-worker.ts')

const ledgerActions = (
  context: SoakContext,
): Record<string, [weight: number, action: () => Promise<unknown>]> => {
  const { bench, random, user, purchase } = context
  const credits = createCredits({ clock: systemClock, config: { ...bench.credits.config } })
  const run = bench.database.transaction
  const debits: { id: number }[] = []
  // The rest is decided in the transaction: before it a client may wait for a connection past the expiry.
  const grant = (own: () => { expiresAt?: Date; purchaseId?: number; grantKey?: string }) =>
    run((tx) =>
      credits.grant(tx, {
        userId: user(),
        amount: between(random, 1, 20),
        source: 'monthly',
        reason: 'x',
        ...own(),
      }),
    )
  const lotOf = async (userId: number): Promise<number | undefined> =>
    (
      await bench.database.pool.query<{ id: number }>(
        'select id from credit_lots where user_id = $1 and amount_remaining > 0 order by random() limit 1',
        [userId],
      )
    ).rows[0]?.id
  return {
    debit: [
      40,
      async () => {
        const debit = { userId: user(), amount: between(random, 1, 6), reason: 'audio_synthesis:1' }
        debits.push({ id: (await run((tx) => credits.debit(tx, debit))).transactionId })
      },
    ],
    refund: [
      20,
      async () => {
        const chosen = debits.at(between(random, 0, Math.max(0, debits.length - 1)))
        if (chosen) await run((tx) => credits.refund(tx, chosen.id, 'synthesis_failed'))
      },
    ],
    grant: [12, () => grant(() => ({}))],
    dying: [6, () => grant(() => ({ expiresAt: new Date(Date.now() + between(random, 50, 3000)) }))],
    paid: [8, () => grant(() => ({ purchaseId: purchase() }))],
    keyed: [4, () => grant(() => ({ grantKey: `soak:${between(random, 1, 200)}` }))],
    sweep: [5, () => run((tx) => credits.expireDue(tx, user()))],
    expire: [
      2,
      async () => {
        const lotId = await lotOf(user())
        if (lotId !== undefined) await run((tx) => credits.expireLot(tx, lotId, 'admin_expire'))
      },
    ],
    clawBack: [4, () => run((tx) => credits.clawBack(tx, purchase()))],
    undo: [4, () => run((tx) => credits.undoClawBack(tx, purchase()))],
    read: [
      5,
      () =>
        credits.summary(bench.database.read, user(), { types: ['debit', 'refund'], limit: 20, offset: 0 }),
    ],
  }
}

/**
 * Clients that do everything at once to a few accounts, while accounts are closed and replaced and a process of its own
 * that writes, too, is killed again and again. `more` are actions of other features, such as webhooks.
 */
export const soakLedger = async (
  bench: LedgerBench,
  options: {
    seconds: number
    clients: number
    users: number
    seed: number
    more?: Readonly<Record<string, SoakAction>>
  },
): Promise<SoakResult> => {
  const end = Date.now() + options.seconds * 1000
  const all: number[] = []
  const newAccount = async (): Promise<number> => {
    const id = await bench.newUser()
    all.push(id)
    await bench.database.transaction((tx) =>
      bench.credits.grant(tx, { userId: id, amount: 100, source: 'free', reason: 'initial_grant' }),
    )
    return id
  }
  const live: number[] = []
  for (let count = 0; count < options.users; count += 1) live.push(await newAccount())
  const purchases: number[] = []
  for (const userId of live) {
    const { rows } = await bench.database.pool.query<{ id: number }>(
      `insert into store_purchases (kind, user_id, product_id, purchased_at, created_at, updated_at)
       values ('period', $1, 'dawnotemu_monthly', now(), now(), now()) returning id`,
      [userId],
    )
    purchases.push(rows[0]?.id ?? 0)
  }
  const done: Record<string, number> = {}
  const faults: string[] = []
  let refusals = 0
  let slowestMs = 0

  const client = async (number: number): Promise<void> => {
    const random = seededRandom(options.seed + number)
    const pick = (list: readonly number[]): number => list[between(random, 0, list.length - 1)] ?? 0
    const context: SoakContext = { bench, random, user: () => pick(live), purchase: () => pick(purchases) }
    const actions = Object.entries(ledgerActions(context))
    for (const [name, action] of Object.entries(options.more ?? {}))
      actions.push([name, [10, () => action(context)]])
    const total = actions.reduce((sum, [, [weight]]) => sum + weight, 0)
    while (Date.now() < end) {
      let rest = between(random, 1, total)
      const [name, [, action]] = actions.find(([, [weight]]) => (rest -= weight) <= 0) ??
        actions[0] ?? ['', [0, null]]
      const started = performance.now()
      try {
        await action?.()
        done[name] = (done[name] ?? 0) + 1
      } catch (error) {
        if (error instanceof AppError) refusals += 1
        else faults.push(`${name}: ${sqlState(error) ?? ''} ${String(error)}`)
      }
      slowestMs = Math.max(slowestMs, performance.now() - started)
    }
  }

  let accountsClosed = 0
  /** What a deletion does to the ledger: marked first, its points later, while others still write. */
  const closer = async (): Promise<void> => {
    while (Date.now() < end) {
      await sleep(Math.min(1500, options.seconds * 100))
      const userId = live.shift()
      if (userId === undefined) continue
      live.push(await newAccount())
      await bench.database.transaction(async (tx) => {
        await bench.credits.lock(tx, [userId])
        await tx.updateTable('users').set({ status: 'deleting' }).where('id', '=', userId).execute()
      })
      await bench.database.transaction((tx) => bench.credits.closeAccount(tx, userId))
      accountsClosed += 1
    }
  }

  let kills = 0
  const killer = async (): Promise<void> => {
    while (Date.now() < end) {
      const child: ChildProcess = fork(worker, [bench.test.url, live.join()], { stdio: 'inherit' })
      const ended = new Promise((resolve) => child.once('exit', resolve))
      // Time to start and be in the middle of something.
      await sleep(1500 + Math.random() * 1500)
      child.kill('SIGKILL')
      await ended
      kills += 1
    }
  }

  const started = performance.now()
  await Promise.all([
    ...Array.from({ length: options.clients }, (_, number) => client(number)),
    closer(),
    killer(),
  ])
  const seconds = (performance.now() - started) / 1000
  const { rows } = await bench.database.pool.query<{ deadlocks: number }>(
    'select deadlocks::integer from pg_stat_database where datname = current_database()',
  )
  const findings = await createLedgerCheck({ database: bench.database }).checkUsers(all)
  const deadlocks = rows[0]?.deadlocks ?? 0
  return { seconds, done, refusals, faults, deadlocks, kills, accountsClosed, findings, slowestMs }
}
