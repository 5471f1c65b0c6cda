import { isAccountLive } from '../users/users.ts'
import { createDiscard, extendSlotHold } from '../voices/voices.ts'
import * as leases from './attempt-lease-queries.ts'
import { RunOver, SlotGone, type ProduceDeps, type Run } from './attempt-run.ts'
import * as queries from './queries.ts'
import { SpeechError, type SpeechProvider } from '../../providers/speech/speech.ts'
import { renderKey, speakPart } from './speak-part.ts'
import { splitText, type TextPart } from './split-text.ts'

export interface PlannedPart extends TextPart {
  renderKey: string
}

// A part that starts keeps its voice from being evicted for this long.
const partHoldMs = 180_000

/** The parts of an attempt with their render keys: the same text gives the same plan in every run. */
export const planParts = (
  { attempt, voice }: Pick<Run, 'attempt' | 'voice'>,
  provider: SpeechProvider,
): PlannedPart[] =>
  splitText(attempt.text, { maxCharacters: provider.limits.maxCharacters }).parts.map((part) => ({
    ...part,
    renderKey: renderKey(part, {
      provider: attempt.provider,
      usesContext: provider.limits.usesContext,
      model: attempt.model,
      settings: attempt.settings,
      recordingSha256: voice.recordingSha256?.toString('hex') ?? '',
      regenerationNumber: attempt.regenerationNumber,
    }),
  }))

export const createSpeaker = (deps: ProduceDeps) => {
  const { database, clock, storage } = deps
  const discard = createDiscard(deps)

  const speakOne = async (
    run: Run,
    part: PlannedPart,
    provider: SpeechProvider,
    signal: AbortSignal,
  ): Promise<void> => {
    const { attempt, narration, voice, owner } = run
    const externalId = voice.slot?.externalId
    if (!voice.slot || !externalId) throw new SlotGone()
    const slotId = voice.slot.id
    // Before each call, retries included: the account, the attempt and the slot still stand, and the slot stays held.
    const beforeCall = () =>
      database.transaction(async (tx) => {
        const until = new Date(clock.now().getTime() + partHoldMs)
        if (!(await isAccountLive(tx, narration.userId))) throw new RunOver()
        if (!(await leases.isStillOurs(tx, attempt.id, owner))) throw new RunOver()
        if (!(await extendSlotHold(tx, slotId, externalId, until))) throw new SlotGone()
      })
    const spoken = await speakPart(provider, { externalId, part, beforeCall }, signal).catch(
      (error: unknown) => {
        throw error instanceof SpeechError && error.kind === 'voice_gone' ? new SlotGone(externalId) : error
      },
    )
    const objectKey = `narration_parts/${narration.id}/${part.renderKey}.mp3`
    await storage.put(objectKey, spoken.audio, { contentType: 'audio/mpeg' }, signal)
    const isRecorded = await database.transaction(async (tx) => {
      if (!(await leases.isStillOurs(tx, attempt.id, owner))) return false
      if (!(await isAccountLive(tx, narration.userId))) return false
      await queries.insertPart(tx, {
        narrationId: narration.id,
        renderKey: part.renderKey,
        index: part.index,
        textStart: part.start,
        textEnd: part.end,
        objectKey,
        sizeBytes: spoken.audio.length,
        frames: spoken.frames,
        durationSeconds: spoken.durationSeconds,
        timings: spoken.timings,
        requestId: spoken.requestId,
        billedCharacters: spoken.billedCharacters,
        isSuspect: spoken.isSuspect,
        now: clock.now(),
      })
      return true
    })
    if (isRecorded) return
    // Only an object that no row names may go: another run may have stored the same part.
    const parts = await queries.listParts(database.read, narration.id)
    if (!parts.has(part.renderKey)) await discard([objectKey])
    throw new RunOver()
  }

  /** Speaks what is not stored yet, first parts first, at most `concurrency` at once. */
  const speakAll = async (run: Run, signal: AbortSignal): Promise<void> => {
    const provider = deps.providers.get(run.voice.provider)
    if (!provider) throw new SpeechError('configuration', 'the voice has no configured provider')
    const stored = await queries.listParts(database.read, run.narration.id)
    const missing = planParts(run, provider).filter((part) => !stored.has(part.renderKey))
    const failed = new AbortController()
    const inner = AbortSignal.any([signal, failed.signal])
    let next = 0
    const worker = async (): Promise<void> => {
      for (;;) {
        const part = missing[next]
        next += 1
        if (!part) return
        try {
          await speakOne(run, part, provider, inner)
        } catch (error) {
          failed.abort(error)
          throw error
        }
      }
    }
    const count = Math.min(missing.length, Math.max(1, deps.concurrency(run.voice.provider)))
    const results = await Promise.allSettled(Array.from({ length: count }, worker))
    // The first failure aborted the others; it, not their abortion, is what happened.
    if (failed.signal.aborted) throw failed.signal.reason
    const rejected = results.find((result) => result.status === 'rejected')
    if (rejected) throw rejected.reason
  }

  return { speakAll }
}
