import assert from 'node:assert/strict'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { Readable } from 'node:stream'
import { after, before, describe, test, type TestContext } from 'node:test'
import { startTestApp, until, type Account, type Answer, type TestApp } from '../../../test/app.ts'
import { freePort } from '../../platform/free-port.ts'
import * as audio from '../../../test/audio-fixtures.ts'
import { silentLogger } from '../../../test/logger.ts'
import { recordingForm, speakRecording } from '../../../test/recordings.ts'
import { createHttpServer } from '../../platform/http/server.ts'
import { createLocalFiles } from '../../providers/storage/local-files/local-files.ts'
import { StorageUnavailable, type ObjectStorage } from '../../providers/storage/storage.ts'
import { currentConsentText } from './consent-text.ts'
import { voiceRoutes } from './routes.ts'

type Bytes = Uint8Array<ArrayBuffer>
const env = { RATELIMIT_ENABLED: 'false' }
const speech: Bytes = new Uint8Array(audio.wav([audio.speechLike(4)]))
const mib = 1024 * 1024
const boundary = 'granica'
const multipartType = { 'content-type': `multipart/form-data; boundary=${boundary}` }

const filePart = (bytes: Uint8Array, filename = 'nagranie.wav', field = 'file'): Buffer =>
  Buffer.concat([
    Buffer.from(
      `--${boundary}\r\ncontent-disposition: form-data; name="${field}"; filename="${filename}"\r\ncontent-type: audio/wav\r\n\r\n`,
    ),
    bytes,
    Buffer.from('\r\n'),
  ])
const textPart = (name: string, value: string): Buffer =>
  Buffer.from(`--${boundary}\r\ncontent-disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`)
const closing = Buffer.from(`--${boundary}--\r\n`)
const joined = (...parts: Uint8Array[]): Bytes => new Uint8Array(Buffer.concat(parts))

const filesUnder = async (folder: string): Promise<string[]> => {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => [])
  return entries.filter((entry) => entry.isFile()).map((entry) => path.join(entry.parentPath, entry.name))
}
const uploadsOf = (app: TestApp) => filesUnder(path.join(app.dataDir, 'uploads'))
const countRows = async (app: TestApp, table: 'voices' | 'voice_consents' | 'voice_slot_events') =>
  Number((await app.test.database.pool.query(`select count(*) from ${table}`)).rows[0].count)

const assertNothingKept = async (app: TestApp, what: string): Promise<void> => {
  assert.equal(await countRows(app, 'voices'), 0, what)
  assert.equal(await countRows(app, 'voice_consents'), 0, what)
  assert.equal(await countRows(app, 'voice_slot_events'), 0, what)
  assert.deepEqual(await filesUnder(path.join(app.dataDir, 'objects')), [], what)
  // The answer may overtake the removal of the temporary file by a moment.
  await until(async () => ((await uploadsOf(app)).length === 0 ? true : null), `${what}: no temporary file`)
}

