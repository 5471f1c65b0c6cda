import assert from 'node:assert/strict'
import { after, afterEach, before, describe, test } from 'node:test'
import type { App } from '../src/app.ts'
import { advanceClock, count, rows } from './account-scene.ts'
import {
  askForDeletion,
  deletionOf,
  finished,
  itemsOf,
  startWorker,
  statusOf,
  tick,
  tracesOf,
  waiting,
} from './deletion-scene.ts'
import { recordingLogger } from './logger.ts'
import { startScene, type Cast, type Scene } from './narration-scene.ts'
import { speechError } from './scripted-speech.ts'

const day = 86_400

describe('a deletion that cannot finish at once', () => {
  let scene: Scene
  before(async () => {
    scene = await startScene()
    scene.app.expectErrors()
  })
  afterEach(() => {
    scene.speech.reset()
    scene.faults.heal()
  })
  after(() => scene.close())

  const narrated = async (cast: Cast) => {
    assert.equal((await scene.ask(cast)).status, 202)
    assert.equal((await scene.ended(cast))['status'], 'ready')
  }

  /** An account with two voices that the provider has. */
  const twoVoices = async (): Promise<Cast> => {
    const cast = await scene.cast()
    await narrated(cast)
    await narrated({ ...cast, voiceId: await scene.addVoice(cast.account) })
    assert.equal(scene.speech.voices.size, 2)
    scene.speech.reset()
    return cast
  }

  const removals = () =>
    scene.speech.calls.filter(({ operation }) => operation === 'remove').map(({ subject }) => subject)

  /** The next look is due; everything else that is due by the clock starts, too. */
  const lookAgain = async (account: { id: number }) => {
    const { next_attempt_at: next } = await deletionOf(scene.app, account)
    assert.ok(next)
    await advanceClock(
      scene.app,
      Math.ceil((next.getTime() - scene.app.app.clock.now().getTime()) / 1000) + 61,
    )
    await tick(scene.app)
  }

  test('two voices, the second failing once: the first is not asked for again (A-L21)', async () => {
    const { account } = await twoVoices()
    scene.speech.fail('remove', null, speechError('transient'))
    await askForDeletion(scene.app, account)
    await finished(scene.app, account)
    const [first, second] = removals()
    assert.deepEqual(removals(), [first, second, second])
    assert.notEqual(first, second)
    assert.equal(scene.speech.voices.size, 0)
    assert.equal(await statusOf(scene.app, account), 'deleted')
  })

  test('a provider that refuses for now: the account and the item stay, with the reason, until it is done', async () => {
    const { account } = await twoVoices()
    const [gone, kept] = [...scene.speech.voices.keys()]
    assert.ok(gone && kept)
    // One failing item does not stop the others.
    scene.speech.failAlways('remove', speechError('throttled'))
    scene.speech.voices.delete(gone)
    await askForDeletion(scene.app, account)
    const first = await waiting(scene.app, account, 1)
    assert.deepEqual(
      { state: first.state, failure: first.last_failure },
      { state: 'wait', failure: 'rate_limited' },
    )
    assert.equal(await statusOf(scene.app, account), 'deleting')
    assert.equal(await count(scene.app, 'users where email = $1', [account.email]), 1)
    const open = (await itemsOf(scene.app, account)).filter(
      ({ verified_at: verified, kind }) => verified === null && kind !== 'folder',
    )
    assert.ok(open.length > 0 && open.every(({ kind }) => kind === 'slot'), 'only remote voices are left')
    assert.ok(open.every(({ last_failure: failure }) => failure === 'rate_limited'))
    assert.equal((await scene.keys(`voice_samples/${account.id}/`)).length, 0)

    scene.speech.reset()
    await lookAgain(account)
    const done = await finished(scene.app, account)
    assert.equal(done.last_failure, null)
    assert.equal(scene.speech.voices.size, 0)
    assert.deepEqual(await tracesOf(scene.app, account), [])
  })

  test('a remote voice that is still there after its removal is removed again', async () => {
    const cast = await scene.cast()
    await narrated(cast)
    const [[externalId = '', name = ''] = []] = scene.speech.voices
    // The provider confirms the removal and has the voice all the same, under another id.
    scene.speech.voices.set('double', name)
    await askForDeletion(scene.app, cast.account)
    await finished(scene.app, cast.account)
    assert.deepEqual([...new Set(removals())].sort(), [externalId, 'double'].sort())
    assert.equal(scene.speech.voices.size, 0)
  })

  test('an object store that fails: no key is forgotten, all is gone at the end (A-L24)', async () => {
    const cast = await scene.cast()
    await narrated(cast)
    const { account } = cast
    const keys = [
      ...(await scene.keys(`voice_samples/${account.id}/`)),
      ...(await scene.keys(`audio_stories/${cast.voiceId}/`)),
    ]
    assert.equal(keys.length, 3)
    scene.faults.breakDown('delete', '')
    await askForDeletion(scene.app, account)
    const first = await waiting(scene.app, account, 1)
    assert.equal(first.last_failure, 'unavailable')
    assert.equal(await statusOf(scene.app, account), 'deleting')
    const open = await itemsOf(scene.app, account)
    for (const key of keys)
      assert.ok(
        open.some(({ reference, verified_at: verified }) => reference === key && verified === null),
        `${key} is still on the list`,
      )
    // Removed at last, but the store does not say so: not believed.
    scene.faults.heal()
    scene.faults.breakDown('head', 'voice_samples/')
    await lookAgain(account)
    assert.equal((await waiting(scene.app, account, 2)).last_failure, 'unavailable')
    assert.equal(await statusOf(scene.app, account), 'deleting')
    // Nor is a folder that cannot be listed taken for an empty one.
    scene.faults.heal()
    scene.faults.breakDown('list', 'audio_stories/')
    await lookAgain(account)
    const third = await waiting(scene.app, account, 3)
    assert.deepEqual(
      { state: third.state, failure: third.last_failure },
      { state: 'recheck', failure: 'unavailable' },
    )
    scene.faults.heal()
    await lookAgain(account)
    await finished(scene.app, account)
    for (const key of keys) assert.equal(await scene.faults.storage.head(key), null)
  })

  test('an object that no row named is found in the account’s folder', async () => {
    const cast = await scene.cast()
    await narrated(cast)
    const strays = [
      `voice_samples/${cast.account.id}/voice_0_stray.wav`,
      `audio_stories/${cast.voiceId}/stray.mp3`,
      `exports/${cast.account.id}/stray.zip`,
    ]
    for (const key of strays)
      await scene.faults.storage.put(key, new Uint8Array(10), { contentType: 'audio/mpeg' })
    await askForDeletion(scene.app, cast.account)
    await finished(scene.app, cast.account)
    for (const key of strays) assert.equal(await scene.faults.storage.head(key), null)
  })
})

