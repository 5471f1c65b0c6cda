import type { Clock } from '../../platform/clock.ts'
import { sha256 } from '../../platform/crypto.ts'
import { sqlState, type Database, type Db, type Tx } from '../../platform/db/database.ts'
import { AppError } from '../../platform/errors.ts'
import type { Jobs } from '../../platform/jobs/jobs.ts'
import { withdrawJobs } from '../../platform/jobs/withdraw.ts'
import type { SpeechProvider, SpeechProviderName } from '../../providers/speech/speech.ts'
import type { Credits } from '../credits/credits.ts'
import { findStory, type Story } from '../stories/stories.ts'
import { accessOf, lockUser } from '../users/users.ts'
import { lockVoice, type Leftovers, type RemovalReason, type Slots, type Voice } from '../voices/voices.ts'
import * as attempts from './attempt-queries.ts'
import * as leases from './attempt-lease-queries.ts'
import type { Attempt } from './attempt-queries.ts'
import { listRecentAttempts, listVoiceFiles } from './erase-queries.ts'
import { refundReasonOf, type Outcome } from './outcomes.ts'
import { produceNarrationJob, type EndAttempt } from './attempt-run.ts'
import * as queries from './queries.ts'
import type { Narration } from './queries.ts'
import { splitText } from './split-text.ts'

export { produceNarrationJob } from './attempt-run.ts'
export { createProduceNarration } from './produce-narration.job.ts'
export { exportNarrations } from './export-narrations.ts'
export { narrationRoutes } from './routes.ts'
export { narrationOwner } from './task-owner.ts'
export { quoteRoutes } from './quote-routes.ts'
export { createNarrationRefund, type NarrationRefund } from './refund-narration.ts'
export { createSweepNarrations, sweepNarrationsJob } from './sweep-narrations.job.ts'

// A run of the job ends within this.
const jobMs = produceNarrationJob.limitSeconds * 1000

export interface NarrationConfig {
  waitLimitSeconds: number
  speechLimitSeconds: number
  enforceSubscriptionGate: boolean
}

/** What POST audio answers; `live` is the state of unfinished work. */
export type RequestResult =
  | { kind: 'ready'; narration: Narration }
  | { kind: 'accepted'; narration: Narration; attempt: Attempt; voice: Voice }
  | { kind: 'live'; narration: Narration; attempt: Attempt; voice: Voice }

export interface Narrations {
  /** 20 §2.6 in its order. Asking again for the same story and voice charges nothing while work is under way. */
  request(voice: Voice, storyId: number | null): Promise<RequestResult>
  fail: EndAttempt
  /** A slot became ready: what waited for it is spoken. */
  resumeVoice(tx: Tx, voiceId: number): Promise<void>
  /** The voice cannot be made: what waited for it ends. */
  failVoice(tx: Tx, voiceId: number, outcome: Outcome): Promise<void>
  /** Cancels, refunds and removes the rows of everything narrated in a voice; answers what they leave behind. */
  removeVoice(tx: Tx, voice: Voice, reason: RemovalReason): Promise<Leftovers>
  /** The account goes: its waiting jobs are cancelled. */
  stop(tx: Tx, userId: number): Promise<void>
}

