import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { openLedger, type LedgerBench } from './ledger-fixtures.ts'
import { soakLedger } from './ledger-soak.ts'
import { propertySettings } from './property-settings.ts'

// The short form of `npm run bench:ledger-soak`.

let bench: LedgerBench
before(async () => {
  bench = await openLedger()
})
after(() => bench.close())

test('twenty-four clients do everything at once to five accounts, with deletions and a killed process: the books balance', async (t) => {
  const { seed } = propertySettings()
  const result = await soakLedger(bench, { seconds: 8, clients: 24, users: 5, seed })
  t.diagnostic(JSON.stringify({ seed, ...result, faults: result.faults.length }))
  assert.deepEqual(result.faults.slice(0, 5), [], `TEST_SEED=${seed}`)
  assert.equal(result.deadlocks, 0)
  assert.deepEqual(result.findings, [])
  assert.ok(result.kills >= 1 && result.accountsClosed >= 2)
  for (const action of ['debit', 'refund', 'grant', 'clawBack', 'undo', 'sweep'])
    assert.ok((result.done[action] ?? 0) > 0, action)
})
