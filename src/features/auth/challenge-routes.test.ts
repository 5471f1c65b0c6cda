import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { Value } from 'typebox/value'
import { systemClock } from '../../platform/clock.ts'
import { deriveKeys } from '../../platform/crypto.ts'
import { createLimits } from '../../platform/http/limits.ts'
import { createHttpServer, type HttpServer } from '../../platform/http/server.ts'
import { createMemoryCounters } from '../../providers/rate-limit-store/memory.ts'
import { recordingLogger } from '../../../test/logger.ts'
import { checkAnswers } from '../../../test/openapi-check.ts'
import { challengeRoutes } from './challenge-routes.ts'
import { challengeSchema, createProofOfWork } from './proof-of-work.ts'

const startServer = async (t: TestContext): Promise<HttpServer> => {
  const counters = createMemoryCounters()
  const server = await createHttpServer({
    logger: recordingLogger(),
    release: 'test',
    publicUrl: 'http://localhost:8000',
    trustedProxyHops: 0,
    corsOrigins: [],
    isProduction: false,
    authenticate: () => Promise.reject(new Error('nobody signs in here')),
    limits: createLimits({
      hit: counters.hit,
      keyOf: (kind, value) => `${kind}:${value}`,
      clock: systemClock,
      isEnabled: true,
    }),
  })
  const answers = checkAnswers(server)
  const keys = deriveKeys('root secret of the tests', []).challenge
  const proofOfWork = createProofOfWork({ keys, counters, clock: systemClock, cost: 1 })
  await server.register(challengeRoutes({ proofOfWork }))
  t.after(async () => {
    await server.close()
    assert.deepEqual(answers.problems, [])
  })
  return server
}

for (const purpose of ['register', 'login', 'mail'])
  test(`a challenge of purpose ${purpose}, without a bearer and whatever bearer is sent`, async (t) => {
    const server = await startServer(t)
    for (const headers of [{}, { authorization: 'Bearer stale' }]) {
      const answer = await server.inject({ url: `/auth/challenge?purpose=${purpose}`, headers })
      assert.equal(answer.statusCode, 200, answer.body)
      const body: unknown = answer.json()
      assert.ok(Value.Check(challengeSchema, body), answer.body)
      assert.equal(body.parameters.data.purpose, purpose)
      assert.equal(answer.headers['cache-control'], 'no-store')
    }
  })

for (const query of [
  '',
  '?purpose',
  '?purpose=',
  '?purpose=Login',
  '?purpose=login&purpose=mail',
  '?other=login',
])
  test(`no challenge for /auth/challenge${query}`, async (t) => {
    const answer = await (await startServer(t)).inject({ url: `/auth/challenge${query}` })
    assert.equal(answer.statusCode, 400)
    assert.deepEqual(answer.json(), { error: 'Invalid value for purpose.' })
    assert.equal(answer.headers['cache-control'], 'no-store')
  })

test('30 a minute and address', async (t) => {
  const server = await startServer(t)
  for (let left = 29; left >= 0; left -= 1) {
    const answer = await server.inject({ url: '/auth/challenge?purpose=mail' })
    assert.equal(answer.statusCode, 200)
    assert.equal(answer.headers['ratelimit-policy'], '"challenge";q=30;w=60')
    assert.match(String(answer.headers['ratelimit']), new RegExp(`^"challenge";r=${left};t=\\d+$`))
  }
  const refused = await server.inject({ url: '/auth/challenge?purpose=mail' })
  assert.equal(refused.statusCode, 429)
  assert.equal(refused.headers['cache-control'], 'no-store')
  const other = await server.inject({ url: '/auth/challenge?purpose=mail', remoteAddress: '192.0.2.7' })
  assert.equal(other.statusCode, 200)
})
