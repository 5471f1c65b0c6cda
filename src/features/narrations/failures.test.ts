import assert from 'node:assert/strict'
import { after, afterEach, before, describe, test } from 'node:test'
import { until } from '../../../test/app.ts'
import { startScene, type Scene } from '../../../test/narration-scene.ts'
import { speechError } from '../../../test/scripted-speech.ts'

describe('when a narration fails', () => {
  let scene: Scene
  before(async () => {
    scene = await startScene()
  })
  afterEach(() => {
    scene.faults.heal()
    scene.speech.reset()
  })
  after(() => scene.close())

  test('a rejected story costs nothing; the next request pays for itself and buys no part twice', async () => {
    scene.app.expectErrors()
    const cast = await scene.cast()
    const before = await scene.balance(cast)
    scene.speech.fail('speak', null, null, speechError('rejected'))
    assert.equal((await scene.ask(cast)).status, 202)
    const failed = await scene.ended(cast)
    assert.equal(failed['error'], 'The story could not be narrated; please try again later.')
    assert.equal(failed['stage'], 'failed')
    assert.equal(await scene.balance(cast), before)
    const kept = await scene.app.test.database.read
      .selectFrom('narration_parts as p')
      .innerJoin('narrations as n', 'n.id', 'p.narration_id')
      .select('p.render_key')
      .where('n.voice_id', '=', cast.voiceId)
      .execute()
    assert.ok(kept.length > 0)
    const made = scene.speech.calls.length
    assert.equal((await scene.ask(cast)).status, 202)
    const ready = await scene.ended(cast)
    assert.equal(ready['status'], 'ready')
    // A part that sounds implausible is spoken twice, so texts are counted, not calls.
    const spoken = scene.speech.calls.slice(made).filter(({ operation }) => operation === 'speak')
    const texts = new Set(spoken.map(({ subject }) => subject))
    assert.equal(texts.size, Number(ready['parts_total']) - kept.length)
    const price = before - (await scene.balance(cast))
    const reason = `audio_synthesis:${cast.storyId}`
    assert.deepEqual(await scene.moves(cast), [
      { type: 'debit', reason, amount: -price },
      { type: 'refund', reason: 'synthesis_failed', amount: price },
      { type: 'debit', reason, amount: -price },
    ])
  })

  test('passing faults and throttling are waited out', async () => {
    const cast = await scene.cast()
    const faults = [speechError('transient'), speechError('throttled', 1), speechError('concurrency', 1)]
    scene.speech.fail('speak', ...faults)
    await scene.ask(cast)
    assert.equal((await scene.ended(cast, 30_000))['status'], 'ready')
    assert.equal((await scene.moves(cast)).length, 1)
  })

  test('a remote voice that is gone is made again for the same debit', async () => {
    const cast = await scene.cast()
    scene.speech.fail('speak', speechError('voice_gone'))
    await scene.ask(cast)
    assert.equal((await scene.ended(cast, 60_000))['status'], 'ready')
    assert.equal((await scene.moves(cast)).length, 1)
  })

  test('a recording that the provider refuses marks the voice and gives the points back', async () => {
    const cast = await scene.cast()
    scene.speech.fail('clone', speechError('rejected'))
    await scene.ask(cast)
    const failed = await scene.ended(cast)
    assert.equal(failed['error'], 'The recording could not be turned into a voice; please record it again.')
    const voice = await scene.app.call('GET', `/voices/${cast.voiceId}`, { token: cast.account.accessToken })
    assert.equal(voice.body['status'], 'error')
    assert.equal((await scene.moves(cast)).at(-1)?.reason, 'voice_slot_manager_error')
    assert.equal((await scene.ask(cast)).status, 202)
    assert.equal((await scene.ended(cast))['status'], 'ready')
  })

  test('deleting the voice in the middle returns the points, and nothing is recorded afterwards', async () => {
    const cast = await scene.cast()
    const before = await scene.balance(cast)
    const release = scene.speech.hold('speak')
    await scene.ask(cast)
    await until(() => Promise.resolve(scene.speech.inFlight() > 0 ? true : null), 'a call in flight')
    const path = `/voices/${cast.voiceId}`
    const removed = await scene.app.call('DELETE', path, { token: cast.account.accessToken })
    assert.equal(removed.status, 200, removed.text)
    assert.equal(await scene.balance(cast), before)
    assert.equal((await scene.moves(cast)).at(-1)?.reason, 'voice_deleted')
    release()
    await until(() => Promise.resolve(scene.speech.inFlight() === 0 ? true : null), 'the calls to end')
    await until(
      () => Promise.resolve(scene.speech.count('remove') > 0 ? true : null),
      'the remote voice to go',
    )
    const { read } = scene.app.test.database
    const left = await read
      .selectFrom('narrations')
      .select('id')
      .where('voice_id', '=', cast.voiceId)
      .execute()
    assert.deepEqual(left, [])
  })

  test('a storage fault while reading is 503, never 404', async () => {
    scene.app.expectErrors()
    const cast = await scene.cast()
    await scene.ask(cast)
    await scene.ended(cast)
    const path = `/voices/${cast.voiceId}/stories/${cast.storyId}/audio`
    const { accessToken: token } = cast.account
    scene.faults.breakDown('head', 'audio_stories/')
    for (const method of ['GET', 'HEAD']) {
      const answer = await scene.app.call(method, path, { token })
      assert.equal(answer.status, 503)
      assert.equal(answer.headers.get('retry-after'), '5')
    }
    scene.faults.heal()
    assert.equal((await scene.app.call('HEAD', path, { token })).status, 200)
  })

  test('a commit that fails at any statement leaves balance and rows as before', async () => {
    scene.app.expectErrors()
    for (const table of ['credit_transactions', 'narrations', 'narration_attempts', 'voice_slots']) {
      const cast = await scene.cast()
      const before = await scene.balance(cast)
      await scene.sql(`
        create function fail_${table}() returns trigger language plpgsql as $$ begin raise exception 'planted'; end $$;
        create trigger fail_${table} before insert on ${table} for each row execute function fail_${table}()`)
      const failed = await scene.ask(cast)
      assert.equal(failed.status, 500, table)
      assert.ok(!failed.text.includes('planted'))
      await scene.sql(`drop function fail_${table} cascade`)
      assert.equal(await scene.balance(cast), before, table)
      assert.deepEqual(await scene.moves(cast), [], table)
      const { read } = scene.app.test.database
      const rows = await read
        .selectFrom('narrations')
        .select('id')
        .where('voice_id', '=', cast.voiceId)
        .execute()
      assert.deepEqual(rows, [], table)
    }
  })
})

test('an attempt that waited too long ends, says so and gives the points back', async () => {
  const scene = await startScene()
  try {
    const cast = await scene.cast()
    const before = await scene.balance(cast)
    scene.speech.hold('clone')
    await scene.ask(cast)
    await scene.advance(7201, cast)
    assert.ok((await scene.app.app.scheduler.tick()).includes('narrations.sweep'))
    const failed = await scene.ended(cast)
    assert.equal(failed['error'], 'Timed out waiting for voice allocation')
    assert.equal(await scene.balance(cast), before)
    assert.equal((await scene.moves(cast)).at(-1)?.reason, 'voice_allocation_timeout')
  } finally {
    scene.app.expectErrors()
    await scene.close()
  }
})
