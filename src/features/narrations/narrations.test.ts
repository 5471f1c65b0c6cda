import assert from 'node:assert/strict'
import { after, afterEach, before, describe, test } from 'node:test'
import { startScene, type Cast, type Scene } from '../../../test/narration-scene.ts'
import { until } from '../../../test/app.ts'
import { produceNarrationJob } from './narrations.ts'

const queued = 'Audio synthesis has been queued'

describe('asking for a narration', () => {
  let scene: Scene
  before(async () => {
    scene = await startScene()
  })
  afterEach(() => scene.speech.reset())
  after(() => scene.close())

  const rowsOf = async ({ voiceId }: Cast) => {
    const db = scene.app.test.database.read
    return db.selectFrom('narrations').selectAll().where('voice_id', '=', voiceId).execute()
  }

  /** The refusal is exact, and nothing was charged or queued. */
  const refused = async (cast: Cast, status: number, body: Record<string, unknown>) => {
    const answer = await scene.ask(cast)
    assert.equal(answer.status, status, answer.text)
    const { request_id: requestId, ...rest } = answer.body as Record<string, unknown>
    assert.deepEqual(rest, body)
    assert.equal(typeof requestId, status >= 500 ? 'string' : 'undefined')
    assert.deepEqual(await rowsOf(cast), [])
    assert.deepEqual(await scene.moves(cast), [])
    assert.equal(scene.speech.calls.length, 0)
    return answer
  }

  test('row 6: an unknown or unpublished story is 404', async () => {
    const cast = await scene.cast()
    await refused({ ...cast, storyId: 2_000_000 }, 404, { error: 'Story not found' })
    await scene.sql(`update stories set is_published = false where id = ${cast.storyId}`)
    await refused(cast, 404, { error: 'Story not found' })
  })

  test('row 6: a text of invisible characters only is 400', async () => {
    const cast = await scene.cast()
    // A byte order mark: PostgreSQL's check lets it pass, no one can hear it.
    const storyId = await scene.addStory('\u{FEFF}')
    await refused({ ...cast, storyId }, 400, { error: 'Story text not found in story' })
  })

  test('row 7: a voice without its recording is 409, before the provider is looked at', async () => {
    const cast = await scene.cast()
    const own = { provider: 'cartesia' }
    const lost = await scene.addVoice(cast.account, { ...own, state: 'needs_rerecord' })
    await refused({ ...cast, voiceId: lost }, 409, {
      error: 'Voice sample is missing from storage; please re-upload the recording.',
    })
    const never = await scene.addVoice(cast.account, { ...own, recording_key: null })
    await refused({ ...cast, voiceId: never }, 409, {
      error: 'Voice sample is missing; please re-upload the recording.',
    })
  })

  test('row 8: a provider that is not configured is 503 with Retry-After 300, before any money', async () => {
    scene.app.expectErrors()
    const cast = await scene.cast()
    const voiceId = await scene.addVoice(cast.account, { provider: 'cartesia' })
    const answer = await refused({ ...cast, voiceId }, 503, {
      error: 'Narration is temporarily unavailable, please try again later',
    })
    assert.equal(answer.headers.get('retry-after'), '300')
  })

  test('row 9: 402 is exact; after a top-up the very next request is accepted', async () => {
    const cast = await scene.cast()
    const dear = { ...cast, storyId: await scene.addStory('Dobranoc, misiu. '.repeat(700)) }
    await refused(dear, 402, { error: 'Insufficient Story Points: need 12, available 10', required: 12 })
    await scene.grant(cast, 5)
    const answer = await scene.ask(dear)
    assert.equal(answer.status, 202, answer.text)
    assert.equal((await scene.ended(dear))['status'], 'ready')
    assert.equal(await scene.balance(dear), 3)
  })

  test('accepted with a slot to be made: allocating_voice with its state and headers', async () => {
    const cast = await scene.cast()
    scene.speech.hold('clone')
    const answer = await scene.ask(cast)
    assert.equal(answer.status, 202)
    const { id, ...body } = answer.body as Record<string, unknown>
    assert.ok(Number.isInteger(id))
    assert.deepEqual(body, {
      status: 'allocating_voice',
      message: 'Voice allocation is in progress',
      voice: {
        voice_id: cast.voiceId,
        allocation_status: 'allocating',
        service_provider: 'local',
        queued: false,
        queue_length: 0,
      },
    })
    assert.equal(answer.headers.get('x-voice-queue-length'), '0')
    assert.equal(answer.headers.get('x-voice-queue-position'), null)
    assert.equal(answer.headers.get('x-voice-remote-id'), null)
  })

  test('unfinished work: live slot state below 75 s, then pending; nothing is charged again', async () => {
    const cast = await scene.cast()
    const letGo = scene.speech.hold('clone')
    const first = await scene.ask(cast)
    await scene.advance(70, cast)
    const live = await scene.ask(cast, { 'accept-language': 'en, pl;q=0.9' })
    assert.deepEqual(live.body, first.body)
    const polish = await scene.ask(cast, { 'accept-language': 'en;q=0.5, pl-PL' })
    assert.equal(polish.body['message'], 'Przygotowujemy Twój głos')
    await scene.advance(6, cast)
    const late = await scene.ask(cast)
    assert.equal(late.status, 202)
    assert.deepEqual(late.body, {
      status: 'pending',
      id: first.body['id'],
      message: 'Audio synthesis request already queued',
      error_message: null,
    })
    for (const name of ['position', 'length'])
      assert.equal(late.headers.get(`x-voice-queue-${name}`), null, name)
    const latePolish = await scene.ask(cast, { 'accept-language': 'pl' })
    assert.equal(latePolish.body['message'], 'Nagranie czeka w kolejce')
    letGo()
    assert.equal((await scene.ended(cast))['status'], 'ready')
    assert.deepEqual(await scene.moves(cast), [
      { type: 'debit', reason: `audio_synthesis:${cast.storyId}`, amount: -3 },
    ])
  })

  test('waiting without a slot is queued_for_slot with its place', async () => {
    const cast = await scene.cast()
    scene.speech.hold('clone')
    await scene.ask(cast)
    await until(async () => (scene.speech.count('clone') > 0 ? true : null), 'the clone call')
    await scene.sql(`delete from voice_slots where voice_id = ${cast.voiceId}`)
    const answer = await scene.ask(cast, { 'accept-language': 'pl' })
    assert.equal(answer.body['status'], 'queued_for_slot')
    assert.equal(answer.body['message'], 'Twój głos czeka w kolejce')
    assert.deepEqual(answer.body['voice'], {
      voice_id: cast.voiceId,
      allocation_status: 'recorded',
      service_provider: 'local',
      queued: true,
      queue_position: 0,
      queue_length: 1,
    })
    assert.equal(answer.headers.get('x-voice-queue-position'), '0')
    assert.equal(answer.headers.get('x-voice-queue-length'), '1')
    // The sweeper finds work without a slot; the surplus clone of the run that lost its slot is removed.
    scene.speech.reset()
    await scene.sweep()
    assert.equal((await scene.ended(cast))['status'], 'ready')
    await until(async () => {
      const names = [...scene.speech.voices.values()].filter((name) => name.includes(`${cast.voiceId}-`))
      return names.length === 1 ? true : null
    }, 'one remote voice in the end (V-L13)')
  })

  test('accepted with a ready slot: processing with the remote id, then in progress without it', async () => {
    const cast = await scene.cast()
    await scene.ask(cast)
    await scene.ended(cast)
    const second = { ...cast, storyId: await scene.addStory() }
    scene.speech.hold('speak')
    const answer = await scene.ask(second)
    assert.equal(answer.status, 202)
    assert.equal(answer.body['status'], 'processing')
    assert.equal(answer.body['message'], queued)
    const voice = answer.body['voice'] as Record<string, unknown>
    assert.equal(voice['allocation_status'], 'ready')
    assert.equal(voice['queued'], false)
    assert.match(String(voice['allocated_at']), /^\d{4}-.*\.\d{3}Z$/)
    assert.equal(answer.headers.get('x-voice-remote-id'), voice['elevenlabs_voice_id'])
    assert.equal(answer.headers.get('x-voice-queue-length'), null)
    await until(async () => (scene.speech.inFlight() > 0 ? true : null), 'a speech call')
    const again = await scene.ask(second, { 'accept-language': 'pl' })
    assert.deepEqual(again.body, {
      status: 'processing',
      id: answer.body['id'],
      message: 'Nagranie właśnie powstaje',
    })
    const status = await scene.status(second, answer.body['id'])
    assert.equal(status.body['stage'], 'speaking')
    assert.equal(status.body['parts_done'], 0)
    scene.speech.reset()
    assert.equal((await scene.ended(second))['status'], 'ready')
    assert.equal(scene.speech.count('clone'), 0)
  })

  test('a ready narration answers 200 after the points and the story are gone, with no provider call', async () => {
    const cast = await scene.cast()
    await scene.ask(cast)
    const { id } = await scene.ended(cast)
    assert.ok(scene.speech.maxInFlight() <= 2, 'LOCAL_SPEECH_CONCURRENCY')
    scene.speech.reset()
    await scene.sql(`update stories set is_published = false where id = ${cast.storyId}`)
    const answer = await scene.ask(cast)
    assert.equal(answer.status, 200)
    assert.deepEqual(Object.keys(answer.body).sort(), ['id', 'status', 'url'])
    assert.equal(answer.body['id'], id)
    assert.equal(scene.speech.calls.length, 0)
  })

  test('a redelivered job on a ready narration makes no provider call (V-L5)', async () => {
    const cast = await scene.cast()
    const { body } = await scene.ask(cast)
    const ready = await scene.ended(cast)
    scene.speech.reset()
    const { database } = scene.app.test
    const attempt = await database.read
      .selectFrom('narration_attempts')
      .select('id')
      .where('narration_id', '=', Number(body['id']))
      .executeTakeFirstOrThrow()
    const jobs = await database.transaction(async (tx) => {
      const payload = { attempt_id: attempt.id }
      return [
        await scene.app.app.jobs.enqueue(tx, produceNarrationJob, payload),
        await scene.app.app.jobs.enqueue(tx, produceNarrationJob, payload),
      ]
    })
    for (const id of jobs)
      await until(async () => {
        const job = await scene.app.app.jobs.find(produceNarrationJob, id)
        return job?.state === 'completed' ? true : null
      }, 'the redelivered job')
    assert.equal(scene.speech.calls.length, 0)
    const { url: _before, ...unchanged } = ready
    const { url: _after, ...now } = (await scene.status(cast, body['id'])).body as Record<string, unknown>
    assert.deepEqual(now, unchanged)
    assert.equal((await scene.moves(cast)).length, 1)
  })
})

