import { Type } from 'typebox'
import type { Database } from '../../platform/db/database.ts'
import { defineJob, handleJob, type Job, type Jobs } from '../../platform/jobs/jobs.ts'
import type { ObjectStorage } from '../../providers/storage/storage.ts'

export const deleteObjectsJob = defineJob({
  name: 'storage.delete-objects',
  payload: Type.Object({ keys: Type.Array(Type.String({ minLength: 1 }), { maxItems: 1000 }) }),
  retryLimit: 10,
  retryDelaySeconds: 60,
  retryDelayMaxSeconds: 21_600,
  limitSeconds: 60,
})

/** Removes objects that no row names any more. Absent ones count as deleted, so a repeated run is harmless. */
export const createDeleteObjects = (deps: { storage: ObjectStorage }): Job =>
  handleJob(deleteObjectsJob, async ({ keys }, { signal }) => {
    const { failed } = await deps.storage.deleteMany(keys, signal)
    if (failed.length > 0)
      throw new Error(`storage.delete-objects: ${failed.length} of ${keys.length} objects are left`)
  })

/** Removes objects that no row names: at once if the store lets us, else by a job, so that none is forgotten. */
export const createDiscard =
  (deps: { database: Database; storage: ObjectStorage; enqueue: Jobs['enqueue'] }) =>
  async (keys: readonly string[]): Promise<void> => {
    const left = await deps.storage.deleteMany(keys).then(
      ({ failed }) => failed.map(({ key }) => key),
      () => [...keys],
    )
    if (left.length > 0)
      await deps.database.transaction((tx) => deps.enqueue(tx, deleteObjectsJob, { keys: left }))
  }
