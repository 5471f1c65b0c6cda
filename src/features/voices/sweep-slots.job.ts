import { handleJob, type Job } from '../../platform/jobs/jobs.ts'
import { sweepSlotsJob, type Slots } from './slots.ts'

/** Gives slots without a live worker one again; a `releasing` slot is retried without end. */
export const createSweepSlots = (deps: { slots: Pick<Slots, 'sweep'> }): Job =>
  handleJob(sweepSlotsJob, async () => {
    await deps.slots.sweep()
  })