describe('asking with the subscription gate on', () => {
  let scene: Scene
  before(async () => {
    scene = await startScene({ env: { ENFORCE_SUBSCRIPTION_GATE: 'true' } })
  })
  after(() => scene.close())

  const endTrial = ({ account }: Cast) =>
    scene.sql(`update users set trial_expires_at = now() - interval '1 day' where id = ${account.id}`)

  test('no trial, no subscription: 403 with its code, before the story is looked at', async () => {
    const cast = await scene.cast()
    await endTrial(cast)
    const gate = { error: 'Subscription required', code: 'SUBSCRIPTION_REQUIRED' }
    for (const storyId of [cast.storyId, 2_000_000]) {
      const answer = await scene.ask({ ...cast, storyId })
      assert.equal(answer.status, 403)
      assert.deepEqual(answer.body, gate)
    }
    assert.deepEqual(await scene.moves(cast), [])
    assert.equal(scene.speech.calls.length, 0)
  })

  test('trial and subscription each open it; paid and ready work passes it when both are over (V-L49)', async () => {
    const cast = await scene.cast()
    scene.speech.hold('clone')
    assert.equal((await scene.ask(cast)).status, 202)
    await endTrial(cast)
    assert.equal((await scene.ask(cast)).body['status'], 'allocating_voice')
    scene.speech.reset()
    await scene.ended(cast)
    assert.equal((await scene.ask(cast)).status, 200)
    const second = { ...cast, storyId: await scene.addStory() }
    assert.equal((await scene.ask(second)).status, 403)
    await scene.sql(`update users set subscription_active = true, subscription_plan = 'monthly',
      subscription_source = 'app_store', subscription_expires_at = now() + interval '5 days'
      where id = ${cast.account.id}`)
    assert.equal((await scene.ask(second)).status, 202)
    assert.equal((await scene.ended(second))['status'], 'ready')
  })
})
