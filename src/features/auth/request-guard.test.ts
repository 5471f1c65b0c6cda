import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import * as scene from '../../../test/account-scene.ts'
import type { Answer, TestApp } from '../../../test/app.ts'
import {
  asApp,
  asBrowser,
  newClient,
  raiseCounter,
  solveProof,
  startThrottledApp,
} from '../../../test/throttle-scene.ts'

const challengeText = 'Please complete the security challenge.'
const refusedByGuard = (answer: Answer): void =>
  scene.assertRefused(answer, 403, challengeText, 'CHALLENGE_REQUIRED')

let app: TestApp
before(async () => {
  app = await startThrottledApp({ work: false })
})
after(() => app.close())

/** The three routes behind the guard: a body in order, the status of success, and a challenge of another purpose. */
const routes = [
  {
    name: 'register',
    path: '/auth/register',
    purpose: 'register',
    otherPurpose: 'mail',
    body: () => scene.registration(),
    ok: 201,
  },
  {
    name: 'resend',
    path: '/auth/resend-confirmation',
    purpose: 'mail',
    otherPurpose: 'login',
    body: () => ({ email: scene.newAddress() }),
    ok: 200,
  },
  {
    name: 'reset-request',
    path: '/auth/reset-password-request',
    purpose: 'mail',
    otherPurpose: 'register',
    body: () => ({ email: scene.newAddress() }),
    ok: 200,
  },
] as const

