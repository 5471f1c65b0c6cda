import assert from 'node:assert/strict'
import { after, afterEach, before, describe, test } from 'node:test'
import { until } from './app.ts'
import { advanceClock, count, rows } from './account-scene.ts'
import {
  askForDeletion,
  deletionOf,
  finished,
  itemsOf,
  queuedJobs,
  tick,
  tracesOf,
  waiting,
} from './deletion-scene.ts'
import { startScene, type Cast, type Scene } from './narration-scene.ts'
import { recordingForm, speakRecording } from './recordings.ts'
import { speechError } from './scripted-speech.ts'

describe('a deletion while something runs (A-L25)', () => {
  let scene: Scene
  before(async () => {
    // One call at a time: a held part is followed by others that must not be spoken.
    scene = await startScene({ env: { LOCAL_SPEECH_CONCURRENCY: '1' } })
    scene.app.expectErrors()
  })
  afterEach(() => {
    scene.speech.reset()
    scene.faults.heal()
  })
  after(() => scene.close())

  const nothingIsLeft = async ({ account, voiceId }: Cast) => {
    const { app, speech } = scene
    assert.equal(speech.voices.size, 0, 'no remote voice')
    assert.equal(await count(app, 'voice_slots'), 0)
    assert.deepEqual(await scene.keys(`voice_samples/${account.id}/`), [])
    assert.deepEqual(await scene.keys(`audio_stories/${voiceId}/`), [])
    assert.deepEqual(await scene.keys('narration_parts/'), [])
    assert.deepEqual(await queuedJobs(app), [], 'no queue entry')
    assert.deepEqual(await tracesOf(app, account), [])
  }

  /** The rows of the account's voices are gone; runs that hold them know nothing yet. */
  const rowsAreGone = (cast: Cast) =>
    until(
      async () => ((await count(scene.app, 'voices where id = $1', [cast.voiceId])) === 0 ? true : null),
      'the rows to go',
    )

  test('a clone whose answer comes after the rows are gone', async () => {
    const cast = await scene.cast()
    const open = scene.speech.hold('clone')
    assert.equal((await scene.ask(cast)).status, 202)
    await until(async () => (scene.speech.count('clone') === 1 ? true : null), 'the clone to begin')
    await askForDeletion(scene.app, cast.account)
    await rowsAreGone(cast)
    open()
    await finished(scene.app, cast.account)
    await nothingIsLeft(cast)
    const slot = (await itemsOf(scene.app, cast.account)).find(({ kind }) => kind === 'slot')
    assert.match(String(slot?.intent_token), new RegExp(`${cast.voiceId}-\\d+$`))
    assert.deepEqual(
      (await scene.moves(cast)).map(({ type, reason }) => [type, reason]),
      [
        ['debit', `audio_synthesis:${cast.storyId}`],
        ['refund', 'account_deleted'],
      ],
    )
  })

  test('a clone that got through although its answer was lost is found by its name', async () => {
    const cast = await scene.cast()
    const open = scene.speech.hold('clone')
    scene.speech.fail('clone', speechError('transient'))
    await scene.ask(cast)
    const call = await until(
      async () => scene.speech.calls.find(({ operation }) => operation === 'clone'),
      'the clone to begin',
    )
    await askForDeletion(scene.app, cast.account)
    await rowsAreGone(cast)
    scene.speech.voices.set('lost', call.subject)
    open()
    // While the lease of the clone runs nobody can say whether it got through.
    await waiting(scene.app, cast.account, 1)
    assert.equal(scene.speech.voices.size, 1)
    await rows(scene.app, `update voice_slots set lease_expires_at = now() where state = 'releasing'`)
    await advanceClock(scene.app, 121)
    await tick(scene.app)
    await finished(scene.app, cast.account)
    await nothingIsLeft(cast)
  })

  test('a clone that failed once and waits for its next try has a name to look for, too', async () => {
    const cast = await scene.cast()
    scene.speech.fail('clone', speechError('transient'))
    await scene.ask(cast)
    const call = await until(
      async () => scene.speech.calls.find(({ operation }) => operation === 'clone'),
      'the clone to fail',
    )
    await until(
      async () => ((await scene.slots(cast))[0]?.state === 'reserved' ? true : null),
      'the slot to be given back',
    )
    scene.speech.voices.set('lost', call.subject)
    await askForDeletion(scene.app, cast.account)
    await finished(scene.app, cast.account)
    await nothingIsLeft(cast)
    assert.equal(scene.speech.count('clone'), 1, 'its next try was cancelled')
  })

  test('a clone that was given up is looked for, too, and so is one of a voice that was deleted before', async () => {
    const cast = await scene.cast()
    scene.speech.failAlways('clone', speechError('transient'))
    // The provider does not answer, so what was given up stays a tombstone of ours.
    scene.speech.failAlways('find', speechError('transient'))
    scene.speech.failAlways('remove', speechError('transient'))
    const undo = await scene.lastTry('slots.clone')
    await scene.ask(cast)
    assert.equal((await scene.ended(cast))['status'], 'error')
    await undo()
    const call = scene.speech.calls.find(({ operation }) => operation === 'clone')
    scene.speech.voices.set('lost', call?.subject ?? '')
    scene.speech.reset()
    scene.speech.failAlways('remove', speechError('transient'))
    const other = { ...cast, voiceId: await scene.addVoice(cast.account) }
    await scene.ask(other)
    assert.equal((await scene.ended(other))['status'], 'ready')
    for (const { voiceId } of [cast, other])
      assert.equal(
        (await scene.app.call('DELETE', `/voices/${voiceId}`, { token: cast.account.accessToken })).status,
        200,
      )
    await until(
      async () => ((await count(scene.app, `voice_slots where state = 'releasing'`)) === 2 ? true : null),
      'both tombstones',
    )
    await askForDeletion(scene.app, cast.account)
    await waiting(scene.app, cast.account, 1)
    assert.equal(scene.speech.voices.size, 2)
    scene.speech.reset()
    await advanceClock(scene.app, 121)
    await tick(scene.app)
    await finished(scene.app, cast.account)
    await nothingIsLeft(cast)
  })

  test('a part that is being spoken: no further call, nothing stored, the debit refunded', async () => {
    const cast = await scene.cast()
    const open = scene.speech.hold('speak')
    await scene.ask(cast)
    await until(async () => (scene.speech.inFlight() > 0 ? true : null), 'speech to begin')
    // The provider still has the voice when the call ends, and the run cannot remove what it stored in vain.
    scene.speech.failAlways('remove', speechError('transient'))
    scene.faults.breakDown('delete', 'narration_parts/')
    await askForDeletion(scene.app, cast.account)
    await rowsAreGone(cast)
    open()
    await until(async () => (scene.speech.inFlight() === 0 ? true : null), 'the call to end')
    await until(async () => ((await scene.keys('narration_parts/')).length > 0 ? true : null), 'the part')
    await waiting(scene.app, cast.account, 1)
    assert.equal(scene.speech.count('speak'), 1)
    scene.faults.heal()
    scene.speech.reset()
    await advanceClock(scene.app, 121)
    await tick(scene.app)
    await finished(scene.app, cast.account)
    assert.equal(scene.speech.count('speak'), 0, 'no further part')
    await nothingIsLeft(cast)
    assert.deepEqual(
      (await scene.moves(cast)).map(({ type }) => type),
      ['debit', 'refund'],
    )
  })

  test('between the request and the removal of the rows no provider is called for the account', async () => {
    const cast = await scene.cast()
    const open = scene.speech.hold('speak')
    await scene.ask(cast)
    await until(async () => (scene.speech.inFlight() > 0 ? true : null), 'speech to begin')
    // The deletion cannot remove the rows yet: something else holds the voice.
    const client = await scene.app.test.database.pool.connect()
    try {
      await client.query('begin')
      await client.query('select id from voices where id = $1 for update', [cast.voiceId])
      await askForDeletion(scene.app, cast.account)
      open()
      await until(async () => (scene.speech.inFlight() === 0 ? true : null), 'the call to end')
      await scene.idle('narrations.produce')
      assert.equal(scene.speech.count('speak'), 1)
      assert.equal(await count(scene.app, 'narration_parts where object_key like $1', ['%']), 0)
    } finally {
      await client.query('rollback')
      client.release()
    }
    await finished(scene.app, cast.account)
    await nothingIsLeft(cast)
  })

  test('an upload that is under way stores nothing in the end', async () => {
    const account = await scene.app.signUp()
    const client = await scene.app.test.database.pool.connect()
    const form = recordingForm(await speakRecording())
    try {
      // The upload is past its checks and waits for the account, which goes meanwhile.
      await client.query('begin')
      await client.query('select id from users where id = $1 for no key update', [account.id])
      const upload = scene.app.call('POST', '/voices', { token: account.accessToken, body: form })
      await until(
        async () => ((await scene.keys(`voice_samples/${account.id}/`)).length > 0 ? true : null),
        'the recording',
        60_000,
      )
      await client.query(`update users set status = 'deleting' where id = $1`, [account.id])
      await client.query('commit')
      assert.equal((await upload).status, 403)
    } finally {
      client.release()
    }
    assert.deepEqual(await scene.keys(`voice_samples/${account.id}/`), [])
    await rows(scene.app, `update users set status = 'active' where id = $1`, [account.id])
    await askForDeletion(scene.app, account)
    await finished(scene.app, account)
    assert.equal((await deletionOf(scene.app, account)).state, 'done')
  })
})
