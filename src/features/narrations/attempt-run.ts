import { Type } from 'typebox'
import type { Clock } from '../../platform/clock.ts'
import type { Database, Tx } from '../../platform/db/database.ts'
import { defineJob, type Jobs } from '../../platform/jobs/jobs.ts'
import type { Logger } from '../../platform/observability/logger.ts'
import type { SpeechProvider, SpeechProviderName } from '../../providers/speech/speech.ts'
import type { ObjectStorage } from '../../providers/storage/storage.ts'
import type { Slots, Voice } from '../voices/voices.ts'
import type { Attempt } from './attempt-queries.ts'
import type { Outcome } from './outcomes.ts'
import type { Narration } from './queries.ts'

export const produceNarrationJob = defineJob({
  name: 'narrations.produce',
  payload: Type.Object({ attempt_id: Type.Integer({ minimum: 1 }) }),
  // Crashes of the worker, not errors of the provider: those are waited out inside.
  retryLimit: 5,
  retryDelaySeconds: 2,
  limitSeconds: 1900,
  concurrency: 4,
})

/** Ends an unfinished attempt and gives its points back, once, in the caller's transaction. */
export type EndAttempt = (
  tx: Tx,
  attempt: { id: number; userId: number },
  owner: string | null,
  outcome: Outcome,
) => Promise<boolean>

export interface ProduceDeps {
  database: Database
  clock: Clock
  logger: Logger
  storage: ObjectStorage
  providers: ReadonlyMap<SpeechProviderName, SpeechProvider>
  /** Speech calls at once for one narration, per provider. */
  concurrency: (provider: SpeechProviderName) => number
  slots: Slots
  enqueue: Jobs['enqueue']
  narrations: { fail: EndAttempt }
  config: { speechLimitSeconds: number; warmHoldSeconds: number }
}

/** The slot was given up, or the provider no longer knows the voice: the attempt waits for a new one. */
export class SlotGone extends Error {
  /** What the provider disowned; null when only the slot has changed, which uses up no reallocation. */
  readonly lostExternalId: string | null

  constructor(lostExternalId: string | null = null) {
    super('the voice has no ready slot')
    this.name = 'SlotGone'
    this.lostExternalId = lostExternalId
  }
}

/** One run of an attempt, under its lease. */
export interface Run {
  attempt: Attempt
  narration: Narration
  voice: Voice
  owner: string
}

/** Thrown when the attempt ended or changed hands while a part was spoken. */
export class RunOver extends Error {
  constructor() {
    super('the attempt is over')
    this.name = 'RunOver'
  }
}