export const createNarrations = (deps: {
  database: Database
  clock: Clock
  credits: Credits
  slots: Slots
  enqueue: Jobs['enqueue']
  providers: ReadonlyMap<SpeechProviderName, SpeechProvider>
  config: NarrationConfig
}): Narrations => {
  const { database, clock, credits, config, enqueue } = deps

  /** Rows 2 and 3: what exists already decides, before any gate. */
  const existing = async (db: Db, voice: Voice, storyId: number): Promise<RequestResult | null> => {
    const narration = await queries.findByStoryAndVoice(db, storyId, voice.id)
    if (!narration) return null
    if (narration.status === 'ready') return { kind: 'ready', narration }
    const attempt = await attempts.findUnfinished(db, narration.id)
    return attempt ? { kind: 'live', narration, attempt, voice } : null
  }

  const checkOwner = async (tx: Tx, voice: Voice, isFree: boolean): Promise<void> => {
    const owner = await lockUser(tx, voice.userId)
    if (owner?.status === 'deleting') throw new AppError('user_inactive')
    if (isFree || !config.enforceSubscriptionGate) return
    if (!owner || owner.status === 'deleted') throw new AppError('voice_owner_missing')
    if (!accessOf(owner, clock.now()).canGenerate) throw new AppError('subscription_required')
  }

  const speakable = async (tx: Tx, storyId: number): Promise<Story> => {
    const story = await findStory(tx, storyId)
    if (!story?.isPublished) throw new AppError('story_not_found')
    if (!/\S/.test(story.content)) throw new AppError('story_text_missing')
    return story
  }

  const providerOf = (voice: Voice): SpeechProvider => {
    if (voice.state === 'needs_rerecord') throw new AppError('sample_missing_storage')
    if (voice.recordingKey === null) throw new AppError('sample_missing')
    const provider = deps.providers.get(voice.provider)
    if (!provider) throw new AppError('narration_unavailable', { retryAfterSeconds: 300 })
    return provider
  }

  const charge = async (tx: Tx, narration: Narration, amount: number): Promise<number> => {
    const { userId, storyId } = narration
    const reason = `audio_synthesis:${storyId}`
    try {
      return (await credits.debit(tx, { userId, amount, reason, narrationId: narration.id, storyId }))
        .transactionId
    } catch (error) {
      // Repeatable faults go to the transaction's own retry.
      if (error instanceof AppError || ['40001', '40P01'].includes(sqlState(error) ?? '')) throw error
      throw new AppError('charge_failed', { cause: error })
    }
  }

  const accept = async (tx: Tx, given: Voice, storyId: number): Promise<RequestResult> => {
    const now = clock.now()
    const isFree = (await queries.findByStoryAndVoice(tx, storyId, given.id))?.freeRetry ?? false
    await checkOwner(tx, given, isFree)
    const voice = await lockVoice(tx, given.id)
    if (!voice) throw new AppError('voice_not_found')
    const found = await existing(tx, voice, storyId)
    if (found) return found
    const story = await speakable(tx, storyId)
    const provider = providerOf(voice)
    const narration = await queries.lockOrCreateNarration(tx, {
      storyId,
      voiceId: voice.id,
      userId: voice.userId,
      now,
    })
    const price = credits.priceOf(story.content)
    const debitId = narration.freeRetry ? null : await charge(tx, narration, price)
    const isReady = (await deps.slots.step(tx, voice)) === 'ready'
    const attemptId = await attempts.insertAttempt(tx, {
      narrationId: narration.id,
      debitId,
      now,
      kind: debitId === null ? 'free' : 'paid',
      stage: isReady ? 'speaking' : 'waiting',
      text: story.content,
      textSha256: sha256(story.content),
      provider: voice.provider,
      model: provider.model,
      settings: provider.settings,
      partsTotal: splitText(story.content, { maxCharacters: provider.limits.maxCharacters }).parts.length,
      creditsCharged: debitId === null ? null : price,
      waitDeadline: new Date(now.getTime() + config.waitLimitSeconds * 1e3),
    })
    await queries.setNarrationStatus(tx, narration.id, isReady ? 'processing' : 'pending', null, now)
    if (isReady) await enqueue(tx, produceNarrationJob, { attempt_id: attemptId })
    const [attempt, after] = await Promise.all([attempts.findAttempt(tx, attemptId), lockVoice(tx, voice.id)])
    if (!attempt || !after) throw new Error('narrations: the new attempt is gone')
    return { kind: 'accepted', narration, attempt, voice: after }
  }

  const request: Narrations['request'] = async (voice, storyId) => {
    if (storyId === null) throw new AppError('story_not_found')
    return (
      (await existing(database.read, voice, storyId)) ??
      database.transaction((tx) => accept(tx, voice, storyId))
    )
  }

  const fail: Narrations['fail'] = async (tx, attempt, owner, outcome) => {
    await lockUser(tx, attempt.userId)
    const now = clock.now()
    const ended = await leases.endAttempt(tx, attempt.id, owner, { stage: 'failed', outcome, now })
    if (!ended) return false
    await queries.setNarrationStatus(tx, ended.narrationId, 'error', outcome, now)
    if (ended.debitId !== null) await credits.refund(tx, ended.debitId, refundReasonOf(outcome))
    return true
  }

  const resumeVoice: Narrations['resumeVoice'] = async (tx, voiceId) => {
    for (const attempt of await attempts.listUnfinishedOfVoice(tx, voiceId, ['waiting']))
      await enqueue(tx, produceNarrationJob, { attempt_id: attempt.id })
  }

  const failVoice: Narrations['failVoice'] = async (tx, voiceId, outcome) => {
    for (const attempt of await attempts.listUnfinishedOfVoice(tx, voiceId, ['waiting']))
      await fail(tx, attempt, null, outcome)
  }

  const removeVoice: Narrations['removeVoice'] = async (tx, voice, reason) => {
    await lockUser(tx, voice.userId)
    const now = clock.now()
    for (const attempt of await attempts.listUnfinishedOfVoice(tx, voice.id)) {
      const ended = await leases.endAttempt(tx, attempt.id, null, {
        stage: 'cancelled',
        outcome: reason,
        now,
      })
      if (ended && ended.debitId !== null) await credits.refund(tx, ended.debitId, reason)
    }
    const { objects, folders } = await listVoiceFiles(tx, voice.id)
    // Jobs of attempts that ended a while ago have ended, too.
    const recent = await listRecentAttempts(tx, { voiceId: voice.id }, new Date(now.getTime() - jobMs))
    const running = await withdrawJobs(tx, produceNarrationJob, 'attempt_id', recent)
    await queries.deleteVoiceNarrations(tx, voice.id)
    const runs = running.map((value) => ({ job: produceNarrationJob.name, key: 'attempt_id', value }))
    return { objects, folders, runs }
  }

  const stop: Narrations['stop'] = async (tx, userId) => {
    const recent = await listRecentAttempts(tx, { userId }, clock.now())
    await withdrawJobs(tx, produceNarrationJob, 'attempt_id', recent)
  }

  return { request, fail, resumeVoice, failVoice, removeVoice, stop }
}
