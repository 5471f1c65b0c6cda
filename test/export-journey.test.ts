import assert from 'node:assert/strict'
import { buffer } from 'node:stream/consumers'
import { after, before, test } from 'node:test'
import { until, type Account, type Answer } from './app.ts'
import { rows } from './account-scene.ts'
import { startScene, type Cast, type Scene } from './narration-scene.ts'
import { readZip } from './read-zip.ts'

let scene: Scene

before(async () => {
  scene = await startScene({ env: { INITIAL_CREDITS: '30' } })
})
after(() => scene.close())

const ask = (account: Account): Promise<Answer> =>
  scene.app.call('POST', '/auth/me/export', {
    token: account.accessToken,
    json: { current_password: account.password },
  })

const read = async (account: Account) =>
  (await scene.app.call('GET', '/auth/me/export', { token: account.accessToken })).body

const ready = (account: Account) =>
  until(async () => {
    const body = await read(account)
    assert.notEqual(body['status'], 'error')
    return body['status'] === 'ready' ? body : null
  }, 'the export to be ready')

const object = async (key: string): Promise<Buffer> => {
  const found = await scene.faults.storage.get(key)
  assert.ok(found, `${key} is stored`)
  return buffer(found.body)
}

const keyOf = async (account: Account): Promise<string> => {
  const [row] = await rows<{ object_key: string }>(
    scene.app,
    'select object_key from account_exports where user_id = $1 order by id desc limit 1',
    [account.id],
  )
  assert.ok(row)
  return row.object_key
}

const narrate = async (cast: Cast): Promise<string> => {
  assert.ok([200, 202].includes((await scene.ask(cast)).status))
  assert.equal((await scene.ended(cast))['status'], 'ready')
  const [row] = await rows<{ object_key: string }>(
    scene.app,
    'select object_key from narrations where voice_id = $1 and story_id = $2',
    [cast.voiceId, cast.storyId],
  )
  assert.ok(row)
  return row.object_key
}

const json = (files: Map<string, Buffer>, name: string): Record<string, unknown> => {
  const content = files.get(name)
  assert.ok(content, `${name} is there`)
  return JSON.parse(content.toString()) as Record<string, unknown>
}

const textNames = [
  'CZYTAJ.txt',
  'account.json',
  'consents.json',
  'narrations.json',
  'points.json',
  'purchases.json',
  'security-events.json',
  'sessions.json',
  'voices.json',
]

test('an export holds everything of its account, and nothing of another one', async () => {
  const mine = await scene.cast()
  const twin = { ...mine, storyId: await scene.addStory('Druga bajka. O tym samym światełku.') }
  const other = await scene.cast()
  await scene.sql(`update voices set name = 'Babcia Zofia' where id = ${other.voiceId}`)
  const [first, second] = [await narrate(mine), await narrate(twin)]
  await narrate(other)
  const { account } = mine

  const asked = await ask(account)
  assert.equal(asked.status, 202, asked.text)
  assert.equal(asked.headers.get('cache-control'), 'no-store')
  const body = await ready(account)
  const files = await readZip(await object(await keyOf(account)))

  assert.deepEqual(
    [...files.keys()].sort(),
    [...textNames, 'bajki/Światełko Hani (2).mp3', 'bajki/Światełko Hani.mp3', 'nagrania/Mama.mp3'].sort(),
  )
  const [recording] = await rows<{ recording_key: string }>(
    scene.app,
    'select recording_key from voices where id = $1',
    [mine.voiceId],
  )
  assert.deepEqual(files.get('nagrania/Mama.mp3'), await object(recording?.recording_key ?? ''))
  assert.deepEqual(files.get('bajki/Światełko Hani.mp3'), await object(first))
  assert.deepEqual(files.get('bajki/Światełko Hani (2).mp3'), await object(second))

  assert.equal(json(files, 'account.json')['email'], account.email)
  assert.equal((json(files, 'sessions.json')['sessions'] as unknown[]).length, 1)
  const events = json(files, 'security-events.json')['events'] as { kind: string }[]
  assert.deepEqual(
    events.map(({ kind }) => kind),
    ['email_confirmed', 'sign_in', 'export_requested'],
  )
  const voices = json(files, 'voices.json')['voices'] as { id: number; recording: { file: string } }[]
  assert.deepEqual(
    voices.map(({ id, recording: { file } }) => [id, file]),
    [[mine.voiceId, 'nagrania/Mama.mp3']],
  )
  const narrations = json(files, 'narrations.json')['narrations'] as { story_id: number; file: string }[]
  assert.deepEqual(
    narrations.map(({ story_id: storyId, file }) => [storyId, file]),
    [
      [mine.storyId, 'bajki/Światełko Hani.mp3'],
      [twin.storyId, 'bajki/Światełko Hani (2).mp3'],
    ],
  )
  const points = json(files, 'points.json') as {
    lots: { id: number; amount_remaining: number }[]
    transactions: { amount: number; allocations: { lot_id: number; amount: number }[] }[]
  }
  assert.equal(points.lots.length, 1)
  assert.deepEqual(
    points.transactions.map(({ amount }) => amount),
    [30, -3, -1],
  )
  for (const { amount, allocations } of points.transactions)
    assert.deepEqual(allocations, [{ lot_id: points.lots[0]?.id, amount }])
  assert.deepEqual(Object.keys(json(files, 'consents.json')), ['terms', 'recordings'])

  const written = textNames.map((name) => files.get(name)?.toString() ?? '').join('\n')
  for (const foreign of [other.account.email, 'Babcia Zofia', `"voice_id": ${other.voiceId}`])
    assert.ok(!written.includes(foreign), foreign)
  for (const [, time = ''] of written.matchAll(/"\w+(?:_at|_login)": "([^"]+)"/g))
    assert.match(time, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)

  const size = (await object(await keyOf(account))).length
  assert.equal(body['size_bytes'], size)
})