describe('uploads that are refused leave nothing behind', () => {
  let app: TestApp
  let account: Account
  before(async () => {
    app = await startTestApp({ env })
    account = await app.signUp()
  })
  after(() => app.close())

  const post = (body: Bytes | FormData | string, headers: Record<string, string> = {}) =>
    app.call('POST', '/voices', { token: account.accessToken, body, headers })
  const postRaw = (...parts: Uint8Array[]) => post(joined(...parts), multipartType)
  const refused = async (what: string, answer: Promise<Answer>, status: number, error: string) => {
    const { status: found, body, text } = await answer
    assert.deepEqual([found, body?.['error']], [status, error], `${what}: ${text}`)
    await assertNothingKept(app, what)
  }
  const refusedFile = (what: string, bytes: Uint8Array, status: number, error: string, name = 'n.mp3') =>
    refused(what, post(recordingForm(new Uint8Array(bytes), name)), status, error)

  test('row 1: nobody is signed in', async () => {
    const form = recordingForm(speech)
    await refused(
      'no token',
      app.call('POST', '/voices', { body: form }),
      401,
      'Authentication token is missing',
    )
  })

  test('row 3: anything but multipart with a named file is no file', async () => {
    for (const type of ['application/json', 'audio/wav', 'text/plain', 'application/x-www-form-urlencoded'])
      await refused(type, post(speech, { 'content-type': type }), 400, 'No file provided')
    await refused(
      'JSON',
      post('{"file":"x"}', { 'content-type': 'application/json' }),
      400,
      'No file provided',
    )
    await refused(
      'no body',
      app.call('POST', '/voices', { token: account.accessToken }),
      400,
      'No file provided',
    )
    await refused('fields only', postRaw(textPart('name', 'Mama'), closing), 400, 'No file provided')
    await refused('empty file name', postRaw(filePart(speech, ''), closing), 400, 'No file provided')
    await refused(
      'other field',
      postRaw(filePart(speech, 'a.wav', 'recording'), closing),
      400,
      'No file provided',
    )
    await refused('file as text', postRaw(textPart('file', 'RIFF'), closing), 400, 'No file provided')
  })

  test('row 4: forms that cannot be parsed or hold too much', async () => {
    const malformed = 'Malformed upload'
    await refused('no closing boundary', postRaw(filePart(speech)), 400, malformed)
    await refused('cut file', postRaw(filePart(speech).subarray(0, 9000)), 400, malformed)
    await refused('no boundary', post(speech, { 'content-type': 'multipart/form-data' }), 400, malformed)
    const ten = Array.from({ length: 10 }, (_, at) => textPart(`field${at}`, 'x'))
    await refused('11 parts', postRaw(...ten, filePart(speech), closing), 400, malformed)
    await refused('11 parts, file first', postRaw(filePart(speech), ...ten, closing), 400, malformed)
    await refused('two files', postRaw(filePart(speech), filePart(speech), closing), 400, malformed)
    const long = 'x'.repeat(64 * 1024 + 1)
    await refused('long text', postRaw(textPart('name', long), filePart(speech), closing), 400, malformed)
    const half = 'x'.repeat(33 * 1024)
    await refused(
      'long texts',
      postRaw(textPart('name', half), textPart('b', half), filePart(speech), closing),
      400,
      malformed,
    )
    await refused(
      'prototype field',
      postRaw(textPart('__proto__', 'x'), filePart(speech), closing),
      400,
      malformed,
    )
  })

  test('row 5: 26 MiB, announced and counted', async () => {
    const big = Buffer.alloc(26 * mib)
    const tooLarge = 'Recording is too large (limit 25 MB)'
    await refusedFile('announced', big, 413, tooLarge)
    const whole = joined(filePart(big), closing)
    const stream = Readable.toWeb(Readable.from([whole.subarray(0, mib), whole.subarray(mib)]))
    const answer = await fetch(`${app.url}/voices`, {
      method: 'POST',
      headers: { ...multipartType, authorization: `Bearer ${account.accessToken}` },
      body: stream as ReadableStream<Bytes>,
      duplex: 'half',
    })
    assert.deepEqual([answer.status, await answer.json()], [413, { error: tooLarge }])
    await assertNothingKept(app, 'counted')
  })

  test('rows 7 and 8: the name, then the consent', async () => {
    const withFields = (fields: Record<string, string>) => post(recordingForm(speech, 'a.txt', fields))
    await refused(
      '256 code points',
      withFields({ name: '😀'.repeat(256), consent: 'false' }),
      400,
      'Name is too long',
    )
    for (const name of ['a\0b', 'a\u0007b', 'a\tb', 'a\u0085b'])
      await refused(JSON.stringify(name), withFields({ name }), 400, 'Name contains invalid characters')
    const { version } = currentConsentText()
    for (const fields of [
      { consent: 'false', consent_version: version },
      { consent: 'True', consent_version: version },
      { consent: 'true' },
      { consent_version: version },
      { consent: '', consent_version: version },
    ])
      await refused(JSON.stringify(fields), withFields(fields), 400, 'Consent is required')
    await refused(
      'unknown version',
      withFields({ consent: 'true', consent_version: '1999-01' }),
      400,
      'Unknown consent version',
    )
  })

  test('rows 9 to 11: extension, emptiness, content', async () => {
    const type = 'Invalid file type'
    for (const name of ['a.txt', 'a', 'mp3', 'a.mp3.exe', 'a.flac', 'a.'])
      await refusedFile(name, speech, 400, type, name)
    await refusedFile('an empty one with a bad name', new Uint8Array(), 400, type, 'a.txt')
    await refusedFile('empty', new Uint8Array(), 400, 'File is empty')
    await refusedFile('1 byte', Buffer.from('R'), 400, type)
    await refusedFile('text', Buffer.from('To nie jest nagranie. '.repeat(999)), 400, type)
    await refusedFile(
      'playlist',
      Buffer.from('#EXTM3U\nhttp://127.0.0.1/a.ts\n'.repeat(99)),
      400,
      type,
      'a.m4a',
    )
    await refusedFile('HTML after an ID3 tag', audio.id3ThenHtml(), 400, type)
    await refusedFile('ZIP', Buffer.concat([Buffer.from('PK\x03\x04'), Buffer.alloc(9999)]), 400, type)
    const zipInWav = Buffer.concat([
      Buffer.from(speech.subarray(0, 12)),
      Buffer.from('PK\x03\x04'),
      Buffer.alloc(9999),
    ])
    await refusedFile('ZIP after a WAV header', zipInWav, 422, 'Recording could not be read')
  })

  test('row 13: what cannot be decoded', async () => {
    const unreadable = 'Recording could not be read'
    await refusedFile('200 channels', audio.wavOf200Channels(), 422, unreadable)
    await refusedFile('NaN', audio.wavWithNaN(), 422, unreadable)
    await refusedFile('2 GB promised', audio.wavClaiming2GB(), 422, unreadable)
    await refusedFile(
      'OggS and nothing',
      Buffer.concat([Buffer.from('OggS'), Buffer.alloc(5000)]),
      422,
      unreadable,
    )
  })

  test('rows 14 to 16: too short, too long, silent', async () => {
    const wav = (samples: Float32Array) => audio.wav([samples], { sampleRate: 8000 })
    const at8k = { sampleRate: 8000 }
    const short = 'Recording is too short (minimum 3 seconds)'
    await refusedFile('1 s', wav(audio.speechLike(1, at8k)), 422, short)
    await refusedFile('1 s of silence', wav(audio.silence(1, 8000)), 422, short)
    await refusedFile('2.9 s', wav(audio.tone(2.9, at8k)), 422, short)
    const long = 'Recording is too long (maximum 10 minutes)'
    await refusedFile('601 s of silence', wav(audio.silence(601, 8000)), 422, long)
    await refusedFile('10 h of silence as Ogg', audio.oggOpusSilence(36_000), 422, long, 'a.ogg')
    const silent = 'Recording is silent'
    await refusedFile('silence', wav(audio.silence(5, 8000)), 422, silent)
    await refusedFile('-60 dBFS', wav(audio.tone(5, { ...at8k, amplitude: 0.0014 })), 422, silent)
    const mostly = Float32Array.from([...audio.tone(1.3, at8k), ...audio.silence(4, 8000)])
    await refusedFile('1.3 s of sound', wav(mostly), 422, silent)
  })

  test('10 h of silence as FLAC, a cut m4a', async (t) => {
    const flac = audio.encodedBy(audio.wav([audio.silence(600, 8000)], { sampleRate: 8000 }), 'flac', [
      '-af',
      'apad=whole_dur=36000',
    ])
    const m4a = audio.encodedBy(speech, 'm4a')
    if (!flac || !m4a) return t.skip('needs ffmpeg')
    await refusedFile('FLAC', flac, 400, 'Invalid file type')
    await refusedFile('FLAC named .wav', flac, 400, 'Invalid file type', 'a.wav')
    await refusedFile('cut m4a', audio.cut(m4a, 0.5), 422, 'Recording could not be read', 'a.m4a')
  })

  test('a client that goes away in the middle leaves no file', async () => {
    const socket = await openUpload(app.url, account.accessToken, 9 * mib)
    socket.write(filePart(Buffer.alloc(2 * mib)).subarray(0, mib))
    await until(async () => ((await uploadsOf(app)).length > 0 ? true : null), 'the temporary file')
    socket.destroy()
    await until(async () => ((await uploadsOf(app)).length === 0 ? true : null), 'its removal', 5000)
    await assertNothingKept(app, 'disconnect')
  })
})

