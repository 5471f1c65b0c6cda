import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import path from 'node:path'
import { after, before, describe, test } from 'node:test'
import { promisify } from 'node:util'
import { until } from './app.ts'
import { rows } from './account-scene.ts'
import { askForDeletion, deletionOf, finished, waiting } from './deletion-scene.ts'
import { startScene, type Cast, type Scene } from './narration-scene.ts'
import { speechError } from './scripted-speech.ts'

const cli = path.join(import.meta.dirname, '../src/cli.ts')

interface Place {
  place: string
  content: string
  reference: string
  removed_at: string | null
  verified_gone_at: string | null
  last_failure: string | null
}

describe('the erasure receipt', () => {
  let scene: Scene
  before(async () => {
    scene = await startScene()
    scene.app.expectErrors()
  })
  after(() => scene.close())

  const command = async (...words: string[]) => {
    const { app } = scene
    const env = { PATH: process.env['PATH'], ...app.env, DATABASE_URL: app.databaseUrl }
    try {
      const { stdout } = await promisify(execFile)(process.execPath, [cli, ...words], { env })
      return { code: 0, stdout }
    } catch (error) {
      const { code, stderr } = error as { code: number; stderr: string }
      return { code, stdout: stderr }
    }
  }

  const narrated = async (): Promise<Cast> => {
    const cast = await scene.cast()
    assert.equal((await scene.ask(cast)).status, 202)
    assert.equal((await scene.ended(cast))['status'], 'ready')
    return cast
  }

  test('says what was removed where and when, and when it was looked for in vain', async () => {
    const cast = await narrated()
    await scene.addVoice(cast.account)
    const [externalId = ''] = scene.speech.voices.keys()
    const keys = [
      ...(await scene.keys(`voice_samples/${cast.account.id}/`)),
      ...(await scene.keys(`audio_stories/${cast.voiceId}/`)),
      ...(await scene.keys('narration_parts/')),
    ]
    const from = Date.now()
    await askForDeletion(scene.app, cast.account)
    const { id } = await finished(scene.app, cast.account)

    const answer = await command('erasure-receipt', String(id), '--json')
    assert.equal(answer.code, 0, answer.stdout)
    const receipt = JSON.parse(answer.stdout)
    assert.equal(receipt.deletion_id, id)
    assert.equal(receipt.account_id, cast.account.id)
    assert.equal(receipt.requested_by, 'self')
    assert.equal(receipt.state, 'done')
    assert.equal(receipt.is_verified, true)
    assert.equal(receipt.notice, 'sent')
    assert.equal(receipt.points_expired, 7)
    assert.deepEqual(receipt.removed, {
      recording: { found: 2, removed: 2, verified: 2 },
      prepared_sample: { found: 2, removed: 2, verified: 2 },
      narration: { found: 1, removed: 1, verified: 1 },
      narration_part: { found: 4, removed: 4, verified: 4 },
      provider_copy: { found: 1, removed: 1, verified: 1 },
    })
    const places: Place[] = receipt.places
    const inStore = places.filter(({ place }) => place === 'object store')
    for (const key of keys) assert.ok(inStore.some(({ reference }) => reference === key))
    const atProvider = places.filter(({ place }) => place === 'speech provider local')
    assert.deepEqual(
      atProvider.map(({ reference }) => reference),
      [externalId],
    )
    for (const { removed_at: removed, verified_gone_at: verified } of places) {
      assert.match(String(removed), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
      const times = [from, Date.parse(String(removed)), Date.parse(String(verified)), Date.now()]
      assert.deepEqual(
        times,
        times.toSorted((a, b) => a - b),
        'removed, then verified',
      )
    }
    assert.equal(receipt.rows_removed.sessions, 1)
    assert.ok(Date.parse(receipt.rows_verified_gone_at) >= from)
    assert.ok(Date.parse(receipt.completed_at) >= Date.parse(receipt.rows_verified_gone_at))
    assert.doesNotMatch(answer.stdout, new RegExp(cast.account.email))

    const text = await command('erasure-receipt', String(id))
    assert.match(text.stdout, /^is_verified=true$/m)
    const mail = await until(
      async () => (await scene.app.outbox(cast.account.email, 'deletion_finished'))[0],
      'the mail',
    )
    assert.match(mail.text, /2 nagrania głosu, 1 przeczytaną bajkę, 1 kopię głosu u dostawcy syntezy mowy/)
    assert.match(mail.text, /sprawdziliśmy, że nic( tam)? nie zostało/)
    assert.match(mail.text, /App Store lub Google Play zakończ w ustawieniach sklepu/)
  })

  test('an open deletion is listed with what holds it up; its receipt does not claim what is not so', async () => {
    const cast = await narrated()
    scene.speech.failAlways('remove', speechError('auth'))
    await askForDeletion(scene.app, cast.account, 'powód')
    await waiting(scene.app, cast.account, 1)
    const { id, next_attempt_at: next } = await deletionOf(scene.app, cast.account)

    const listed = await command('deletions', '--json')
    assert.equal(listed.code, 0, listed.stdout)
    const [open, ...others] = JSON.parse(listed.stdout).deletions
    assert.deepEqual(others, [])
    assert.equal(open.id, id)
    assert.equal(open.account_id, cast.account.id)
    assert.deepEqual(
      [open.state, open.attempts, open.last_failure, open.needs_attention, open.next_attempt_at],
      ['wait', 1, 'refused', false, next?.toISOString()],
    )
    const slot = open.open_items.find(({ kind }: { kind: string }) => kind === 'slot')
    assert.equal(slot.last_failure, 'refused')
    assert.doesNotMatch(listed.stdout, new RegExp(cast.account.email))

    const receipt = JSON.parse((await command('erasure-receipt', String(id), '--json')).stdout)
    assert.equal(receipt.is_verified, false)
    assert.equal(receipt.completed_at, null)
    assert.deepEqual(receipt.removed.provider_copy, { found: 1, removed: 0, verified: 0 })
    assert.deepEqual(receipt.removed.recording, { found: 1, removed: 1, verified: 1 })

    scene.speech.reset()
    await rows(scene.app, `update account_deletions set next_attempt_at = now() where id = $1`, [id])
    await scene.app.call('POST', '/dev/clock', { json: { advance_seconds: 61 } })
    await scene.app.app.scheduler.tick()
    await finished(scene.app, cast.account)
    assert.deepEqual(JSON.parse((await command('deletions', '--json')).stdout), { deletions: [] })
  })

  test('an unknown deletion exits 1, a wrong use 2', async () => {
    const unknown = await command('erasure-receipt', '4242')
    assert.equal(unknown.code, 1)
    assert.match(unknown.stdout, /^no deletion 4242$/m)
    for (const words of [
      ['erasure-receipt'],
      ['erasure-receipt', '0'],
      ['erasure-receipt', 'x'],
      ['deletions', '1'],
    ])
      assert.equal((await command(...words)).code, 2)
  })
})