test('a provider down for two days delays a deletion and does not lose it, through restarts too (A-L22)', async () => {
  const scene = await startScene({ work: false })
  const logger = recordingLogger()
  let worker: App = await startWorker(scene, logger)
  try {
    const { app, speech } = scene
    const cast = await scene.signedUp()
    const { account } = cast
    assert.equal((await scene.ask(cast)).status, 202)
    assert.equal((await scene.ended(cast))['status'], 'ready')
    for (const operation of ['remove', 'exists', 'find'] as const)
      speech.failAlways(operation, speechError('transient'))
    const started = app.app.clock.now().getTime()
    await askForDeletion(app, account)

    const gaps: number[] = []
    for (let looks = 1; ; looks += 1) {
      const { next_attempt_at: next, last_failure: failure } = await waiting(app, account, looks)
      assert.equal(failure, 'unavailable')
      assert.equal(await statusOf(app, account), 'deleting')
      assert.ok(next)
      const now = app.app.clock.now().getTime()
      if (now - started > 2 * day * 1000) break
      gaps.push(Math.round((next.getTime() - now) / 1000))
      // Not due yet: nothing runs.
      await tick(app)
      if (looks === 3) {
        await worker.close()
        worker = await startWorker(scene, logger)
      }
      await advanceClock(app, gaps.at(-1) ?? 0)
      await advanceClock(app, 61)
      await tick(app)
    }
    for (const [index, expected] of [60, 300, 1800, 7200, 21_600, day].entries())
      assert.ok(Math.abs((gaps[index] ?? 0) - expected) < 30, `look ${index + 2} after ${gaps[index]} s`)
    assert.ok(
      gaps.every((gap) => gap <= day + 30),
      'daily at the latest',
    )

    // Three days: said once, in the log and on the row.
    await advanceClock(app, day)
    await tick(app)
    await waiting(app, account, gaps.length + 2)
    await advanceClock(app, 120)
    await tick(app)
    assert.ok((await deletionOf(app, account)).needs_attention_at)
    const alarms = logger.lines.filter(({ message }) => message === 'account deletion open for three days')
    assert.equal(alarms.length, 1)

    speech.reset()
    await advanceClock(app, day + 61)
    await tick(app)
    await finished(app, account)
    assert.equal(speech.voices.size, 0)
    assert.deepEqual(await rows(app, 'select id from voice_slots'), [])
    assert.deepEqual(await tracesOf(app, account), [])
  } finally {
    await worker.close()
    await scene.close()
  }
})