/** Sends the head of an upload that announces `length` bytes. */
const openUpload = async (url: string, token: string, length: number): Promise<Socket> => {
  const { hostname, port } = new URL(url)
  const socket = connect(Number(port), hostname)
  socket.on('error', () => undefined)
  socket.write(
    `POST /voices HTTP/1.1\r\nhost: ${hostname}\r\nauthorization: Bearer ${token}\r\n` +
      `content-type: ${multipartType['content-type']}\r\ncontent-length: ${length}\r\n\r\n`,
  )
  return socket
}

/** Text that has come back until `wanted` is in it. */
const received = async (socket: Socket, wanted: string, timeoutMs = 5000): Promise<string> => {
  let text = ''
  socket.on('data', (chunk: Buffer) => {
    text += chunk.toString()
  })
  return until(async () => (text.includes(wanted) ? text : null), wanted, timeoutMs)
}

test('row 2: a full account is refused before the body is read; the lost race too', async () => {
  const app = await startTestApp({ env: { ...env, MAX_VOICES_PER_USER: '1' } })
  try {
    const { accessToken: token } = await app.signUp()
    const both = await Promise.all(
      [1, 2].map(() => app.call('POST', '/voices', { token, body: recordingForm(speech, 'a.wav') })),
    )
    assert.deepEqual(
      both.map(({ status }) => status).sort((a, b) => a - b),
      [201, 409],
    )
    const wavs = (await filesUnder(path.join(app.dataDir, 'objects'))).filter((file) => file.endsWith('.wav'))
    assert.equal(wavs.length, 1)
    const socket = await openUpload(app.url, token, 9 * mib)
    const answer = await received(socket, 'Voice limit reached, delete a voice first')
    assert.match(answer, /^HTTP\/1.1 409 /)
    socket.destroy()
    assert.deepEqual(await uploadsOf(app), [])
  } finally {
    await app.close()
  }
})

