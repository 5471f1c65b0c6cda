import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import fc from 'fast-check'
import * as scene from '../../../test/account-scene.ts'
import { startTestApp, type TestApp } from '../../../test/app.ts'
import { manualClock } from '../../../test/ledger-fixtures.ts'

const clock = manualClock()
const day = 86_400_000
const seed = Number(process.env['TEST_SEED']) || Date.now() & 0x7fffffff

let app: TestApp
before(async () => {
  app = await startTestApp({ overrides: { clock }, work: false, env: { RATELIMIT_ENABLED: 'false' } })
})
after(() => app.close())

test(`a history of the login’s token alone, gaps under 7 days, never gets a refusal, seed ${seed}`, async (t) => {
  t.diagnostic(`seed ${seed}`)
  const gaps = fc.array(fc.integer({ min: 1, max: 7 * day - 1 }), { maxLength: 40 })
  await fc.assert(
    fc.asyncProperty(gaps, async (waits) => {
      const account = await scene.createAccount(app)
      const end = clock.now().getTime() + 90 * day
      for (const wait of waits) {
        if (clock.now().getTime() + wait >= end) return
        clock.advance(wait)
        const answer = await app.call('POST', '/auth/refresh', {
          json: { refresh_token: account.refreshToken },
        })
        assert.equal(answer.status, 200, answer.text)
      }
    }),
    { seed, numRuns: 8 },
  )
})
