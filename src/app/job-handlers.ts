import type { Job } from '../platform/jobs/jobs.ts'
import { chooseEmailTransport } from '../adapters.ts'
import * as creditsFeature from '../features/credits/credits.ts'
import { createSendMail } from '../features/mail/mail.ts'
import * as narrationFeature from '../features/narrations/narrations.ts'
import * as subscriptionFeature from '../features/subscriptions/subscriptions.ts'
import * as voiceFeature from '../features/voices/voices.ts'
import type { Features } from './features.ts'
import type { Foundation } from './foundation.ts'

/** The code of every job type, for the processes that work. */
export const createJobHandlers = (foundation: Foundation, features: Features): Job[] => {
  const { config, logger, database, clock, keys, storage, speech, enqueue, overrides } = foundation
  const { auth, credits, ledgerCheck, holds, slots, narrations, accountDeletion, samples, accountData } =
    features
  const { queueReconcile } = features
  const { settlePurchase } = features.subscriptions
  return [
    ...auth.jobs,
    ...accountDeletion.jobs,
    ...accountData.jobs,
    creditsFeature.createGrantMonthlyDefault({
      database,
      clock,
      logger,
      credits,
      monthlyDefault: config.credits.monthlyDefault,
    }),
    creditsFeature.createExpireLots({ database, clock, logger, credits }),
    creditsFeature.createCheckLedger({ database, clock, logger, ledgerCheck }),
    subscriptionFeature.createGrantAnnualMonths({ database, clock, logger, settlePurchase }),
    subscriptionFeature.createPruneEvents({
      database,
      clock,
      logger,
      credits,
      retentionDays: config.subscriptions.webhookEventRetentionDays,
    }),
    subscriptionFeature.createReconcileDue({ database, clock, logger, queueReconcile, settlePurchase }),
    subscriptionFeature.createReconcile({
      database,
      clock,
      logger,
      store: foundation.storeBilling,
      apply: features.subscriptions.apply,
      reconcilePacks: features.packs.reconcilePacks,
      allowsSandbox: config.subscriptions.allowsSandboxPurchases,
    }),
    createSendMail({
      database,
      clock,
      transport: overrides?.emailTransport ?? chooseEmailTransport(config, database, clock),
      linkKey: keys['mail-link'].current,
      publicUrl: config.http.publicUrl,
    }),
    voiceFeature.createPrepareSample({ database, clock, samples }),
    voiceFeature.createCloneSlot({
      database,
      clock,
      logger,
      enqueue,
      samples,
      providers: speech.map,
      config: {
        ...holds,
        voicePrefix: config.voices.providerPrefix,
      },
      onReady: narrations.resumeVoice,
      onFailed: narrations.failVoice,
    }),
    voiceFeature.createReleaseSlot({ database, clock, providers: speech.map }),
    voiceFeature.createSweepSlots({ slots }),
    voiceFeature.createDeleteObjects({ storage }),
    narrationFeature.createProduceNarration({
      database,
      clock,
      logger,
      storage,
      slots,
      enqueue,
      narrations,
      providers: speech.map,
      concurrency: (provider) => config.speech[provider].concurrency,
      config: {
        ...holds,
        speechLimitSeconds: config.narrations.speechLimitSeconds,
      },
    }),
    narrationFeature.createSweepNarrations({ database, clock, logger, enqueue, narrations }),
  ]
}