test('row 6: a body that pauses, or never ends, is timed out', async () => {
  const uploadDirectory = await mkdtemp(path.join(tmpdir(), 'dawnotemu-pace-'))
  const unused = (): never => assert.fail('not to be called')
  const startServer = async (uploadPace: { totalMs: number; pauseMs: number }) => {
    const server = await createHttpServer({
      logger: silentLogger,
      release: 'test',
      publicUrl: 'http://127.0.0.1',
      trustedProxyHops: 0,
      corsOrigins: [],
      isProduction: false,
      authenticate: async () => ({ userId: 1, sessionId: 1 }),
      limits: { hit: unused },
    })
    const voices = {
      checkRoom: async () => undefined,
      create: unused,
      list: unused,
      resolve: unused,
      remove: unused,
    }
    const storage = createLocalFiles({
      directory: uploadDirectory,
      publicBaseUrl: 'http://127.0.0.1',
      signingKey: Buffer.alloc(32, 1),
      now: () => new Date(),
    })
    await server.register(voiceRoutes({ voices, storage, uploadDirectory, taskStatus: unused, uploadPace }))
    const port = await freePort()
    await server.listen({ host: '127.0.0.1', port })
    return { url: `http://127.0.0.1:${port}`, close: () => server.close() }
  }
  const part = filePart(speech)
  try {
    for (const [pace, drip] of [
      [{ totalMs: 60_000, pauseMs: 300 }, false],
      [{ totalMs: 600, pauseMs: 60_000 }, true],
    ] as const) {
      const server = await startServer(pace)
      const socket = await openUpload(server.url, 'x', 9 * mib)
      socket.write(part.subarray(0, 2000))
      const timer = setInterval(() => drip && !socket.destroyed && socket.write('x'), 50)
      const answer = await received(socket, 'Upload timed out')
      clearInterval(timer)
      assert.match(answer, /^HTTP\/1.1 408 /)
      socket.destroy()
      await until(async () => ((await filesUnder(uploadDirectory)).length === 0 ? true : null), 'no file')
      await server.close()
    }
  } finally {
    await rm(uploadDirectory, { recursive: true, force: true })
  }
})

