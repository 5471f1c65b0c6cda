import * as items from './deletion-item-queries.ts'
import type { DeletionItem } from './deletion-item-queries.ts'
import { failureOf, type DeletionFailure } from './deletion-failures.ts'
import type { Look, StepDeps } from './deletion-steps.ts'

const batchSize = 500
const looksAtOnce = 8

/** What a folder holds, by the first part of its name. */
const contentOf = (folder: string): string =>
  ({
    voice_samples: 'recording',
    audio_stories: 'narration',
    narration_parts: 'narration_part',
    exports: 'export',
  })[folder.split('/')[0] ?? ''] ?? 'other'

/** Removes a deletion's objects and looks whether they are gone; no transaction is open meanwhile. */
export const createObjectRemoval = (deps: Pick<StepDeps, 'database' | 'clock' | 'storage'>) => {
  const { database, clock, storage } = deps

  const fail = async (
    failed: readonly DeletionItem[],
    failure: DeletionFailure,
    look: Look,
  ): Promise<void> => {
    for (const { id } of failed) look.tried.add(id)
    const ids = failed.map(({ id }) => id)
    await database.transaction((tx) => items.noteItemFailure(tx, ids, failure))
  }

  /** Those of the batch that the store says it has removed. */
  const remove = async (batch: readonly DeletionItem[], look: Look): Promise<DeletionItem[]> => {
    const { failed } = await storage.deleteMany(
      batch.map(({ reference }) => reference),
      look.signal,
    )
    const refused = new Set(failed.map(({ key }) => key))
    await fail(
      batch.filter(({ reference }) => refused.has(reference)),
      'refused',
      look,
    )
    const removed = batch.filter(({ reference }) => !refused.has(reference))
    const ids = removed.map(({ id }) => id)
    await database.transaction((tx) => items.markDone(tx, ids, clock.now()))
    return removed
  }

  const verify = async (removed: readonly DeletionItem[], look: Look): Promise<void> => {
    for (let at = 0; at < removed.length; at += looksAtOnce) {
      const some = removed.slice(at, at + looksAtOnce)
      const heads = await Promise.allSettled(some.map((item) => storage.head(item.reference, look.signal)))
      look.signal.throwIfAborted()
      const gone: number[] = []
      for (const [index, item] of some.entries()) {
        const head = heads[index]
        if (head?.status === 'fulfilled' && head.value === null) gone.push(item.id)
        else await fail([item], head?.status === 'rejected' ? failureOf(head.reason) : 'still_there', look)
      }
      await database.transaction((tx) => items.markVerified(tx, gone, clock.now()))
    }
  }

  const settle = async (open: readonly DeletionItem[], look: Look): Promise<void> => {
    for (let at = 0; at < open.length; at += batchSize) {
      const batch = open.slice(at, at + batchSize)
      try {
        await verify(await remove(batch, look), look)
      } catch (error) {
        look.signal.throwIfAborted()
        await fail(batch, failureOf(error), look)
      }
    }
  }

  /** Whatever lies in a folder of the account becomes an item: also what a run stored just before it noticed. */
  const searchFolder = async (deletionId: number, folder: DeletionItem): Promise<'empty' | 'found'> => {
    const objects: { key: string; content: string }[] = []
    for await (const { key } of storage.list(folder.reference))
      objects.push({ key, content: contentOf(folder.reference) })
    await database.transaction(async (tx) => {
      if (objects.length === 0) await items.markVerified(tx, [folder.id], clock.now())
      else await items.insertItems(tx, deletionId, { objects }, clock.now())
    })
    return objects.length === 0 ? 'empty' : 'found'
  }

  const searchFolders = async (deletionId: number, look: Look): Promise<'empty' | 'found' | 'failed'> => {
    const folders = await items.listOpenItems(database.read, deletionId, ['folder'])
    let [hasFound, hasFailed] = [false, false]
    for (const folder of folders)
      try {
        look.signal.throwIfAborted()
        hasFound = (await searchFolder(deletionId, folder)) === 'found' || hasFound
      } catch (error) {
        look.signal.throwIfAborted()
        await fail([folder], failureOf(error), look)
        hasFailed = true
      }
    return hasFound ? 'found' : hasFailed ? 'failed' : 'empty'
  }

  return { settle, searchFolders }
}
