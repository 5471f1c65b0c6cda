import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import path from 'node:path'
import { after, before, test } from 'node:test'
import { isAccountsCommand } from '../src/account-commands.ts'
import { createAccount, rows, setUser } from './account-scene.ts'
import { startTestApp, type TestApp } from './app.ts'

const cli = path.join(import.meta.dirname, '../src/cli.ts')

let app: TestApp

before(async () => {
  app = await startTestApp({ work: false })
})
after(() => app.close())

const run = (...args: string[]): Promise<{ code: number | null; stdout: string; stderr: string }> =>
  new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [cli, 'accounts', ...args], {
      env: {
        PATH: process.env['PATH'],
        ...app.env,
        DATABASE_URL: app.databaseUrl,
        TRIAL_DURATION_DAYS: '21',
      },
    })
    const output = { stdout: '', stderr: '' }
    child.stdout.on('data', (chunk: Buffer) => (output.stdout += chunk.toString()))
    child.stderr.on('data', (chunk: Buffer) => (output.stderr += chunk.toString()))
    child.on('error', reject)
    child.on('close', (code) => resolve({ code, ...output }))
  })

test('an operator lists, approves and deactivates from the command line', async () => {
  const account = await createAccount(app)
  await setUser(app, account.id, `status = 'pending'`)
  const listed = await run('pending', '--json')
  assert.equal(listed.code, 0, listed.stderr)
  const { accounts } = JSON.parse(listed.stdout) as { accounts: Record<string, unknown>[] }
  assert.deepEqual(
    accounts.map(({ id, email, email_confirmed: isConfirmed }) => ({ id, email, isConfirmed })),
    [{ id: account.id, email: account.email, isConfirmed: true }],
  )
  assert.match(String(accounts[0]?.['created_at']), /\.\d{3}Z$/)

  const activated = await run('activate', String(account.id), '--json')
  assert.deepEqual([activated.code, JSON.parse(activated.stdout)], [0, { id: account.id, status: 'active' }])
  const [row] = await rows<{ days: number }>(
    app,
    `select extract(epoch from trial_expires_at - now()) / 86400 as days from users where id = $1`,
    [account.id],
  )
  assert.ok(Math.abs(Number(row?.days) - 21) < 0.01, String(row?.days))
  const again = await run('activate', String(account.id))
  assert.deepEqual([again.code, again.stdout], [1, ''])
  assert.match(again.stderr, /the account is already so/)

  assert.equal((await run('deactivate', String(account.id))).code, 0)
  const [{ status } = { status: '' }] = await rows<{ status: string }>(
    app,
    'select status from users where id = $1',
    [account.id],
  )
  assert.equal(status, 'deactivated')
})

test('wrong use is exit 2, an unknown account exit 1', async () => {
  const wrong = await run('activate', 'x')
  assert.deepEqual([wrong.code, wrong.stdout], [2, ''])
  assert.match(wrong.stderr, /^usage: /)
  const unknown = await run('deactivate', '2000000000')
  assert.equal(unknown.code, 1)
  assert.match(unknown.stderr, /no such account/)
})

test('only whole commands are taken', () => {
  for (const words of [['pending'], ['activate', '7'], ['deactivate', '2147483647']])
    assert.equal(isAccountsCommand(words), true, words.join(' '))
  for (const words of [
    [],
    ['activate'],
    ['activate', '0'],
    ['activate', '1', '2'],
    ['pending', '1'],
    ['remove', '1'],
  ])
    assert.equal(isAccountsCommand(words), false, words.join(' '))
})
