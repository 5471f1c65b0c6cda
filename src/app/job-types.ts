import * as authFeature from '../features/auth/auth.ts'
import { sendMailJob } from '../features/mail/mail.ts'
import * as narrationFeature from '../features/narrations/narrations.ts'
import * as voiceFeature from '../features/voices/voices.ts'

/** Every job of the program: their queues are made when the database is migrated. */
export const jobTypes = [
  sendMailJob,
  authFeature.mailRequestJob,
  authFeature.exportAccountJob,
  authFeature.accountRetentionJob,
  authFeature.deleteAccountJob,
  authFeature.sweepDeletionsJob,
  voiceFeature.prepareSampleJob,
  voiceFeature.cloneSlotJob,
  voiceFeature.releaseSlotJob,
  voiceFeature.sweepSlotsJob,
  voiceFeature.deleteObjectsJob,
  narrationFeature.produceNarrationJob,
  narrationFeature.sweepNarrationsJob,
]