describe('uploads that are taken', () => {
  let app: TestApp
  let account: Account
  before(async () => {
    app = await startTestApp({ env: { ...env, MAX_VOICES_PER_USER: '100' } })
    account = await app.signUp()
  })
  after(() => app.close())

  const upload = async (bytes: Uint8Array, name: string, fields: Record<string, string> = {}) => {
    const body = recordingForm(new Uint8Array(bytes), name, fields)
    const token = account.accessToken
    const answer = await app.call('POST', '/voices', { token, body })
    assert.equal(answer.status, 201, `${name}: ${answer.text}`)
    const id = Number(answer.body['id'])
    const voice = (await app.call('GET', `/voices/${id}`, { token })).body
    assert.deepEqual(await uploadsOf(app), [])
    return { id, answer: answer.body, voice }
  }
  const consents = async (voiceId: number) =>
    (await app.test.database.pool.query('select * from voice_consents where voice_id = $1', [voiceId])).rows

  /** Stored under a true extension and, following the signed link, served as the true type. */
  const assertStored = async (voice: Record<string, unknown>, extension: string, type: string) => {
    assert.match(
      String(voice['recording_s3_key']),
      new RegExp(`^voice_samples/${account.id}/voice_${Number(voice['id'])}_[0-9a-f-]{36}\\.${extension}$`),
    )
    const sample = await app.call('GET', `/voices/${Number(voice['id'])}/sample`, {
      token: account.accessToken,
    })
    const file = await app.call('HEAD', String(sample.body['url']).replace(/^http:\/\/[^/]+/, app.url))
    assert.deepEqual([file.status, file.headers.get('content-type')], [200, type])
  }

  test('the answer, the rows and the defaults', async () => {
    const { id, answer, voice } = await upload(speech, 'Nagranie.wav')
    const { task_id: task, ...rest } = answer
    assert.equal(typeof task, 'string')
    assert.deepEqual(rest, {
      id,
      name: `${account.id}_MAIN`,
      status: 'recorded',
      allocation_status: 'recorded',
      success: true,
      message: 'Voice uploaded successfully. Allocation will continue in the background.',
      recording_warnings: ['short'],
    })
    assert.equal(voice['recording_filesize'], speech.length)
    const { rows: events } = await app.test.database.pool.query(
      `select reason, user_id, metadata from voice_slot_events where voice_id = $1 and event_type = 'recording_uploaded'`,
      [id],
    )
    assert.deepEqual(events, [
      {
        reason: 'initial_recording_uploaded',
        user_id: account.id,
        metadata: { key: voice['recording_s3_key'], size: speech.length, encryption: 'none' },
      },
    ])
    const { rows: slots } = await app.test.database.pool.query('select 1 from voice_slots')
    assert.deepEqual(slots, [])
  })

  test('consent: silent and explicit; nothing can rewrite a record', async () => {
    const silent = await upload(speech, 'a.wav')
    const [terms] = await consents(silent.id)
    const { rows } = await app.test.database.pool.query('select terms_version from users where id = $1', [
      account.id,
    ])
    assert.deepEqual(
      [terms.basis, terms.text_version, terms.user_id],
      ['registration_terms', rows[0].terms_version, account.id],
    )
    const text = await app.call('GET', '/voices/consent-text')
    assert.equal(text.status, 200)
    assert.equal(text.body['language'], 'pl')
    const digest = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(String(text.body['text'])))
    assert.equal(text.body['sha256'], Buffer.from(digest).toString('hex'))
    const fields = { consent: 'true', consent_version: String(text.body['version']), name: 'Mama' }
    const explicit = await upload(speech, 'a.wav', fields)
    const [record] = await consents(explicit.id)
    assert.deepEqual([record.basis, record.text_version], ['explicit', text.body['version']])
    assert.deepEqual(Buffer.from(record.text_sha256), Buffer.from(digest))
    assert.equal(typeof record.session_id, 'number')
    for (const change of [
      `basis = 'registration_terms'`,
      `text_version = 'x'`,
      'recorded_at = now()',
      'session_id = null',
      `voice_id = ${silent.id}`,
    ])
      await assert.rejects(
        app.test.database.pool.query(`update voice_consents set ${change} where id = ${record.id}`),
        /a consent record cannot be changed/,
        change,
      )
    assert.equal(
      (await app.call('DELETE', `/voices/${explicit.id}`, { token: account.accessToken })).status,
      200,
    )
    const kept = await app.test.database.pool.query(
      'select voice_id, basis from voice_consents where id = $1',
      [record.id],
    )
    assert.deepEqual(kept.rows, [{ voice_id: null, basis: 'explicit' }])
  })

  test('names and file names of any script, without path or control characters (V-L32)', async () => {
    for (const [given, kept, filename] of [
      ['  Mama  ', 'Mama', 'zażółć gęślą jaźń.wav'],
      ['Zo\u0301sia', 'Zósia', '🎤🎶.wav'],
      ['😀'.repeat(255), '😀'.repeat(255), 'تسجيل.wav'],
      ['   ', `${account.id}_MAIN`, 'הקלטה.wav'],
    ] as const) {
      const { answer, voice } = await upload(speech, filename, { name: given })
      assert.deepEqual([answer['name'], voice['sample_filename']], [kept, filename])
    }
    for (const name of ['../../etc/passwd.wav', 'C:\\nagrania\\passwd.wav', 'pass\u0007wd.wav'])
      assert.match(
        String((await upload(speech, name)).voice['sample_filename']),
        /^[^/\\\p{Cc}]*passwd\.wav$/u,
      )
    assert.equal((await upload(speech, 'Zo\u0301sia.wav')).voice['sample_filename'], 'Zósia.wav')
  })

  test('extension and part type are not believed (V-L34)', async () => {
    await assertStored((await upload(speech, 'A.WAV')).voice, 'wav', 'audio/wav')
    await assertStored((await upload(speech, 'a.mp3')).voice, 'wav', 'audio/wav')
    const mp3 = await speakRecording()
    await assertStored((await upload(mp3, 'a.Mp3')).voice, 'mp3', 'audio/mpeg')
    await assertStored((await upload(mp3, 'a.m4a')).voice, 'mp3', 'audio/mpeg')
  })

  for (const [kind, name, extension, type] of [
    ['m4a', 'recording.m4a', 'm4a', 'audio/mp4'],
    ['m4a-fragmented', 'recording.m4a', 'm4a', 'audio/mp4'],
    ['webm', 'recording.webm', 'webm', 'audio/webm'],
    ['ogg-opus', 'recording.OGG', 'ogg', 'audio/ogg'],
    ['ogg-vorbis', 'recording.ogg', 'ogg', 'audio/ogg'],
  ] as const)
    test(`${kind}, sent by the app as audio/wav, is stored as ${type}`, async (t: TestContext) => {
      const file = audio.encodedBy(speech, kind)
      if (!file) return t.skip('needs ffmpeg')
      await assertStored((await upload(file, name)).voice, extension, type)
    })

  test('warnings: quiet and loud', async () => {
    const quiet = audio.wav([audio.tone(31, { sampleRate: 8000, amplitude: 0.02 })], { sampleRate: 8000 })
    assert.deepEqual((await upload(quiet, 'a.wav')).answer['recording_warnings'], ['quiet'])
    const loud = audio.wav([audio.tone(4, { sampleRate: 8000, amplitude: 3 })], { sampleRate: 8000 })
    assert.deepEqual((await upload(loud, 'a.wav')).answer['recording_warnings'], ['loud', 'short'])
  })
})

