import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { manualClock } from '../../../test/ledger-fixtures.ts'
import { AppError } from '../../platform/errors.ts'
import { createMemoryCounters } from '../../providers/rate-limit-store/memory.ts'
import { createLoginBackoff, type LoginAttempt } from './login-backoff.ts'
import { createWaitRoom } from './wait-room.ts'

const minuteMs = 60_000
const mail = 'rodzic@example.test'

interface Tried {
  answer: 'right' | 'wrong' | 'challenge_required' | 'rate_limited'
  /** Delays before the answer, ms. */
  waitedMs: number[]
  retryAfterSeconds?: number
}

/** Back-off with counters in memory, a clock that stands still, and a wait room whose delays are written down instead. */
const createScene = ({ isEnabled = true } = {}) => {
  const clock = manualClock()
  const room = createWaitRoom(200)
  const backoff = (waited: number[]) =>
    createLoginBackoff({
      counters,
      keyOf: (kind, value) => `${kind}:${value}`,
      clock,
      isEnabled,
      waitRoom: {
        inTurn: room.inTurn,
        wait: (ms) => {
          waited.push(ms)
          return Promise.resolve()
        },
      },
    })
  const counters = createMemoryCounters()
  let checks = 0
  let serial = 0

  const attempt = async (
    own: Partial<LoginAttempt> & { isRight?: boolean; isBusy?: boolean } = {},
  ): Promise<Tried> => {
    const { isRight = false, isBusy = false, ...who } = own
    const waitedMs: number[] = []
    const asked: LoginAttempt = {
      email: mail,
      address: '192.0.2.1',
      canSolve: false,
      checkProof: () => Promise.resolve(false),
      isFamiliar: () => Promise.resolve(false),
      ...who,
    }
    try {
      const found = await backoff(waitedMs).attempt(asked, () => {
        checks += 1
        return isBusy ? Promise.reject(new Error('busy')) : Promise.resolve({ isRight })
      })
      return { answer: found.isRight ? 'right' : 'wrong', waitedMs }
    } catch (error) {
      if (!(error instanceof AppError)) throw error
      assert.ok(error.code === 'challenge_required' || error.code === 'rate_limited', error.code)
      const { retryAfterSeconds } = error.details
      return { answer: error.code, waitedMs, ...(retryAfterSeconds ? { retryAfterSeconds } : {}) }
    }
  }
  const newAddress = () => `198.51.${Math.floor(++serial / 250)}.${serial % 250}`
  const newMail = () => `ktos-${++serial}@example.test`
  return {
    clock,
    attempt,
    newAddress,
    checks: () => checks,
    /** Wrong guesses at one account, each from an address of its own and with a solved challenge: nothing but failures. */
    failAccount: async (times: number, email = mail) => {
      const proven = { canSolve: true, checkProof: () => Promise.resolve(true) }
      for (let left = times; left > 0; left -= 1) {
        const tried = await attempt({ email, address: newAddress(), ...proven })
        assert.equal(tried.answer, 'wrong')
      }
    },
    /** Wrong guesses from one address, each at an account of its own. */
    failAddress: async (times: number, address = '192.0.2.1') => {
      const proven = { canSolve: true, checkProof: () => Promise.resolve(true) }
      for (let left = times; left > 0; left -= 1) await attempt({ address, email: newMail(), ...proven })
    },
    newMail,
  }
}

const accountDelays: [failures: number, waitedMs: number[]][] = [
  [0, []],
  [2, []],
  [3, [1000]],
  [4, [2000]],
  [5, [4000]],
  [6, [8000]],
  [20, [8000]],
]
const addressDelays: [failures: number, waitedMs: number[]][] = [
  [9, []],
  [10, [1000]],
  [11, [2000]],
  [12, [4000]],
  [13, [8000]],
  [40, [8000]],
]

