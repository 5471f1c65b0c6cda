import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import fc from 'fast-check'
import { AppError } from '../../platform/errors.ts'
import {
  assertBooks,
  hourMs,
  manualClock,
  openLedger,
  type LedgerBench,
} from '../../../test/ledger-fixtures.ts'
import {
  createModel,
  newAccount,
  spendableIn,
  type ModelAccount,
  type Taking,
} from '../../../test/ledger-model.ts'
import { createScenes, readState, type Scene } from '../../../test/ledger-scene.ts'
import { history, type History, type Step } from '../../../test/ledger-steps.ts'
import { propertySettings } from '../../../test/property-settings.ts'
import { createCredits, createLedgerCheck } from './credits.ts'

// Histories of ledger calls on a real database, compared after each step with a model: I1 to I7, I10 and I11. Eight of them
// run side by side on accounts of their own. FAST_CHECK_RUNS is the number of histories; a failure prints seed and path.

const side = 8
const longest = 14

let bench: LedgerBench
before(async () => {
  bench = await openLedger()
})
after(() => bench.close())

const reached = { refunds: 0, refusals: 0, undone: 0, closed: 0, revived: 0, shared: 0 }

const createPlayer = (scene: Scene, { priority }: History) => {
  const clock = manualClock()
  const credits = createCredits({ clock, config: { ...bench.credits.config, sourcesPriority: priority } })
  const model = createModel(priority)
  const accounts = scene.users.map(newAccount)
  const run = bench.database.transaction
  const now = () => clock.now().getTime()
  const accountOf = (index: number): { account: ModelAccount; userId: number } => {
    const [account, user] = [accounts[index], scene.users[index]]
    assert.ok(account && user)
    return { account, userId: user.id }
  }
  const purchaseOf = (index: number): number => scene.purchases[index] ?? 0

  const grant = async (step: Step & { kind: 'grant' }): Promise<void> => {
    const { account, userId } = accountOf(step.user)
    const { amount, source, key, purchase } = step
    const expires = step.expiresInHours === null ? Infinity : now() + step.expiresInHours * hourMs
    const result = await run((tx) =>
      credits.grant(tx, {
        userId,
        amount,
        source,
        reason: 'admin_grant',
        ...(expires === Infinity ? {} : { expiresAt: new Date(expires) }),
        ...(key === null ? {} : { grantKey: `test:${userId}:${key}` }),
        ...(purchase === null ? {} : { purchaseId: purchaseOf(purchase) }),
      }),
    )
    const known = key === null ? undefined : account.keys.get(key)
    if (known !== undefined) return assert.deepEqual(result, { transactionId: known, isNew: false })
    assert.equal(result.isNew, true)
    if (key !== null) account.keys.set(key, result.transactionId)
    model.grant(account, { source, granted: amount, expires, purchase }, now())
  }

  const debit = async (step: Step & { kind: 'debit' }): Promise<void> => {
    const { account, userId } = accountOf(step.user)
    const { amount, narration } = step
    const target = narration === null ? {} : scene.users[step.user]?.narrations[narration]
    const call = () =>
      run((tx) => credits.debit(tx, { userId, amount, reason: 'audio_synthesis:1', ...target }))
    const open = account.debits.find(
      (each) => each.isOpen && narration !== null && each.narration === narration,
    )
    if (open)
      return assert.deepEqual(
        await call(),
        { transactionId: open.id, isNew: false },
        'I7: nothing is charged',
      )
    const available = spendableIn(account, now())
    const taken = model.debit(account, amount, now())
    if (!taken) {
      reached.refusals += 1
      return assert.rejects(call(), (error: unknown) => {
        assert.ok(error instanceof AppError)
        assert.equal(error.details.text, `Insufficient Story Points: need ${amount}, available ${available}`)
        return true
      })
    }
    const { transactionId, isNew } = await call()
    assert.equal(isNew, true)
    account.debits.push({
      account,
      id: transactionId,
      amount,
      narration,
      purchase: null,
      isOpen: true,
      taken,
    })
  }

  const refund = async (which: number): Promise<void> => {
    const all = accounts.flatMap((account) => account.debits)
    const chosen = all[which % Math.max(1, all.length)]
    if (!chosen) return
    const isDone = await run((tx) => credits.refund(tx, chosen.id ?? 0, 'synthesis_failed'))
    assert.equal(isDone, chosen.isOpen, 'I6: a second refund does nothing')
    if (!chosen.isOpen) return
    reached.refunds += 1
    if (chosen.taken.some(({ lot }) => lot.expires <= now())) reached.revived += 1
    model.giveBack(chosen, now())
  }

  const expire = async (which: number): Promise<void> => {
    const lotIds = (await readState(bench, scene)).flatMap((state) => state.lots.map((lot) => lot.id))
    const lots = accounts.flatMap((account) => account.lots)
    const index = which % Math.max(1, lots.length)
    const [lot, lotId] = [lots[index], lotIds[index]]
    if (!lot || lotId === undefined) return
    const points = await run((tx) => credits.expireLot(tx, lotId, 'admin_expire'))
    assert.equal(points, model.expireLots([lot], now()))
  }

  const sweep = async (user: number): Promise<void> => {
    const { account, userId } = accountOf(user)
    const before = spendableIn(account, now())
    const points = await run((tx) => credits.expireDue(tx, userId))
    assert.equal(
      points,
      model.expireLots(
        account.lots.filter((lot) => lot.expires <= now()),
        now(),
      ),
    )
    assert.equal(spendableIn(account, now()), before, 'I11: a sweep leaves the balance')
  }

  const close = async (user: number): Promise<void> => {
    const { account, userId } = accountOf(user)
    const points = await run(async (tx) => {
      await tx.updateTable('users').set({ status: 'deleting' }).where('id', '=', userId).execute()
      return credits.closeAccount(tx, userId)
    })
    assert.equal(points, model.close(account, now()))
    reached.closed += 1
  }

  const clawBack = async (purchase: number): Promise<void> => {
    const payers = accounts.filter((account) => account.lots.some((lot) => lot.purchase === purchase))
    if (payers.length > 1) reached.shared += 1
    const points = await run((tx) => credits.clawBack(tx, purchaseOf(purchase)))
    assert.equal(points, model.clawBack(accounts, purchase, now()))
  }

  const undo = async (purchase: number): Promise<void> => {
    const points = await run((tx) => credits.undoClawBack(tx, purchaseOf(purchase)))
    assert.equal(points, model.undo(purchase, now()))
    if (points > 0) reached.undone += 1
  }

  const play = async (step: Step): Promise<void> => {
    if (step.kind === 'wait') return clock.advance(step.hours * hourMs)
    if (step.kind === 'grant') return grant(step)
    if (step.kind === 'debit') return debit(step)
    if (step.kind === 'refund') return refund(step.which)
    if (step.kind === 'expire') return expire(step.which)
    if (step.kind === 'sweep') return sweep(step.user)
    if (step.kind === 'clawBack') return clawBack(step.purchase)
    return step.kind === 'undo' ? undo(step.purchase) : close(step.user)
  }

  /** I1, I2, I4, I6, I7, I10: the lots hold what the model says, and the sums agree. */
  const compare = async (): Promise<void> => {
    for (const [index, state] of (await readState(bench, scene)).entries()) {
      const { account } = accountOf(index)
      assert.deepEqual(
        state.lots.map((lot) => [lot.remaining, lot.expires ?? Infinity]),
        account.lots.map((lot) => [lot.remaining, lot.expires]),
        'the lots hold what the model says',
      )
      assert.equal(state.rows, account.rows, 'one row a movement')
      assert.equal(state.cached, account.cached, 'I1: the cache follows each change')
      const held = account.lots.reduce((points, lot) => points + lot.remaining, 0)
      assert.equal(state.moved, held, 'I4: transactions equal lots')
    }
  }

  const compareDebits = async (): Promise<void> => {
    for (const [index, account] of accounts.entries()) {
      const books = await bench.books(accountOf(index).userId)
      assertBooks(books)
      const sharesOf = ({ taken }: Taking) =>
        taken.map(({ lot, amount }) => ({ lotId: books.lots[lot.place]?.id ?? 0, amount: -amount }))
      for (const each of account.debits) {
        const row = books.transactions.find((candidate) => candidate.id === each.id)
        assert.deepEqual([row?.amount, row?.status], [-each.amount, each.isOpen ? 'applied' : 'refunded'])
        const shares = sharesOf(each).sort((a, b) => a.lotId - b.lotId)
        assert.deepEqual(row?.allocations, shares, 'I10: taken in the spending order')
      }
    }
  }

  return { play, compare, compareDebits }
}

