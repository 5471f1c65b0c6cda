import assert from 'node:assert/strict'
import { after, afterEach, before, describe, test } from 'node:test'
import { startScene, type Cast, type Scene } from '../../../test/narration-scene.ts'
import { speechError } from '../../../test/scripted-speech.ts'
import { until } from '../../../test/app.ts'

describe('how narrations fail, and what can be waited out', () => {
  let scene: Scene
  before(async () => {
    // One call at a time, so that scripted errors meet the parts in order.
    scene = await startScene({ env: { LOCAL_SPEECH_CONCURRENCY: '1' } })
    scene.app.expectErrors()
  })
  afterEach(() => {
    scene.speech.reset()
    scene.faults.heal()
  })
  after(async () => {
    // V-L6, 5.6: neither story text nor job arguments appear in what was logged.
    const logged = JSON.stringify(
      scene.app.lines.map(({ message, fields }) => [message, String(fields['err'])]),
    )
    assert.doesNotMatch(logged, /Filemonek|okiennicami|attempt_id|slot_id/)
    await scene.close()
  })

  const debitOf = ({ storyId }: Cast) => ({
    type: 'debit',
    reason: `audio_synthesis:${storyId}`,
    amount: -3,
  })

  /** The failure shows its text, gave the points back once with its reason, and nothing reads as charged. */
  const failed = async (cast: Cast, text: string, reason: string) => {
    const status = await scene.ended(cast)
    assert.equal(status['status'], 'error')
    assert.equal(status['stage'], 'failed')
    assert.equal(status['error'], text)
    assert.ok(!('url' in status))
    assert.deepEqual(await scene.moves(cast), [debitOf(cast), { type: 'refund', reason, amount: 3 }])
    assert.equal(await scene.balance(cast), 10)
    const attempts = await scene.attempts(cast)
    assert.deepEqual(
      attempts.map(({ stage, debit_id, credits_charged }) => ({ stage, debit_id, credits_charged })),
      [{ stage: 'failed', debit_id: null, credits_charged: null }],
    )
  }

  /** V-L1: the next request is a new attempt with a new debit, and it succeeds. */
  const nextSucceeds = async (cast: Cast) => {
    const answer = await scene.ask(cast)
    assert.equal(answer.status, 202, answer.text)
    assert.equal((await scene.ended(cast))['status'], 'ready')
    const moves = await scene.moves(cast)
    assert.deepEqual(
      moves.map(({ type }) => type),
      ['debit', 'refund', 'debit'],
    )
    assert.equal(await scene.balance(cast), 7)
    assert.equal((await scene.attempts(cast)).length, 2)
  }

  const notNarrated = 'The story could not be narrated; please try again later.'

  test('rejected speech fails; finished parts are reused by the next attempt', async () => {
    const cast = await scene.cast()
    scene.speech.fail('speak', null, speechError('rejected'))
    await scene.ask(cast)
    await failed(cast, notNarrated, 'synthesis_failed')
    assert.equal(scene.speech.count('speak'), 2, 'no retry, and no further part')
    await nextSucceeds(cast)
    const spoken = scene.speech.calls.filter(({ operation }) => operation === 'speak')
    assert.equal(spoken.length, 5, 'four parts and the one refused call')
    assert.equal(spoken.filter(({ subject }) => subject === spoken[0]?.subject).length, 1)
  })

  test('a transient error is retried in place', async () => {
    const cast = await scene.cast()
    scene.speech.fail('speak', speechError('transient'))
    await scene.ask(cast)
    assert.equal((await scene.ended(cast))['status'], 'ready')
    assert.equal(scene.speech.count('speak'), 5)
    assert.deepEqual(await scene.moves(cast), [debitOf(cast)])
  })

  test('throttling uses up no try and waits as long as it is told', async () => {
    const cast = await scene.cast()
    // More than the five tries of a part.
    scene.speech.fail('speak', ...Array.from({ length: 7 }, () => speechError('throttled', 1)))
    const started = Date.now()
    await scene.ask(cast)
    assert.equal((await scene.ended(cast, 30_000))['status'], 'ready')
    assert.ok(Date.now() - started >= 7000, 'each Retry-After of 1 s was kept')
    assert.equal(scene.speech.count('speak'), 11)
    assert.deepEqual(await scene.moves(cast), [debitOf(cast)])
  })

  test('a voice the provider lost is made again for the same debit (V-L19)', async () => {
    const cast = await scene.cast()
    scene.speech.fail('speak', null, speechError('voice_gone'))
    await scene.ask(cast)
    assert.equal((await scene.ended(cast))['status'], 'ready')
    assert.equal(scene.speech.count('clone'), 2)
    assert.equal(scene.speech.count('speak'), 5, 'the finished part was not bought again')
    assert.deepEqual(await scene.moves(cast), [debitOf(cast)])
    assert.equal((await scene.attempts(cast)).length, 1)
    const events = await scene.app.test.database.read
      .selectFrom('voice_slot_events')
      .select('reason')
      .where('voice_id', '=', cast.voiceId)
      .where('event_type', '=', 'slot_lost')
      .execute()
    assert.deepEqual(events, [{ reason: 'voice_gone' }])
  })

  test('lost a third time it fails, and the dead slot is not kept', async () => {
    const cast = await scene.cast()
    scene.speech.failAlways('speak', speechError('voice_gone'))
    await scene.ask(cast)
    await failed(cast, notNarrated, 'synthesis_failed')
    assert.equal(scene.speech.count('speak'), 3)
    assert.equal(scene.speech.count('clone'), 3)
    scene.speech.reset()
    await nextSucceeds(cast)
    assert.equal(scene.speech.count('clone'), 1)
  })

  test('a recording the provider refuses: voice_rejected, and a new attempt tries again', async () => {
    const cast = await scene.cast()
    scene.speech.fail('clone', speechError('rejected'))
    await scene.ask(cast)
    const text = 'The recording could not be turned into a voice; please record it again.'
    await failed(cast, text, 'voice_slot_manager_error')
    const voice = await scene.voice(cast)
    assert.equal(voice['status'], 'error')
    assert.equal(voice['success'], false)
    assert.equal(voice['error'], text)
    await nextSucceeds(cast)
    assert.equal((await scene.voice(cast))['status'], 'ready')
  })

  test('a clone that never succeeds: allocation_failed, and no place stays occupied (V-L22)', async () => {
    const cast = await scene.cast()
    const restore = await scene.lastTry('slots.clone')
    scene.speech.fail('clone', speechError('transient'))
    await scene.ask(cast)
    await failed(cast, 'The voice could not be prepared; please try again later.', 'voice_slot_manager_error')
    await restore()
    assert.deepEqual(await scene.slots(cast), [])
    await nextSucceeds(cast)
  })

  test('the recording certainly absent: sample_missing, then 409', async () => {
    const cast = await scene.cast()
    await scene.removeRecording(cast)
    await scene.ask(cast)
    const text = 'Voice sample is missing from storage; please re-upload the recording.'
    await failed(cast, text, 'voice_slot_manager_error')
    const answer = await scene.ask(cast)
    assert.equal(answer.status, 409)
    assert.deepEqual(answer.body, { error: text })
    assert.equal(scene.speech.count('clone'), 0)
  })

  test('a storage fault that says 404 is not "sample missing" (V-L28)', async () => {
    const cast = await scene.cast()
    const restore = await scene.lastTry('slots.clone')
    scene.faults.breakDown('get', 'voice_samples/')
    await scene.ask(cast)
    await failed(cast, 'The voice could not be prepared; please try again later.', 'voice_slot_manager_error')
    await restore()
    scene.faults.heal()
    await nextSucceeds(cast)
  })

  test('a narration that cannot be stored: storage_failed; its parts are kept', async () => {
    const cast = await scene.cast()
    const restore = await scene.lastTry('narrations.produce')
    scene.faults.breakDown('put', 'audio_stories/')
    await scene.ask(cast)
    await failed(cast, 'Failed to store the narration', 'storage_failed')
    await restore()
    scene.faults.heal()
    await nextSucceeds(cast)
    assert.equal(scene.speech.count('speak'), 4)
  })

  test('a fault of our own: internal, refunded as task_exception', async () => {
    const cast = await scene.cast()
    const restore = await scene.lastTry('narrations.produce')
    scene.speech.fail('speak', new TypeError('not a speech error'))
    await scene.ask(cast)
    await failed(cast, 'Narration failed unexpectedly; please try again later.', 'task_exception')
    await restore()
    await nextSucceeds(cast)
  })

  test('a crash of a run before the last try is taken up again by itself', async () => {
    const cast = await scene.cast()
    scene.speech.fail('speak', null, new TypeError('not a speech error'))
    await scene.ask(cast)
    assert.equal((await scene.ended(cast, 30_000))['status'], 'ready')
    assert.equal(scene.speech.count('speak'), 5)
    assert.deepEqual(await scene.moves(cast), [debitOf(cast)])
  })

  test('past the wait deadline: allocation_timeout by the application clock', async () => {
    const cast = await scene.cast()
    scene.speech.hold('clone')
    await scene.ask(cast)
    await scene.advance(7190, cast)
    await scene.sweep()
    assert.equal((await scene.ask(cast)).body['status'], 'pending')
    await scene.advance(11, cast)
    await scene.sweep()
    await failed(cast, 'Timed out waiting for voice allocation', 'voice_allocation_timeout')
    scene.speech.reset()
    await nextSucceeds(cast)
  })

  test('past the speech deadline: synthesis_timeout; a late answer is not recorded', async () => {
    const cast = await scene.cast()
    const letGo = scene.speech.hold('speak')
    await scene.ask(cast)
    await until(async () => (scene.speech.inFlight() > 0 ? true : null), 'a speech call')
    await scene.advance(1801, cast)
    await scene.sweep()
    await failed(cast, 'Narration took too long; please try again later.', 'synthesis_failed')
    letGo()
    await until(async () => (scene.speech.inFlight() === 0 ? true : null), 'the call to end')
    const parts = await scene.app.test.database.read
      .selectFrom('narration_parts as p')
      .innerJoin('narrations as n', 'n.id', 'p.narration_id')
      .select('p.id')
      .where('n.voice_id', '=', cast.voiceId)
      .execute()
    assert.deepEqual(parts, [])
    assert.equal(scene.speech.count('speak'), 1)
    await nextSucceeds(cast)
  })

  test('one row that makes the sweeper fail does not keep it from the others (V-L15)', async () => {
    const [first, second] = [await scene.cast(), await scene.cast()]
    scene.speech.hold('clone')
    await scene.ask(first)
    await scene.ask(second)
    await scene.sql(`
      create function fail_first() returns trigger language plpgsql as
        $$ begin raise exception 'scripted'; end $$;
      create trigger fail_first before insert on credit_transactions for each row
        when (new.user_id = ${first.account.id} and new.type = 'refund') execute function fail_first()`)
    await scene.advance(7201, first, second)
    await scene.sweep()
    await failed(second, 'Timed out waiting for voice allocation', 'voice_allocation_timeout')
    assert.deepEqual(await scene.moves(first), [debitOf(first)])
    await scene.sql('drop function fail_first cascade')
    await scene.sweep()
    await failed(first, 'Timed out waiting for voice allocation', 'voice_allocation_timeout')
  })

  test('deleting the voice in mid-speech refunds; nothing is spoken or recorded afterwards (V-L3)', async () => {
    const cast = await scene.cast()
    const letGo = scene.speech.hold('speak')
    const { body } = await scene.ask(cast)
    await until(async () => (scene.speech.inFlight() > 0 ? true : null), 'a speech call')
    const removed = await scene.app.call('DELETE', `/voices/${cast.voiceId}`, {
      token: cast.account.accessToken,
    })
    assert.equal(removed.status, 200)
    const refunded = [debitOf(cast), { type: 'refund', reason: 'voice_deleted', amount: 3 }]
    assert.deepEqual(await scene.moves(cast), refunded)
    assert.equal(await scene.balance(cast), 10)
    letGo()
    await until(async () => (scene.speech.count('remove') > 0 ? true : null), 'the remote voice to go')
    await until(
      async () => ((await scene.keys(`narration_parts/${String(body['id'])}/`)).length === 0 ? true : null),
      'the part to be discarded',
    )
    assert.equal(scene.speech.count('speak'), 1)
    assert.equal((await scene.status(cast, body['id'])).status, 404)
    assert.deepEqual(await scene.moves(cast), refunded)
  })

  test('deleting the voice while it is cloned leaves no remote voice', async () => {
    const cast = await scene.cast()
    const letGo = scene.speech.hold('clone')
    await scene.ask(cast)
    await until(async () => (scene.speech.count('clone') > 0 ? true : null), 'the clone call')
    await scene.app.call('DELETE', `/voices/${cast.voiceId}`, { token: cast.account.accessToken })
    assert.equal(await scene.balance(cast), 10)
    letGo()
    const mine = () => [...scene.speech.voices.values()].filter((name) => name.includes(`${cast.voiceId}-`))
    const { read } = scene.app.test.database
    await until(async () => {
      const slots = await read.selectFrom('voice_slots').select('id').where('voice_id', 'is', null).execute()
      return slots.length === 0 ? true : null
    }, 'the tombstone to go')
    assert.deepEqual(mine(), [])
    assert.equal(scene.speech.count('remove'), 1)
    assert.equal(scene.speech.count('speak'), 0)
  })

  test('a run that lost its slot ends nothing; a clone whose answer was lost is adopted (V-L13, V-L25)', async () => {
    const cast = await scene.cast()
    const letGo = scene.speech.hold('clone')
    scene.speech.fail('clone', speechError('rejected'))
    await scene.ask(cast)
    await until(async () => (scene.speech.count('clone') > 0 ? true : null), 'the clone call')
    await scene.sql(`update voice_slots set owner = gen_random_uuid() where voice_id = ${cast.voiceId}`)
    letGo()
    await scene.idle('slots.clone')
    assert.deepEqual(await scene.slots(cast), [{ state: 'cloning' }])
    assert.deepEqual(await scene.moves(cast), [debitOf(cast)])
    assert.equal((await scene.voice(cast))['status'], 'processing')

    const [call] = scene.speech.calls
    scene.speech.voices.set(`adopted-${cast.voiceId}`, String(call?.subject))
    await scene.sql(`update voice_slots set lease_expires_at = now() - interval '1 s'
      where voice_id = ${cast.voiceId}`)
    await scene.sweep()
    assert.equal((await scene.ended(cast))['status'], 'ready')
    assert.equal(scene.speech.count('clone'), 1)
    assert.equal((await scene.voice(cast))['elevenlabs_voice_id'], `adopted-${cast.voiceId}`)
  })

  test('a failed removal is tried again until the remote voice is gone (V-L20)', async () => {
    const cast = await scene.cast()
    await scene.ask(cast)
    await scene.ended(cast)
    scene.speech.fail('remove', speechError('transient'))
    await scene.app.call('DELETE', `/voices/${cast.voiceId}`, { token: cast.account.accessToken })
    await until(async () => (scene.speech.count('remove') === 1 ? true : null), 'the first removal')
    await scene.idle('slots.release')
    const tombstones = () =>
      scene.app.test.database.read
        .selectFrom('voice_slots')
        .select(['state', 'voice_id'])
        .where('state', '=', 'releasing')
        .execute()
    assert.deepEqual(await tombstones(), [{ state: 'releasing', voice_id: null }])
    await scene.sql(
      `update pgboss.job set start_after = now() where name = 'slots.release' and state = 'retry'`,
    )
    await until(async () => ((await tombstones()).length === 0 ? true : null), 'the tombstone to go')
    assert.equal(scene.speech.count('remove'), 2)
  })

  test('with storage down reading says 503, never 404; absent is 404 (V-L39)', async () => {
    const cast = await scene.cast()
    await scene.ask(cast)
    await scene.ended(cast)
    const target = `/voices/${cast.voiceId}/stories/${cast.storyId}/audio`
    const token = cast.account.accessToken
    const read = (method: string, query = '') => scene.app.call(method, `${target}${query}`, { token })
    scene.faults.breakDown('head', 'audio_stories/')
    for (const [method, query] of [
      ['GET', ''],
      ['GET', '?redirect=1'],
      ['HEAD', ''],
    ] as const) {
      const answer = await read(method, query)
      assert.equal(answer.status, 503, `${method} ${query}`)
      assert.equal(answer.headers.get('retry-after'), '5')
      if (method === 'GET') assert.equal(answer.body['error'], 'Audio storage is temporarily unavailable')
    }
    scene.faults.heal()
    scene.faults.breakDown('get', 'audio_stories/')
    assert.equal((await read('HEAD')).status, 200)
    assert.equal((await read('GET')).status, 503)
    scene.faults.heal()
    const [key] = await scene.keys(`audio_stories/${cast.voiceId}/`)
    await scene.faults.storage.deleteMany([String(key)])
    assert.deepEqual((await read('GET')).body, { error: 'Audio file not found in storage' })
    assert.deepEqual((await read('GET', '?redirect=1')).body, { error: 'Audio not found' })
    assert.equal((await read('HEAD')).status, 404)
  })

  test('an implausible length is asked for once more, then taken and flagged', async () => {
    const cast = {
      ...(await scene.cast()),
      storyId: await scene.addStory('Dobranoc, misiu. Śpij. '.repeat(4)),
    }
    await scene.ask(cast)
    assert.equal((await scene.ended(cast))['status'], 'ready')
    assert.equal(scene.speech.count('speak'), 2)
    const parts = await scene.app.test.database.read
      .selectFrom('narration_parts as p')
      .innerJoin('narrations as n', 'n.id', 'p.narration_id')
      .select('p.is_suspect')
      .where('n.voice_id', '=', cast.voiceId)
      .execute()
    assert.deepEqual(parts, [{ is_suspect: true }])
  })
})
