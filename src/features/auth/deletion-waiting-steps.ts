import type { Tx } from '../../platform/db/database.ts'
import * as items from './deletion-item-queries.ts'
import type { DeletionItem } from './deletion-item-queries.ts'
import { failureOf, type DeletionFailure } from './deletion-failures.ts'
import { moveDeletion } from './deletion-queries.ts'
import { createObjectRemoval } from './deletion-objects.ts'
import type { DeletionSteps, Look, Step, StepDeps } from './deletion-steps.ts'

/** Waits for runs to end, removes what is left and looks for it; then looks whether anything new has turned up. */
export const createWaitingSteps = (deps: StepDeps): Pick<DeletionSteps, 'wait' | 'recheck'> => {
  const { database, clock, contents } = deps
  const objects = createObjectRemoval(deps)

  const verified = (ids: number[]): Promise<void> =>
    database.transaction((tx) => items.markVerified(tx, ids, clock.now()))

  const failed = async (item: DeletionItem, failure: DeletionFailure, look: Look): Promise<void> => {
    look.tried.add(item.id)
    await database.transaction((tx) => items.noteItemFailure(tx, [item.id], failure))
  }

  /** Removes one remote voice, then asks its provider whether it is gone. */
  const settleCopy = async (given: DeletionItem, look: Look): Promise<void> => {
    const copy = items.copyOf(given)
    const row = await contents.findSlot(database.read, copy.slotId)
    if (row?.externalId && row.externalId !== copy.externalId) {
      const { externalId } = row
      await database.transaction((tx) => items.nameCopy(tx, given.id, externalId))
      copy.externalId = externalId
    }
    if (row && (!look.actsItself() || (await contents.removeCopy(copy, look.signal)) === 'busy')) return
    await database.transaction((tx) => items.markDone(tx, [given.id], clock.now()))
    if (await contents.isCopyGone(copy, look.signal)) return verified([given.id])
    // A second clone under the same name, or a removal that the provider took back.
    await contents.removeCopy(copy, look.signal)
    if (await contents.isCopyGone(copy, look.signal)) return verified([given.id])
    await failed(given, 'still_there', look)
  }

  const settleCopies = async (open: readonly DeletionItem[], look: Look): Promise<void> => {
    for (const item of open)
      try {
        await settleCopy(item, look)
      } catch (error) {
        look.signal.throwIfAborted()
        await failed(item, failureOf(error), look)
      }
  }

  const settleRuns = async (open: readonly DeletionItem[]): Promise<void> => {
    for (const item of open) {
      const isRunning = await database.transaction((tx) => contents.isRunning(tx, items.runOf(item)))
      if (!isRunning) await verified([item.id])
    }
  }

  const wait: Step = async ({ id }, look) => {
    const open = await items.listOpenItems(database.read, id, ['job', 'slot', 'object'])
    const untried = open.filter((item) => !look.tried.has(item.id))
    const of = (kind: DeletionItem['kind']) => untried.filter((item) => item.kind === kind)
    await settleRuns(of('job'))
    await settleCopies(of('slot'), look)
    await objects.settle(of('object'), look)
    const left = await items.listOpenItems(database.read, id, ['job', 'slot', 'object'])
    if (left.some((item) => !look.tried.has(item.id))) return 'soon'
    if (left.length > 0) return 'later'
    await database.transaction((tx) => moveDeletion(tx, id, 'wait', 'recheck'))
    return 'next'
  }

  const forgetAll = async (tx: Tx, id: number): Promise<void> => {
    const all = await items.listItems(tx, id)
    const of = (kind: DeletionItem['kind']) =>
      all.filter((item) => item.kind === kind).map(({ reference }) => reference)
    await contents.forget(tx, { slotIds: of('slot').map(Number), keys: of('object') })
  }

  const recheck: Step = async ({ id, userId }, look) => {
    const state = await database.transaction(async (tx) => {
      await items.insertItems(tx, id, await contents.earlierLeftovers(tx, userId), clock.now())
      const hasVoices = (await contents.countVoices(tx, userId)) > 0
      const isOpen = (await items.listOpenItems(tx, id, ['job', 'slot', 'object'])).length > 0
      const to = hasVoices ? 'voices' : isOpen ? 'wait' : null
      if (to !== null) await moveDeletion(tx, id, 'recheck', to)
      return to
    })
    if (state !== null) return 'next'
    const found = await objects.searchFolders(id, look)
    if (found === 'failed') return 'later'
    await database.transaction(async (tx) => {
      if (found === 'empty') await forgetAll(tx, id)
      await moveDeletion(tx, id, 'recheck', found === 'empty' ? 'points' : 'wait')
    })
    return 'next'
  }

  return { wait, recheck }
}