const playHistory = async (scene: Scene, given: History): Promise<void> => {
  const player = createPlayer(scene, given)
  for (const step of given.steps) {
    await player.play(step)
    if (step.kind !== 'wait') await player.compare()
  }
  await player.compareDebits()
}

const limitMs = 60_000

test(
  'property: histories of everything the ledger does, on accounts that share purchases',
  { timeout: 300_000 },
  async (t) => {
    const settings = propertySettings()
    const ledgerCheck = createLedgerCheck({ database: bench.database })
    const started = performance.now()
    const one = history(longest)
    let count = 0
    await fc.assert(
      fc.asyncProperty(fc.tuple(one, one, one, one, one, one, one, one), async (histories) => {
        const scenes = await createScenes(bench, side)
        const ends = await Promise.allSettled(
          histories.map(async (each, index) => {
            const scene = scenes[index]
            assert.ok(scene)
            await playHistory(scene, each)
          }),
        )
        for (const end of ends) if (end.status === 'rejected') throw end.reason
        count += side
        const users = scenes.flatMap((scene) => scene.users.map(({ id }) => id))
        assert.deepEqual(await ledgerCheck.checkUsers(users), [], 'the drift check agrees')
      }),
      {
        ...settings,
        numRuns: Math.max(1, Math.ceil(settings.numRuns / side)),
        // A busy machine plays fewer of them; the line below says how many.
        interruptAfterTimeLimit: limitMs,
      },
    )
    t.diagnostic(
      `${count} histories in ${((performance.now() - started) / 1000).toFixed(0)} s: ${JSON.stringify(reached)}`,
    )
    // The histories must reach the interesting states, or the property says little.
    if (count >= 200)
      for (const [what, times] of Object.entries(reached)) assert.ok(times > count / 200, `${what}: ${times}`)
  },
)