test('rows 17 and 18: a store that fails leaves no row, a failed commit no object (V-L31)', async () => {
  const directory = await mkdtemp(path.join(tmpdir(), 'dawnotemu-store-'))
  const files = createLocalFiles({
    directory,
    publicBaseUrl: 'http://127.0.0.1',
    signingKey: Buffer.alloc(32, 1),
    now: () => new Date(),
  })
  let put: ObjectStorage['put'] = files.put
  const storage: ObjectStorage = { ...files, put: (...given) => put(...given) }
  const app = await startTestApp({ env, overrides: { storage } })
  app.expectErrors()
  try {
    const { accessToken: token } = await app.signUp()
    const post = () => app.call('POST', '/voices', { token, body: recordingForm(speech, 'a.wav') })
    const nothing = async (what: string): Promise<void> => {
      await assertNothingKept(app, what)
      assert.deepEqual(await filesUnder(directory), [], what)
    }
    const down = () => Promise.reject(new StorageUnavailable('down'))
    const disagreeing: ObjectStorage['put'] = async (...given) => {
      await files.put(...given)
      throw new StorageUnavailable('the stored object has another size than was sent')
    }
    for (const failing of [down, disagreeing]) {
      put = failing
      const { status, body, headers } = await post()
      assert.deepEqual([status, body['error']], [503, 'Could not store the recording, please try again'])
      assert.ok(body['request_id'])
      assert.ok(headers.get('retry-after'))
      await nothing('storage')
    }
    put = files.put
    await app.test.database.pool.query(`
      create function fail_insert() returns trigger language plpgsql as $$ begin raise exception 'no'; end $$;
      create trigger fail_insert before insert on voices for each row execute function fail_insert()`)
    const failed = await post()
    assert.equal(failed.status, 500, failed.text)
    await nothing('insert')
    await app.test.database.pool.query(`
      drop trigger fail_insert on voices;
      create constraint trigger fail_commit after insert on voices deferrable initially deferred
        for each row execute function fail_insert()`)
    assert.equal((await post()).status, 500)
    await nothing('commit')
    await app.test.database.pool.query('drop trigger fail_commit on voices')
    assert.equal((await post()).status, 201)
  } finally {
    await app.close()
    await rm(directory, { recursive: true, force: true })
  }
})