/** One bit of the solution is turned, the form stays. */
const altered = (proof: string): string => {
  const text = Buffer.from(proof, 'base64').toString('utf8')
  const changed = text.replace(
    /("derivedKey":"[0-9a-f]{40})(.)/,
    (_all, head: string, digit: string) => head + (digit === '0' ? '1' : '0'),
  )
  assert.notEqual(changed, text)
  return Buffer.from(changed).toString('base64')
}

for (const { name, path, purpose, otherPurpose, body, ok } of routes) {
  const post = (own: Record<string, unknown>, headers: Record<string, string>): Promise<Answer> =>
    app.call('POST', path, { json: { ...body(), ...own }, headers })

  describe(name, () => {
    test('a browser without a proof is asked for one, whatever it says of where it comes from', async () => {
      for (const site of ['same-origin', 'same-site', 'cross-site', 'none'])
        refusedByGuard(await post({}, { ...asApp(newClient()), 'sec-fetch-site': site }))
    })

    test('a proof counts once; bad, altered and other ones do not', async () => {
      const browser = asBrowser(newClient())
      const proof = await solveProof(app, purpose)
      refusedByGuard(await post({ proof: await solveProof(app, otherPurpose) }, browser))
      refusedByGuard(await post({ proof: altered(proof) }, browser))
      const answer = await post({ proof }, browser)
      assert.equal(answer.status, ok, answer.text)
      refusedByGuard(await post({ proof }, browser))
      refusedByGuard(await post({ proof }, asApp(newClient())))
    })

    for (const proof of ['x', 5, true, { challenge: {} }, ['x'], '='.repeat(5000)])
      test(`${JSON.stringify(proof).slice(0, 20)} is no proof, and who sends one can solve`, async () => {
        refusedByGuard(await post({ proof }, asApp(newClient())))
      })

    for (const proof of [undefined, null, '', 0, false])
      test(`a proof that is ${JSON.stringify(proof)} is none: the app goes on without`, async () => {
        const answer = await post({ proof }, asApp(newClient()))
        assert.equal(answer.status, ok, answer.text)
      })

    test('a challenge lives ten minutes', async () => {
      const early = await solveProof(app, purpose)
      const late = await solveProof(app, purpose)
      await scene.advanceClock(app, 590)
      assert.equal((await post({ proof: early }, asBrowser(newClient()))).status, ok)
      await scene.advanceClock(app, 11)
      refusedByGuard(await post({ proof: late }, asBrowser(newClient())))
    })

    test('the app waits 2 s at its 4th request in ten minutes; another address and the browser do not', async () => {
      const address = newClient()
      await raiseCounter(app, { kind: `slow:${name}`, of: address, times: 2, windowSeconds: 600 })
      const timed = async (headers: Record<string, string>, own: Record<string, unknown> = {}) => {
        const started = performance.now()
        const answer = await post(own, headers)
        assert.equal(answer.status, ok, answer.text)
        return (performance.now() - started) / 1000
      }
      assert.ok((await timed(asApp(address))) < 1.9, 'the third goes straight through')
      const [fourth, elsewhere, browser] = await Promise.all([
        timed(asApp(address)),
        timed(asApp(newClient())),
        timed(asBrowser(address), { proof: await solveProof(app, purpose) }),
      ])
      assert.ok(fourth >= 1.99, `took ${fourth} s`)
      assert.ok(elsewhere < 1.9 && browser < 1.9, `took ${elsewhere} and ${browser} s`)
      await scene.advanceClock(app, 600)
      assert.ok((await timed(asApp(address))) < 1.9, 'ten minutes later')
    })
  })
}

test('2, 4, then 8 s from the 4th request on, each from its own address', async () => {
  const waits: [earlier: number, seconds: number][] = [
    [3, 2],
    [4, 4],
    [5, 8],
    [30, 8],
  ]
  const waited = async ([earlier, seconds]: [number, number]): Promise<void> => {
    const address = newClient()
    await raiseCounter(app, { kind: 'slow:resend', of: address, times: earlier, windowSeconds: 600 })
    const started = performance.now()
    const json = { email: scene.newAddress() }
    const answer = await app.call('POST', '/auth/resend-confirmation', { json, headers: asApp(address) })
    const took = (performance.now() - started) / 1000
    assert.equal(answer.status, 200, answer.text)
    assert.ok(took >= seconds - 0.01 && took < seconds + 1.9, `${took} s instead of ${seconds}`)
  }
  await Promise.all(waits.map(waited))
})

describe('the place of the proof among the checks', () => {
  const browser = () => asBrowser(newClient())
  const register = (json: Record<string, unknown>) =>
    app.call('POST', '/auth/register', { json, headers: browser() })

  test('register: rows 2 to 6 come first and spend no proof; row 8 comes after', async () => {
    const proof = await solveProof(app, 'register')
    const fields = scene.registration()
    const { password } = fields
    for (const [own, text] of [
      [{ password: '' }, 'Email, password, and password confirmation are required'],
      [{ email: 'zle' }, 'Invalid email format'],
      [{ password: 'krótkie' }, 'Password must be at least 8 characters'],
      [{ password_confirm: `${String(password)}x` }, 'Passwords do not match'],
    ] as const)
      scene.assertRefused(await register({ ...fields, ...own, proof }), 400, text)
    const weak = await register({ ...fields, password: 'haslo123', password_confirm: 'haslo123', proof })
    assert.equal(weak.body['code'], 'WEAK_PASSWORD')

    assert.equal((await register({ ...fields, proof })).status, 201, 'the proof was not spent')
    refusedByGuard(await register({ ...fields, proof }))
    const again = await register({ ...fields, proof: await solveProof(app, 'register') })
    scene.assertRefused(again, 409, 'Email already registered')
  })

  test('register, concurrent with one proof: one account', async () => {
    const proof = await solveProof(app, 'register')
    const answers = await Promise.all(
      Array.from({ length: 5 }, () => register(scene.registration({ proof }))),
    )
    assert.deepEqual(answers.map(({ status }) => status).sort(), [201, 403, 403, 403, 403])
  })

  test('resend and reset-request: the fields’ form comes first', async () => {
    const post = (path: string, json: Record<string, unknown>) =>
      app.call('POST', path, { json, headers: browser() })
    scene.assertRefused(await post('/auth/resend-confirmation', {}), 400, 'Email is required')
    scene.assertRefused(await post('/auth/reset-password-request', {}), 400, 'Email is required')
    scene.assertRefused(
      await post('/auth/reset-password-request', { email: 'zle' }),
      400,
      'Invalid email format',
    )
    refusedByGuard(await post('/auth/resend-confirmation', { email: 'zle' }))
  })
})
