import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import path from 'node:path'
import { after, before, test } from 'node:test'
import { isLedgerCommand } from '../src/ledger-commands.ts'
import { createAccount, setUser } from './account-scene.ts'
import { startTestApp, type TestApp } from './app.ts'

const cli = path.join(import.meta.dirname, '../src/cli.ts')

let app: TestApp
before(async () => {
  app = await startTestApp({ work: false })
})
after(() => app.close())

const run = (...args: string[]): Promise<{ code: number | null; stdout: string; stderr: string }> =>
  new Promise((resolve, reject) => {
    const env = { PATH: process.env['PATH'], ...app.env, DATABASE_URL: app.databaseUrl }
    const child = spawn(process.execPath, [cli, 'ledger', ...args], { env })
    const output = { stdout: '', stderr: '' }
    child.stdout.on('data', (chunk: Buffer) => (output.stdout += chunk.toString()))
    child.stderr.on('data', (chunk: Buffer) => (output.stderr += chunk.toString()))
    child.on('error', reject)
    child.on('close', (code) => resolve({ code, ...output }))
  })

test('a tampered cache: found with exit code 1, repaired, then clean with 0', async () => {
  const account = await createAccount(app)
  const clean = await run('check', '--json')
  assert.equal(clean.code, 0, clean.stderr)
  assert.deepEqual(JSON.parse(clean.stdout), { users_checked: 1, users_with_drift: 0, findings: [] })

  await setUser(app, account.id, 'credits_balance = 99')
  const drift = await run('check', '--user', String(account.id), '--json')
  assert.equal(drift.code, 1, drift.stderr)
  assert.deepEqual(JSON.parse(drift.stdout), {
    users_checked: 1,
    users_with_drift: 1,
    findings: [
      {
        user_id: account.id,
        kind: 'cached_balance',
        subject: `user ${account.id}`,
        expected: 10,
        found: 99,
      },
    ],
  })
  assert.equal((await run('check')).code, 1)

  const fixed = await run('fix-balance', '--user', String(account.id), '--json')
  assert.deepEqual(
    [fixed.code, JSON.parse(fixed.stdout)],
    [0, { user_id: account.id, before: 99, after: 10 }],
  )
  assert.equal((await run('check')).code, 0)
})

test('an unknown account fails, wrong use is 2, and neither writes to standard output', async () => {
  for (const [code, ...args] of [
    [1, 'check', '--user', '2000000000'],
    [1, 'fix-balance', '--user', '2000000000'],
    [2, 'fix-balance'],
    [2, 'check', '--user', 'x'],
    [2, 'check', 'everything'],
    [2],
  ] as const) {
    const result = await run(...args)
    assert.deepEqual([result.code, result.stdout], [code, ''], args.join(' '))
    assert.notEqual(result.stderr, '')
  }
})

test('words that are no command start nothing', () => {
  assert.equal(isLedgerCommand(['check'], undefined), true)
  assert.equal(isLedgerCommand(['check'], '5'), true)
  assert.equal(isLedgerCommand(['fix-balance'], '5'), true)
  for (const user of ['0', '-1', '1.5', '', '5 '])
    assert.equal(isLedgerCommand(['check'], user), false, JSON.stringify(user))
})
