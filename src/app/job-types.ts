import * as authFeature from '../features/auth/auth.ts'
import * as creditsFeature from '../features/credits/credits.ts'
import { sendMailJob } from '../features/mail/mail.ts'
import * as narrationFeature from '../features/narrations/narrations.ts'
import * as subscriptionFeature from '../features/subscriptions/subscriptions.ts'
import * as voiceFeature from '../features/voices/voices.ts'

/** Every job of the program: their queues are made when the database is migrated. */
export const jobTypes = [
  sendMailJob,
  authFeature.mailRequestJob,
  authFeature.exportAccountJob,
  authFeature.accountRetentionJob,
  authFeature.deleteAccountJob,
  authFeature.sweepDeletionsJob,
  creditsFeature.grantMonthlyDefaultJob,
  creditsFeature.expireLotsJob,
  creditsFeature.checkLedgerJob,
  subscriptionFeature.grantAnnualMonthsJob,
  subscriptionFeature.pruneEventsJob,
  subscriptionFeature.reconcileDueJob,
  subscriptionFeature.reconcileJob,
  voiceFeature.prepareSampleJob,
  voiceFeature.cloneSlotJob,
  voiceFeature.releaseSlotJob,
  voiceFeature.sweepSlotsJob,
  voiceFeature.deleteObjectsJob,
  narrationFeature.produceNarrationJob,
  narrationFeature.sweepNarrationsJob,
]
