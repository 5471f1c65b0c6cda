import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { parseBuffer } from 'music-metadata'
import { parseMp3 } from '../src/platform/audio/mp3-frames.ts'
import { startTestApp, until, type Account, type TestApp } from './app.ts'
import { recordingForm, speakRecording } from './recordings.ts'

const story = [
  'Na skraju lasu stał mały dom z zielonymi okiennicami. Mieszkała w nim Hania i jej kot Filemonek, który lubił wylegiwać się przy piecu.',
  'Pewnego wieczoru w oknie pojawiło się światełko. Było nieduże, drżące i zupełnie samo. Hania otworzyła okno i wpuściła je do środka.',
  'Światełko usiadło na poduszce. Powiedziało, że zgubiło drogę do księżyca i że bardzo chce już spać. Hania przykryła je rąbkiem kołdry.',
  'Rano na poduszce została tylko srebrna kropka, a w nocy księżyc świecił odrobinę jaśniej niż zwykle. Hania pomachała mu i zasnęła.',
].join('\n\n')

describe('from a recording to a narrated story', () => {
  let app: TestApp
  let account: Account
  let storyId = 0
  let voiceId = 0
  const audioPath = () => `/voices/${voiceId}/stories/${storyId}/audio`

  before(async () => {
    app = await startTestApp()
    const row = await app.test.database.transaction((tx) =>
      tx
        .insertInto('stories')
        .values({
          title: 'Światełko Hani',
          author: 'Zespół DawnoTemu',
          content: `${story}\n\n${story}\n\n${story}`,
        })
        .returning('id')
        .executeTakeFirstOrThrow(),
    )
    storyId = row.id
    account = await app.signUp()
  })
  after(async () => {
    assert.ok(app.checkedAnswers() > 50, 'answers were compared with the OpenAPI document')
    await app.close()
  })

  test('an upload is checked, stored and listed', async () => {
    const form = recordingForm(await speakRecording())
    const uploaded = await app.call('POST', '/voices', { token: account.accessToken, body: form })
    assert.equal(uploaded.status, 201, uploaded.text)
    assert.equal(uploaded.body['status'], 'recorded')
    assert.equal(uploaded.body['success'], true)
    assert.equal(uploaded.body['name'], `${account.id}_MAIN`)
    assert.deepEqual(uploaded.body['recording_warnings'], ['short'])
    voiceId = Number(uploaded.body['id'])

    const list = await app.call('GET', '/voices', { token: account.accessToken })
    const [voice] = list.body as unknown as Record<string, unknown>[]
    assert.equal(voice?.['id'], voiceId)
    assert.equal(voice?.['is_stand_in'], true)
    assert.equal(voice?.['elevenlabs_voice_id'], null)
    assert.match(String(voice?.['recording_s3_key']), /^voice_samples\/\d+\/voice_\d+_[0-9a-f-]{36}\.mp3$/)
    assert.equal(voice?.['sample_filename'], 'nagranie.mp3')

    const task = String(uploaded.body['task_id'])
    await until(async () => {
      const status = await app.call('GET', `/voices/${voiceId}/status?task_id=${task}`, {
        token: account.accessToken,
      })
      assert.ok(!('voice_id' in status.body))
      const taskStatus = status.body['task_status'] as { state: string }
      return status.body['status'] === 'ready' && taskStatus.state === 'SUCCESS' ? true : null
    }, 'the prepared sample')
  })

  test('twenty parallel requests make one narration and one debit', async () => {
    const before = await app.call('GET', '/me/credits', { token: account.accessToken })
    const asked = await Promise.all(
      Array.from({ length: 20 }, () => app.call('POST', audioPath(), { token: account.accessToken })),
    )
    for (const answer of asked) assert.ok([200, 202].includes(answer.status), answer.text)
    assert.equal(new Set(asked.map((answer) => answer.body['id'])).size, 1)
    const first = asked.find((answer) => answer.body['status'] === 'allocating_voice')
    const voice = first?.body['voice'] as Record<string, unknown>
    assert.equal(voice['allocation_status'], 'allocating')
    assert.equal(voice['queued'], false)

    const price = Number((await app.call('GET', `/stories/${storyId}`)).body['required_credits'])
    const after = await app.call('GET', '/me/credits', { token: account.accessToken })
    assert.equal(Number(after.body['balance']), Number(before.body['balance']) - price)
    const debits = (after.body['recent_transactions'] as { type: string; reason: string }[]).filter(
      ({ type }) => type === 'debit',
    )
    assert.deepEqual(
      debits.map(({ reason }) => reason),
      [`audio_synthesis:${storyId}`],
    )
  })

  test('the narration becomes ready, in parts that are counted', async () => {
    const narration = await app.call('POST', audioPath(), { token: account.accessToken })
    const ready = await until(
      async () => {
        const status = await app.call('GET', `/audio/${String(narration.body['id'])}/status`, {
          token: account.accessToken,
        })
        assert.notEqual(status.body['status'], 'error', status.text)
        return status.body['status'] === 'ready' ? status.body : null
      },
      'the narration',
      60_000,
    )
    assert.equal(ready['stage'], 'done')
    assert.equal(ready['parts_done'], ready['parts_total'])
    assert.ok(Number(ready['parts_total']) >= 2)
    assert.equal(ready['is_current'], true)
    assert.match(String(ready['url']), /^http:\/\/localhost:\d+\/files\/audio_stories\//)
    const again = await app.call('POST', audioPath(), { token: account.accessToken })
    assert.equal(again.status, 200)
    assert.equal(again.body['status'], 'ready')
  })

  test('the file is one MP3 with a true length, its tags and the AI mark', async () => {
    const head = await app.call('HEAD', audioPath(), { token: account.accessToken })
    assert.equal(head.status, 200)
    assert.equal(head.headers.get('content-type'), 'audio/mpeg')
    assert.equal(head.headers.get('accept-ranges'), 'bytes')
    assert.equal(head.headers.get('cache-control'), 'private, no-cache')
    assert.equal(head.headers.get('content-disposition'), `attachment; filename="${storyId}_${voiceId}.mp3"`)

    const response = await fetch(`${app.url}${audioPath()}`, {
      headers: { authorization: `Bearer ${account.accessToken}` },
    })
    const bytes = new Uint8Array(await response.arrayBuffer())
    assert.equal(response.status, 200)
    assert.equal(bytes.length, Number(head.headers.get('content-length')))
    const parsed = parseMp3(bytes)
    assert.ok(parsed.validShare > 0.999)
    assert.equal(parsed.headerFrames.length, 1)
    assert.equal(parsed.tags.length, 1)
    assert.deepEqual(parsed.format, { sampleRate: 44_100, channels: 1, bitrate: 128 })
    assert.ok(parsed.durationSeconds > 60)

    const status = await app.call('POST', audioPath(), { token: account.accessToken })
    const { body } = await app.call('GET', `/audio/${String(status.body['id'])}/status`, {
      token: account.accessToken,
    })
    assert.ok(Math.abs(Number(body['duration_seconds']) - parsed.durationSeconds) < 0.1)

    const { common, native } = await parseBuffer(bytes)
    assert.equal(common.title, 'Światełko Hani')
    assert.equal(common.artist, 'Zespół DawnoTemu')
    assert.equal(common.album, 'DawnoTemu')
    assert.match(
      common.comment?.[0]?.text ?? '',
      /^AI-generated voice \/ Głos wygenerowany przez AI; .*not a clone/,
    )
    const texts = new Map((native['ID3v2.4'] ?? []).map(({ id, value }) => [id, value]))
    assert.equal(texts.get('TXXX:AI_GENERATED'), 'voice')
    assert.match(String(texts.get('TXXX:DIGITAL_SOURCE_TYPE')), /trainedAlgorithmicMedia$/)
    assert.equal(texts.get('TLAN'), 'pol')
  })

  test('ranges, conditions and signed links', async () => {
    const token = account.accessToken
    const whole = await app.call('HEAD', audioPath(), { token })
    const size = Number(whole.headers.get('content-length'))
    const part = await app.call('GET', audioPath(), { token, headers: { range: 'bytes=0-99' } })
    assert.equal(part.status, 206)
    assert.equal(part.headers.get('content-range'), `bytes 0-99/${size}`)
    assert.equal(part.headers.get('content-length'), '100')
    const beyond = await app.call('GET', audioPath(), { token, headers: { range: `bytes=${size}-` } })
    assert.equal(beyond.status, 416)
    assert.equal(beyond.headers.get('content-range'), `bytes */${size}`)
    assert.ok(beyond.text.length <= 2048)
    for (const range of ['bytes=abc', 'bytes=0-1,5-6', 'items=0-1'])
      assert.equal((await app.call('GET', audioPath(), { token, headers: { range } })).status, 200, range)
    const etag = whole.headers.get('etag') ?? ''
    assert.equal(
      (await app.call('GET', audioPath(), { token, headers: { 'if-none-match': etag } })).status,
      304,
    )

    for (const [expires, seconds] of [
      ['abc', 3600],
      ['-1', 60],
      ['1000000000', 3600],
      ['120', 120],
    ] as const) {
      const redirect = await app.call('GET', `${audioPath()}?redirect=true&expires=${expires}`, { token })
      assert.equal(redirect.status, 302)
      assert.equal(redirect.text, '')
      const link = new URL(redirect.headers.get('location') ?? '')
      const lifetime = Number(link.searchParams.get('expires')) - Date.now() / 1000
      assert.ok(Math.abs(lifetime - seconds) < 5, `${expires}: ${lifetime}`)
      const file = await app.call('HEAD', link.href)
      assert.equal(file.status, 200)
      assert.equal(file.headers.get('content-type'), 'audio/mpeg')
    }
  })

  test('another account sees nothing of it', async () => {
    const other = await app.signUp()
    const token = other.accessToken
    for (const [method, target] of [
      ['GET', `/voices/${voiceId}`],
      ['GET', `/voices/${voiceId}/status`],
      ['GET', `/voices/${voiceId}/sample`],
      ['GET', audioPath()],
      ['POST', audioPath()],
      ['DELETE', `/voices/${voiceId}`],
      ['GET', '/audio/1/status'],
    ] as const) {
      const answer = await app.call(method, target, { token })
      assert.equal(answer.status, 403, `${method} ${target}`)
      assert.deepEqual(answer.body, { error: 'Unauthorized' })
    }
    assert.equal((await app.call('HEAD', audioPath(), { token })).status, 403)
  })

  test('unknown ids are the resource’s own 404', async () => {
    const token = account.accessToken
    for (const id of ['0', '-1', '2147483648', 'abc', '01']) {
      assert.deepEqual((await app.call('GET', `/voices/${id}`, { token })).body, { error: 'Voice not found' })
      assert.deepEqual((await app.call('GET', `/audio/${id}/status`, { token })).body, {
        error: 'Audio not found',
      })
      const answer = await app.call('POST', `/voices/${voiceId}/stories/${id}/audio`, { token })
      assert.equal(answer.status, 404)
      assert.deepEqual(answer.body, { error: 'Story not found' })
    }
  })

  test('the current and a past external id stand for the voice', async () => {
    const token = account.accessToken
    const { body } = await app.call('GET', `/voices/${voiceId}`, { token })
    const externalId = String(body['elevenlabs_voice_id'])
    assert.match(externalId, /^local-/)
    assert.equal((await app.call('GET', `/voices/${externalId}`, { token })).body['id'], voiceId)
    await app.test.database.transaction((tx) =>
      tx
        .insertInto('voice_external_ids')
        .values({ external_id: 'former-id', voice_id: voiceId, provider: 'local', created_at: new Date() })
        .execute(),
    )
    const head = await app.call('HEAD', `/voices/former-id/stories/${storyId}/audio`, { token })
    assert.equal(head.status, 200)
  })

  test('deleting the voice removes rows, objects and the slot; points of finished work stay spent', async () => {
    const token = account.accessToken
    const { body: credits } = await app.call('GET', '/me/credits', { token })
    const removed = await app.call('DELETE', `/voices/${voiceId}`, { token, json: {} })
    assert.deepEqual(removed.body, { message: 'Voice and associated files deleted' })
    assert.equal((await app.call('DELETE', `/voices/${voiceId}`, { token })).status, 404)
    assert.deepEqual((await app.call('GET', '/voices', { token })).body, [])
    assert.equal((await app.call('GET', '/me/credits', { token })).body['balance'], credits['balance'])
    const { database } = app.test
    await until(async () => {
      const slots = await database.read.selectFrom('voice_slots').select('id').execute()
      return slots.length === 0 ? true : null
    }, 'the slot to be released')
    const consents = await database.read.selectFrom('voice_consents').select(['voice_id', 'basis']).execute()
    assert.deepEqual(consents, [{ voice_id: null, basis: 'registration_terms' }])
  })
})
