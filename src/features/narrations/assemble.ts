import { StorageUnavailable } from '../../providers/storage/storage.ts'
import { findStory } from '../stories/stories.ts'
import { isAccountLive } from '../users/users.ts'
import { createDiscard, insertSlotEvent, setSlotHold, stampLastUsed } from '../voices/voices.ts'
import * as leases from './attempt-lease-queries.ts'
import { buildFile } from './finished-file.ts'
import { RunOver, type ProduceDeps, type Run } from './attempt-run.ts'
import * as queries from './queries.ts'
import { planParts } from './speak-attempt.ts'

export const minFileBytes = 2049

export const createAssembler = (deps: ProduceDeps) => {
  const { database, clock, storage } = deps
  const discard = createDiscard(deps)

  /** speaking → assembling → done: joins the parts, stores the file under a new key, then names it in one transaction. */
  const assemble = async (run: Run, signal: AbortSignal): Promise<void> => {
    const { attempt, narration, voice, owner } = run
    const provider = deps.providers.get(voice.provider)
    const story = await findStory(database.read, narration.storyId)
    if (!provider || !story) throw new Error('narrations: provider or story is gone')
    const moved = await database.transaction((tx) =>
      leases.moveStage(tx, attempt.id, owner, ['speaking', 'assembling'], { to: 'assembling' }),
    )
    if (!moved) throw new RunOver()
    const stored = await queries.listParts(database.read, narration.id)
    const parts = planParts(run, provider).map((part) => {
      const found = stored.get(part.renderKey)
      if (!found) throw new Error('narrations: a part is missing')
      return { objectKey: found.objectKey, endsParagraph: part.endsParagraph }
    })
    const file = await buildFile(storage, story, parts, { isStandIn: provider.name === 'local' }, signal)
    if (!file) throw new StorageUnavailable('a stored part is absent')
    if (file.bytes.length < minFileBytes) throw new Error('narrations: the file is too small to be audio')
    const hash = attempt.textSha256.toString('hex').slice(0, 8)
    const objectKey = `audio_stories/${voice.id}/${narration.storyId}-v${narration.version + 1}-${hash}-${attempt.id}.mp3`
    await storage.put(
      objectKey,
      file.bytes,
      {
        contentType: 'audio/mpeg',
        cacheControl: 'private, max-age=86400',
        contentDisposition: `attachment; filename="${narration.storyId}_${voice.id}.mp3"`,
      },
      signal,
    )
    const isDone = await database.transaction(async (tx) => {
      const now = clock.now()
      if (!(await isAccountLive(tx, narration.userId))) return false
      if (!(await leases.endAttempt(tx, attempt.id, owner, { stage: 'done', outcome: null, now })))
        return false
      await queries.finishNarration(tx, {
        id: narration.id,
        objectKey,
        sizeBytes: file.bytes.length,
        now,
        durationSeconds: file.durationSeconds,
        textSha256: attempt.textSha256,
      })
      await stampLastUsed(tx, voice.id, now)
      if (voice.slot)
        await setSlotHold(tx, voice.slot.id, new Date(now.getTime() + deps.config.warmHoldSeconds * 1000))
      await insertSlotEvent(tx, {
        voiceId: voice.id,
        userId: voice.userId,
        type: 'slot_lock_released',
        now,
        reason: 'audio_synthesis_completed',
      })
      return true
    })
    if (isDone) return
    await discard([objectKey])
    throw new RunOver()
  }

  return { assemble }
}
