/**
 * Everything at once, for a minute: `npm run bench:ledger-soak`. 50 clients over 10 accounts debit, refund, grant, expire,
 * claw back and undo, accounts are closed and replaced, and a process that writes is killed every few seconds. At the end
 * the drift check reads all accounts. `--seconds`, `--clients`, `--users`, `--seed`. Exit code 1 when anything is wrong.
 */
import { loadavg } from 'node:os'
import { parseArgs } from 'node:util'
import { openLedger } from '../test/ledger-fixtures.ts'
import { soakLedger } from '../test/ledger-soak.ts'

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '60' },
    clients: { type: 'string', default: '50' },
    users: { type: 'string', default: '10' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
  },
})
const bench = await openLedger()
try {
  const result = await soakLedger(bench, {
    seconds: Number(values.seconds),
    clients: Number(values.clients),
    users: Number(values.users),
    seed: Number(values.seed),
  })
  const total = Object.values(result.done).reduce((sum, count) => sum + count, 0)
  const print = (label: string, text: string): void => console.log(`${label.padEnd(18)}${text}`)
  print('seed', values.seed)
  print(
    'load average',
    loadavg()
      .map((each) => each.toFixed(2))
      .join(' '),
  )
  print('done', `${total} (${(total / result.seconds).toFixed(0)} a second): ${JSON.stringify(result.done)}`)
  print('refusals', String(result.refusals))
  print('slowest', `${result.slowestMs.toFixed(0)} ms`)
  print('processes killed', String(result.kills))
  print('accounts closed', String(result.accountsClosed))
  print('deadlocks', String(result.deadlocks))
  print('faults', `${result.faults.length} ${result.faults.slice(0, 3).join('; ')}`)
  print('drift', `${result.findings.length} findings ${JSON.stringify(result.findings.slice(0, 3))}`)
  if (result.faults.length + result.findings.length + result.deadlocks > 0) process.exitCode = 1
} finally {
  await bench.close()
}
