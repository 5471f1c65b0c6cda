import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as scene from '../../../test/account-scene.ts'
import { startTestApp, type Answer } from '../../../test/app.ts'

const pairs = 100
const pairsAtOnce = 3

const median = (values: readonly number[]): number =>
  values.toSorted((left, right) => left - right)[Math.floor(values.length / 2)] ?? Number.NaN

const headerNames = (answer: Answer): string => [...answer.headers.keys()].sort().join()

test('A-L9: 100 wrong passwords for known and 100 for unknown accounts are told apart by nothing', async (t) => {
  const app = await startTestApp({ work: false })
  t.after(() => app.close())
  const accounts = await Promise.all(Array.from({ length: 4 }, () => scene.createAccount(app)))

  const seen: Record<'known' | 'unknown', { milliseconds: number[]; answers: Set<string> }> = {
    known: { milliseconds: [], answers: new Set() },
    unknown: { milliseconds: [], answers: new Set() },
  }
  const ask = async (kind: 'known' | 'unknown', email: string): Promise<void> => {
    const started = performance.now()
    const answer = await scene.login(app, { email, password: scene.newPassword() })
    seen[kind].milliseconds.push(performance.now() - started)
    seen[kind].answers.add(`${answer.status} ${answer.text} ${headerNames(answer)}`)
  }
  // Both of a pair at the same moment: whatever else the machine does falls on either alike. Who is first alternates.
  const line = async (first: number): Promise<void> => {
    for (let pair = first; pair < pairs; pair += pairsAtOnce) {
      const known = () => ask('known', accounts[pair % accounts.length]?.email ?? '')
      const unknown = () => ask('unknown', scene.newAddress())
      await Promise.all((pair % 2 === 0 ? [known, unknown] : [unknown, known]).map((start) => start()))
    }
  }
  await Promise.all(Array.from({ length: pairsAtOnce }, (_, first) => line(first)))

  const { known, unknown } = seen
  assert.deepEqual([known.milliseconds.length, unknown.milliseconds.length], [pairs, pairs])
  assert.equal(known.answers.size, 1, [...known.answers].join('\n'))
  assert.deepEqual([...unknown.answers], [...known.answers])
  assert.match([...known.answers][0] ?? '', /^401 \{"error":"Invalid credentials"\} /)
  const [knownMs, unknownMs] = [median(known.milliseconds), median(unknown.milliseconds)]
  t.diagnostic(`medians: known ${knownMs.toFixed(1)} ms, unknown ${unknownMs.toFixed(1)} ms`)
  assert.ok(
    Math.abs(knownMs - unknownMs) <= 0.1 * Math.min(knownMs, unknownMs),
    `${knownMs} and ${unknownMs} ms`,
  )
})