describe('a client that cannot solve waits, with the right password and with a wrong one', () => {
  for (const isRight of [true, false]) {
    const answer = isRight ? 'right' : 'wrong'
    for (const [failures, waitedMs] of accountDelays)
      test(`${failures} failures of the account, ${answer} password: ${waitedMs.join() || 'no'} delay`, async () => {
        const { attempt, failAccount } = createScene()
        await failAccount(failures)
        assert.deepEqual(await attempt({ isRight }), { answer, waitedMs })
      })
    for (const [failures, waitedMs] of addressDelays)
      test(`${failures} failures of the address, ${answer} password: ${waitedMs.join() || 'no'} delay`, async () => {
        const { attempt, failAddress } = createScene()
        await failAddress(failures)
        assert.deepEqual(await attempt({ isRight }), { answer, waitedMs })
      })
  }

  test('the longer of the two delays, not their sum', async () => {
    const { attempt, failAccount, failAddress } = createScene()
    await failAccount(4)
    await failAddress(12)
    assert.deepEqual(await attempt({ isRight: true }), { answer: 'right', waitedMs: [4000] })
  })

  test('failures that come while it waits lengthen the wait to the new delay, by the difference', async () => {
    const { attempt, failAccount, newAddress } = createScene()
    await failAccount(2)
    const burst = await Promise.all(Array.from({ length: 5 }, () => attempt({ address: newAddress() })))
    const total = burst.map(({ waitedMs }) => waitedMs.reduce((sum, ms) => sum + ms, 0))
    assert.deepEqual(total, [0, 1000, 2000, 4000, 8000])
    assert.ok(burst.every(({ answer }) => answer === 'wrong'))
  })
})

describe('a client that can solve', () => {
  test('is asked for a proof from the third failure of the account on, and never waits', async () => {
    const { attempt, failAccount, checks } = createScene()
    await failAccount(2)
    assert.deepEqual(await attempt({ canSolve: true }), { answer: 'wrong', waitedMs: [] })
    const before = checks()
    assert.deepEqual(await attempt({ canSolve: true, isRight: true }), {
      answer: 'challenge_required',
      waitedMs: [],
    })
    assert.equal(checks(), before, 'no password was looked at')
    const proven = { canSolve: true, checkProof: () => Promise.resolve(true) }
    assert.deepEqual(await attempt({ ...proven, isRight: true }), { answer: 'right', waitedMs: [] })
  })

  test('is asked for a proof from the tenth failure of the address on', async () => {
    const { attempt, failAddress } = createScene()
    await failAddress(9)
    assert.equal((await attempt({ canSolve: true })).answer, 'wrong')
    assert.equal((await attempt({ canSolve: true })).answer, 'challenge_required')
  })

  test('a proof is spent only where one is needed, and once an attempt', async () => {
    const { attempt, failAccount } = createScene()
    let spent = 0
    const checkProof = () => {
      spent += 1
      return Promise.resolve(true)
    }
    await attempt({ canSolve: true, checkProof })
    assert.equal(spent, 0)
    await failAccount(3)
    await attempt({ canSolve: true, checkProof })
    assert.equal(spent, 1)
  })

  test('a missing proof is no failed password', async () => {
    const { attempt, failAccount } = createScene()
    await failAccount(3)
    for (let round = 0; round < 20; round += 1)
      assert.equal((await attempt({ canSolve: true })).answer, 'challenge_required')
    assert.deepEqual(await attempt(), { answer: 'wrong', waitedMs: [1000] })
  })
})

