import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { until, type Account } from '../../../test/app.ts'
import { startScene, type Scene } from '../../../test/narration-scene.ts'
import { prepareSampleJob } from './prepare-sample.job.ts'

describe('voices', () => {
  let scene: Scene
  let account: Account
  before(async () => {
    scene = await startScene()
    account = await scene.app.signUp()
  })
  after(() => scene.close())

  const get = (path: string) => scene.app.call('GET', path, { token: account.accessToken })
  const setVoice = (id: number, values: Record<string, unknown>) =>
    scene.app.test.database.transaction((tx) =>
      tx.updateTable('voices').set(values).where('id', '=', id).execute(),
    )

  const prepare = async (voiceId: number): Promise<void> => {
    const { database } = scene.app.test
    const { jobs } = scene.app.app
    const id = await database.transaction((tx) => jobs.enqueue(tx, prepareSampleJob, { voice_id: voiceId }))
    await until(
      async () => ((await jobs.find(prepareSampleJob, id))?.state === 'completed' ? true : null),
      'the prepared sample',
    )
  }

  test('usable voices come first, then the newest, then the higher id (V-L30)', async () => {
    const owner = await scene.app.signUp()
    const ids: number[] = []
    const states = ['recorded', 'error', 'ready', 'needs_rerecord', 'ready']
    for (const state of states) ids.push(await scene.addVoice(owner, { state }))
    const same = new Date('2026-01-01T00:00:00Z')
    for (const id of ids.slice(2)) await setVoice(id, { created_at: same })
    const list = await scene.app.call('GET', '/voices', { token: owner.accessToken })
    const [first, second, third, fourth, fifth] = ids
    const order = (list.body as unknown as { id: number }[]).map(({ id }) => id)
    assert.deepEqual(order, [first, fifth, third, second, fourth])
  })

  test('status says what each state is, and never voice_id or message', async () => {
    const always = [
      'allocation_status',
      'created_at',
      'id',
      'name',
      'recording_filesize',
      'recording_s3_key',
      'service_provider',
      'status',
      'updated_at',
    ]
    const voiceId = await scene.addVoice(account, { state: 'recorded' })
    const recorded = await get(`/voices/${voiceId}/status`)
    assert.deepEqual(Object.keys(recorded.body).sort(), always)
    assert.deepEqual([recorded.body['status'], recorded.body['allocation_status']], ['recorded', 'recorded'])

    await setVoice(voiceId, { state: 'error', error_code: 'voice_rejected' })
    const failed = await get(`/voices/${voiceId}/status`)
    assert.equal(failed.body['success'], false)
    assert.equal(
      failed.body['error'],
      'The recording could not be turned into a voice; please record it again.',
    )
    await setVoice(voiceId, { state: 'ready', error_code: null })

    const release = scene.speech.hold('clone')
    const storyId = await scene.addStory()
    const cast = { account, voiceId, storyId }
    await scene.ask(cast)
    const making = await get(`/voices/${voiceId}/status`)
    assert.deepEqual([making.body['status'], making.body['allocation_status']], ['processing', 'allocating'])
    assert.ok(!('elevenlabs_voice_id' in making.body))
    release()
    await scene.ended(cast)
    const ready = await get(`/voices/${voiceId}/status?task_id=unknown`)
    assert.deepEqual([ready.body['status'], ready.body['allocation_status']], ['ready', 'ready'])
    assert.match(String(ready.body['elevenlabs_voice_id']), /^scripted-/)
    assert.match(String(ready.body['sample_url']), /^http/)
    assert.deepEqual(ready.body['task_status'], {
      state: 'PENDING',
      ready: false,
      successful: null,
      info: null,
    })
    const voice = await get(`/voices/${voiceId}`)
    assert.equal(voice.body['is_stand_in'], true)
    assert.equal(voice.body['s3_sample_key'], voice.body['recording_s3_key'])
    assert.ok(voice.body['elevenlabs_allocated_at'])
  })

  test('the sample is a link, a redirect, or a 404 that says why', async () => {
    const voiceId = await scene.addVoice(account)
    const link = await get(`/voices/${voiceId}/sample`)
    assert.equal(link.status, 200)
    const redirect = await get(`/voices/${voiceId}/sample?redirect=`)
    assert.equal(redirect.status, 302)
    const [one, other] = [String(link.body['url']), redirect.headers.get('location') ?? '']
    assert.equal(new URL(one).pathname, new URL(other).pathname)
    await setVoice(voiceId, { state: 'needs_rerecord' })
    const lost = await get(`/voices/${voiceId}/sample`)
    assert.deepEqual(
      [lost.status, lost.body],
      [404, { error: 'Voice is not ready (status: needs_rerecord)' }],
    )
    await setVoice(voiceId, { state: 'ready', recording_key: null })
    const missing = await get(`/voices/${voiceId}/sample`)
    assert.deepEqual([missing.status, missing.body], [404, { error: 'Voice sample not found' }])
  })

  test('preparing moves recorded to ready and overwrites no other state (V-L48)', async () => {
    const voiceId = await scene.addVoice(account, { state: 'recorded' })
    await prepare(voiceId)
    assert.equal((await get(`/voices/${voiceId}`)).body['status'], 'ready')
    await setVoice(voiceId, { state: 'error', error_code: 'voice_rejected' })
    await prepare(voiceId)
    assert.equal((await get(`/voices/${voiceId}`)).body['status'], 'error')
    assert.equal(scene.speech.calls.filter(({ subject }) => subject.includes(`-${voiceId}-`)).length, 0)
  })

  test('a recording that is certainly absent has to be made again; one that cannot be decoded is an error', async () => {
    const absent = await scene.addVoice(account, { state: 'recorded' })
    const { recording_s3_key: key } = (await get(`/voices/${absent}`)).body
    await scene.faults.storage.deleteMany([String(key), String(key).replace('.mp3', '.clone.mp3')])
    await prepare(absent)
    assert.equal((await get(`/voices/${absent}`)).body['status'], 'needs_rerecord')

    const broken = await scene.addVoice(account, { state: 'recorded' })
    await setVoice(broken, { clone_sample_key: null })
    await prepare(broken)
    const voice = await get(`/voices/${broken}`)
    assert.equal(voice.body['status'], 'error')
    assert.equal(
      voice.body['error_message'],
      'The recording could not be turned into a voice; please record it again.',
    )
  })

  test('a deletion that fails changes nothing', async () => {
    scene.app.expectErrors()
    const voiceId = await scene.addVoice(account)
    await scene.sql(`
      create function fail_voice_delete() returns trigger language plpgsql as $$ begin raise exception 'planted'; end $$;
      create trigger fail_voice_delete before delete on voices for each row execute function fail_voice_delete()`)
    const failed = await scene.app.call('DELETE', `/voices/${voiceId}`, { token: account.accessToken })
    assert.equal(failed.status, 500)
    assert.equal(failed.body['error'], 'Failed to delete voice')
    await scene.sql('drop function fail_voice_delete cascade')
    assert.equal((await get(`/voices/${voiceId}`)).status, 200)
    assert.equal(
      (await scene.app.call('DELETE', `/voices/${voiceId}`, { token: account.accessToken })).status,
      200,
    )
  })
})
