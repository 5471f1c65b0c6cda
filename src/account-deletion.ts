import type { Clock } from './platform/clock.ts'
import type { Database } from './platform/db/database.ts'
import type { Job, Jobs } from './platform/jobs/jobs.ts'
import { withdrawJobs } from './platform/jobs/withdraw.ts'
import type { Logger } from './platform/observability/logger.ts'
import type { SpeechProvider, SpeechProviderName } from './providers/speech/speech.ts'
import type { ObjectStorage } from './providers/storage/storage.ts'
import * as authFeature from './features/auth/auth.ts'
import type { AccountContents, Auth, Deletions } from './features/auth/auth.ts'
import type { Credits } from './features/credits/credits.ts'
import { eraseWaitingGrants } from './features/admin/admin.ts'
import { eraseArchive } from './features/subscriptions/subscriptions.ts'
import type { Mail } from './features/mail/mail.ts'
import type { Narrations } from './features/narrations/narrations.ts'
import { isLastAdmin } from './features/users/users.ts'
import { createReleaser, createVoiceErasure, type RemoveVoice } from './features/voices/voices.ts'

/** Deletion reaches across the features against their order: here it gets from each what it needs. */
export const createAccountDeletion = (deps: {
  database: Database
  clock: Clock
  logger: Logger
  storage: ObjectStorage
  providers: ReadonlyMap<SpeechProviderName, SpeechProvider>
  enqueue: Jobs['enqueue']
  mail: Mail
  credits: Credits
  auth: Pick<Auth, 'currentPassword'>
  narrations: Pick<Narrations, 'stop'>
  removeVoice: RemoveVoice
}): { deletions: Deletions; jobs: Job[] } => {
  const contents: AccountContents = {
    ...createVoiceErasure({
      ...deps,
      release: createReleaser(deps),
      stopOthers: deps.narrations.stop,
    }),
    isRunning: async (tx, { job, key, value }) =>
      (await withdrawJobs(tx, { name: job }, key, [value])).length > 0,
  }
  /** What was written about the account's points beside the ledger goes with it. */
  const closeAccount: Credits['closeAccount'] = async (tx, userId) => {
    const points = await deps.credits.closeAccount(tx, userId)
    await eraseArchive(tx, userId)
    await eraseWaitingGrants(tx, userId)
    return points
  }
  const steps = authFeature.createDeletionSteps({ ...deps, contents, credits: { closeAccount } })
  return {
    deletions: authFeature.createDeletions({
      ...deps,
      currentPassword: deps.auth.currentPassword,
      isLastOwner: isLastAdmin,
    }),
    jobs: [authFeature.createDeleteAccount({ ...deps, steps }), authFeature.createSweepDeletions(deps)],
  }
}