describe('refusals', () => {
  for (const canSolve of [true, false])
    test(`ten failures of the pair: 429 whatever the password, ${canSolve ? 'browser' : 'app'}`, async () => {
      const { attempt, checks, clock } = createScene()
      const who = { canSolve, checkProof: () => Promise.resolve(true) }
      for (let round = 0; round < 10; round += 1) assert.equal((await attempt(who)).answer, 'wrong')
      clock.advance(5 * minuteMs)
      const before = checks()
      const refused = await attempt({ ...who, isRight: true })
      assert.deepEqual(refused, { answer: 'rate_limited', waitedMs: [], retryAfterSeconds: 600 })
      assert.equal(checks(), before)
      const elsewhere = await attempt({ ...who, address: '203.0.113.9', isRight: true })
      assert.equal(elsewhere.answer, 'right')
    })

  for (const canSolve of [true, false])
    test(`50 failures of the account in an hour: strangers 429, its familiar addresses go on, ${canSolve ? 'browser' : 'app'}`, async () => {
      const { attempt, failAccount, checks, clock } = createScene()
      const proof = { canSolve, checkProof: () => Promise.resolve(true) }
      for (let round = 0; round < 5; round += 1) {
        await failAccount(10)
        clock.advance(5 * minuteMs)
      }
      const before = checks()
      const stranger = await attempt({ ...proof, isRight: true })
      assert.deepEqual(stranger, { answer: 'rate_limited', waitedMs: [], retryAfterSeconds: 900 })
      assert.equal(checks(), before)
      const owner = await attempt({ ...proof, isRight: true, isFamiliar: () => Promise.resolve(true) })
      assert.deepEqual(owner.answer, 'right')
      assert.deepEqual((await attempt({ ...proof, isRight: true })).answer, 'right', 'cleared by the owner')
    })

  test('49 failures in an hour refuse nobody', async () => {
    const { attempt, failAccount } = createScene()
    await failAccount(49)
    assert.equal((await attempt({ isRight: true })).answer, 'right')
  })
})

describe('counting', () => {
  test('a success clears the account and the pair, not the address', async () => {
    const { attempt, failAddress } = createScene()
    for (let round = 0; round < 9; round += 1) await attempt()
    await failAddress(1)
    assert.equal((await attempt({ isRight: true })).answer, 'right')
    assert.deepEqual(await attempt({ address: '203.0.113.9' }), { answer: 'wrong', waitedMs: [] })
    const samePair = await attempt()
    assert.deepEqual(samePair, { answer: 'wrong', waitedMs: [1000] }, 'the address has its ten failures')
    for (let round = 0; round < 8; round += 1) assert.equal((await attempt()).answer, 'wrong')
  })

  test('15 minutes end the account’s, the address’s and the pair’s failures, an hour the fifty', async () => {
    const { attempt, failAccount, clock } = createScene()
    for (let round = 0; round < 10; round += 1) await attempt()
    clock.advance(15 * minuteMs - 1)
    assert.deepEqual((await attempt()).retryAfterSeconds, 1)
    clock.advance(1)
    assert.deepEqual(await attempt(), { answer: 'wrong', waitedMs: [] })
    await failAccount(39)
    clock.advance(15 * minuteMs)
    assert.equal((await attempt()).answer, 'rate_limited', '50 within the hour')
    clock.advance(30 * minuteMs)
    assert.deepEqual(await attempt(), { answer: 'wrong', waitedMs: [] })
  })

  test('a check that could not be made is no failure', async () => {
    const { attempt } = createScene()
    for (let round = 0; round < 5; round += 1)
      await assert.rejects(attempt({ isBusy: true }), /^Error: busy$/)
    assert.deepEqual(await attempt(), { answer: 'wrong', waitedMs: [] })
  })

  test('twenty sign-ins with the right password at once: nobody waits', async () => {
    const { attempt, newAddress } = createScene()
    const all = await Promise.all(
      Array.from({ length: 20 }, () => attempt({ isRight: true, address: newAddress() })),
    )
    assert.deepEqual(
      new Set(all.map((each) => JSON.stringify(each))),
      new Set(['{"answer":"right","waitedMs":[]}']),
    )
  })

  test('thirty guesses of one pair at once: ten are looked at', async () => {
    const { attempt, checks } = createScene()
    const all = await Promise.all(Array.from({ length: 30 }, () => attempt()))
    assert.equal(checks(), 10)
    assert.equal(all.filter(({ answer }) => answer === 'rate_limited').length, 20)
  })

  test('switched off: nothing is counted, delayed or refused', async () => {
    const { attempt, failAccount, checks } = createScene({ isEnabled: false })
    await failAccount(60)
    for (const canSolve of [true, false])
      assert.deepEqual(await attempt({ canSolve }), { answer: 'wrong', waitedMs: [] })
    assert.equal(checks(), 62)
  })
})