test('no JSON of an export holds a hash, a token, an object key or an id of a provider', async () => {
  const cast = await scene.cast()
  const { account } = cast
  await narrate(cast)
  await rows(
    scene.app,
    `insert into voice_consents (voice_id, user_id, basis, text_version, text_sha256, recording_sha256, recorded_at)
     values ($1, $2, 'explicit', '1', $3, $3, now())`,
    [cast.voiceId, account.id, Buffer.alloc(32, 171)],
  )
  assert.equal((await ask(account)).status, 202)
  await ready(account)
  const files = await readZip(await object(await keyOf(account)))
  const written = [...files]
    .filter(([name]) => name.endsWith('.json'))
    .map(([, content]) => content.toString())
  assert.equal(written.length, 8)

  const secrets = await rows<{ secret: string }>(
    scene.app,
    `select external_id as secret from voice_slots where voice_id = $1
     union all select recording_key from voices where id = $1
     union all select clone_sample_key from voices where id = $1
     union all select object_key from narrations where voice_id = $1
     union all select password_hash from users where id = $2
     union all select encode(token_hash, 'hex') from refresh_tokens t join sessions s on s.id = t.session_id
       where s.user_id = $2`,
    [cast.voiceId, account.id],
  )
  assert.ok(secrets.length >= 6)
  for (const content of written) {
    for (const { secret } of secrets) assert.ok(!content.includes(secret), secret)
    assert.ok(!content.includes(account.refreshToken) && !content.includes(account.accessToken))
    assert.doesNotMatch(content, /[0-9a-f]{64}|\$argon2|dtr_|eyJ|voice_samples\/|exports\/|"key"|sha256/)
  }
})

test('a file that is gone or cannot be read is named in the read-me, the others are there', async () => {
  const mine = await scene.cast()
  const twin = { ...mine, storyId: await scene.addStory('Druga bajka. O tym samym światełku.') }
  const [gone, broken] = [await narrate(mine), await narrate(twin)]
  await scene.faults.storage.deleteMany([gone])
  scene.faults.breakDown('get', broken)
  assert.equal((await ask(mine.account)).status, 202)
  await ready(mine.account)
  scene.faults.heal()

  const files = await readZip(await object(await keyOf(mine.account)))
  assert.deepEqual([...files.keys()].sort(), [...textNames, 'nagrania/Mama.mp3'].sort())
  const readme = files.get('CZYTAJ.txt')?.toString() ?? ''
  assert.match(readme, /^- bajki\/Światełko Hani\.mp3: nie ma go już w naszym magazynie\.\r$/m)
  assert.match(readme, /^- bajki\/Światełko Hani \(2\)\.mp3: nie udało się go odczytać; .+\r$/m)
  assert.match(readme, /^nagrania\/ .*Pliki: 1\.\r$/m)
  assert.match(readme, /^bajki\/ .*Pliki: 0\.\r$/m)
  const [row] = await rows(scene.app, 'select missing_files from account_exports where user_id = $1', [
    mine.account.id,
  ])
  assert.deepEqual(row, { missing_files: 2 })
})

test('the mail about an export links to the account page and nothing else', async () => {
  const { account } = await scene.cast()
  assert.equal((await ask(account)).status, 202)
  const [mail] = await until(async () => {
    const found = await scene.app.outbox(account.email, 'data_export_ready')
    return found.length > 0 ? found : null
  }, 'the mail')
  assert.ok(mail)
  assert.deepEqual(
    [...new Set(mail.links)].filter((link) => !link.startsWith('mailto:')),
    [`http://localhost:${scene.app.env['PORT']}/app/`],
  )
})
