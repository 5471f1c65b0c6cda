import assert from 'node:assert/strict'
import { after, before, suite, test } from 'node:test'
import { assertRefused } from '../../../test/account-scene.ts'
import type { Answer } from '../../../test/app.ts'
import { startScene, type Cast, type Scene } from '../../../test/narration-scene.ts'

suite('GET /stories/{id}/credits', () => {
  let scene: Scene
  before(async () => {
    scene = await startScene()
  })
  after(() => scene.close())

  const quote = ({ account, storyId }: Cast, query = ''): Promise<Answer> =>
    scene.app.call('GET', `/stories/${storyId}/credits${query}`, { token: account.accessToken })

  test('the price, the balance, and that it is enough', async () => {
    const cast = await scene.cast()
    assert.deepEqual((await quote(cast)).body, { required_credits: 3, balance: 10, enough: true })
  })

  test('exactly the price is enough, one point less is not', async () => {
    const cast = await scene.cast()
    const twelve = { ...cast, storyId: await scene.addStory('a'.repeat(11_001)) }
    assert.deepEqual((await quote(twelve)).body, { required_credits: 12, balance: 10, enough: false })
    await scene.grant(cast, 1)
    assert.equal((await quote(twelve)).body['enough'], false)
    await scene.grant(cast, 1)
    assert.equal((await quote(twelve)).body['enough'], true)
  })

  test('in a voice: nothing yet, then in progress, then ready, both free whatever is left', async () => {
    const cast = { ...(await scene.cast()), storyId: await scene.addStory('a'.repeat(9_500)) }
    const inVoice = `?voice_id=${cast.voiceId}`
    const state = async () => {
      const { required_credits: price, ...rest } = (await quote(cast, inVoice)).body
      assert.equal(price, 10)
      return rest
    }
    assert.deepEqual(await state(), { balance: 10, enough: true, already_ready: false, in_progress: false })
    const release = scene.speech.hold('speak')
    assert.equal((await scene.ask(cast)).status, 202)
    assert.deepEqual(await state(), { balance: 0, enough: true, already_ready: false, in_progress: true })
    assert.equal((await quote(cast)).body['enough'], false)
    release()
    assert.equal((await scene.ended(cast))['status'], 'ready')
    assert.deepEqual(await state(), { balance: 0, enough: true, already_ready: true, in_progress: false })
  })

  test('an unknown voice and a foreign one have the refusals of voices', async () => {
    const [cast, other] = [await scene.cast(), await scene.cast()]
    assertRefused(await quote(cast, '?voice_id=999999'), 404, 'Voice not found')
    assertRefused(await quote(cast, '?voice_id=none'), 404, 'Voice not found')
    assertRefused(await quote(cast, `?voice_id=${other.voiceId}`), 403, 'Unauthorized')
  })

  test('an unknown story is 404, nobody is 401', async () => {
    const cast = await scene.cast()
    assertRefused(await quote({ ...cast, storyId: 999_999 }), 404, 'Story not found')
    assertRefused(
      await scene.app.call('GET', '/stories/x/credits', { token: cast.account.accessToken }),
      404,
      'Story not found',
    )
    assertRefused(await scene.app.call('GET', '/stories/1/credits'), 401, 'Authentication token is missing')
  })
})
