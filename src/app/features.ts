import path from 'node:path'
import { deleteExpiredCounters } from '../providers/rate-limit-store/postgres.ts'
import { createAccountDeletion } from '../account-deletion.ts'
import * as authFeature from '../features/auth/auth.ts'
import { createCredits, createLedgerCheck } from '../features/credits/credits.ts'
import { createMail } from '../features/mail/mail.ts'
import * as narrationFeature from '../features/narrations/narrations.ts'
import { createAdminGrants, createAdminMoney, noAudit } from '../features/admin/admin.ts'
import * as subscriptionFeature from '../features/subscriptions/subscriptions.ts'
import * as voiceFeature from '../features/voices/voices.ts'
import type { Foundation } from './foundation.ts'

/** The operations of every feature; reads top to bottom as what depends on what. */
export const createFeatures = (foundation: Foundation) => {
  const { config, logger, database, clock, keys, storage, speech, sandbox, jobs, enqueue } = foundation
  const { counters, keyOf } = foundation
  const passwords = authFeature.createPasswords({
    concurrency: config.passwords.hashConcurrency,
    memoryKib: config.passwords.memoryKib,
    timeCost: config.passwords.timeCost,
    breachedPasswordUrl: config.passwords.breachedUrl,
    report: (problem, cause) => logger.warn({ problem, err: cause }, 'password check'),
  })
  const mail = createMail({ clock, enqueue })
  const credits = createCredits({ clock, config: config.credits })
  const ledgerCheck = createLedgerCheck({ database })
  const proofs = authFeature.createProofOfWork({
    keys: keys.challenge,
    counters,
    clock,
    cost: config.proofOfWork.cost ?? authFeature.defaultPowCost,
  })
  const auth = authFeature.createAuth({
    database,
    clock,
    credits,
    mail,
    enqueue,
    proofs,
    throttle: { counters, keyOf, isEnabled: config.rateLimit.isEnabled },
    config: {
      ...config.registration,
      initialCredits: config.credits.initial,
    },
    passwords,
    accessKeys: keys.access,
    linkKey: keys['mail-link'].current,
  })
  const holds = { warmHoldSeconds: config.voices.warmHoldSeconds }
  const slots = voiceFeature.createSlots({ database, clock, enqueue, config: holds })
  const narrations = narrationFeature.createNarrations({
    database,
    clock,
    credits,
    slots,
    enqueue,
    providers: speech.map,
    config: {
      ...config.narrations,
      enforceSubscriptionGate: config.subscriptions.isGateEnforced,
    },
  })
  const removeVoice = voiceFeature.createVoiceRemoval({
    clock,
    slots,
    enqueue,
    beforeDelete: narrations.removeVoice,
  })
  const voices = voiceFeature.createVoices({
    database,
    clock,
    storage,
    sandbox,
    enqueue,
    config: {
      provider: config.speech.preferred,
      maxVoicesPerUser: config.voices.maxPerUser,
      isEncrypted: config.storage.bucket?.isEncryptedAtRest ?? false,
    },
    removeVoice,
  })
  const accountDeletion = createAccountDeletion({
    database,
    clock,
    logger,
    storage,
    providers: speech.map,
    enqueue,
    mail,
    credits,
    auth,
    narrations,
    removeVoice,
  })
  const samples = voiceFeature.createSampleMaker({ database, clock, storage, sandbox, enqueue })

  const accountData = authFeature.createAccountData({
    database,
    clock,
    logger,
    storage,
    mail,
    enqueue,
    find: jobs.find,
    currentPassword: auth.currentPassword,
    parts: [
      voiceFeature.exportVoices,
      narrationFeature.exportNarrations,
      subscriptionFeature.exportPurchases,
    ],
    tasks: [
      { type: voiceFeature.prepareSampleJob, ownerOf: voiceFeature.sampleOwner },
      { type: narrationFeature.produceNarrationJob, ownerOf: narrationFeature.narrationOwner },
    ],
    deleteObjects: async (tx, keys) => {
      await enqueue(tx, voiceFeature.deleteObjectsJob, { keys: [...keys] })
    },
    deleteExpiredCounters,
    workDirectory: path.join(config.paths.dataDir, 'exports'),
    trialDays: config.registration.trialDays,
  })

  const queueReconcile = subscriptionFeature.createQueueReconcile(enqueue)
  const subscriptions = subscriptionFeature.createSubscriptions({
    database,
    clock,
    logger,
    credits,
    queueReconcile,
    config: config.subscriptions,
  })
  const packs = subscriptionFeature.createPacks({
    database,
    clock,
    logger,
    credits,
    store: foundation.storeBilling,
    queueReconcile,
    config: {
      allowsSandboxPurchases: config.subscriptions.allowsSandboxPurchases,
      allowsUnverifiedPurchases: config.subscriptions.allowsUnverifiedPurchases,
    },
  })
  const importV1 = subscriptionFeature.createImportV1({
    database,
    clock,
    credits,
    apply: subscriptions.apply,
    yearlyProductIds: config.subscriptions.yearlyProductIds,
  })
  const storeLinks = subscriptionFeature.createStoreLinks({ database, clock, counters, queueReconcile })
  const audit = foundation.overrides?.audit ?? noAudit
  const grants = createAdminGrants({
    database,
    clock,
    credits,
    audit,
    reviewAbove: config.admin.grantReviewAbove,
  })
  const adminMoney = createAdminMoney({
    database,
    credits,
    audit,
    refundNarration: narrationFeature.createNarrationRefund(narrations),
    queueReconcile,
    replayEvent: subscriptions.replayEvent,
  })

  return {
    subscriptions,
    queueReconcile,
    packs,
    storeLinks,
    importV1,
    grants,
    adminMoney,
    passwords,
    credits,
    ledgerCheck,
    proofs,
    auth,
    holds,
    slots,
    narrations,
    voices,
    accountDeletion,
    samples,
    accountData,
  }
}

export type Features = ReturnType<typeof createFeatures>
