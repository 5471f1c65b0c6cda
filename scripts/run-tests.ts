/**
 * `npm test`: every test file of the project, or those whose path contains one of the arguments.
 *
 *   node scripts/run-tests.ts [--fail-on-skip] [part of a path …]
 *
 * `FAIL_ON_SKIP=1` equals `--fail-on-skip`. `TEST_CONCURRENCY` sets how many files run at once,
 * `TEST_TIMEOUT_MS` how long one test may take.
 */
import { existsSync } from 'node:fs'
import { glob } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { join, relative, sep } from 'node:path'
import { run } from 'node:test'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { parseArgs } from 'node:util'
import { createTestReport } from './test-report.ts'

const root = fileURLToPath(new URL('..', import.meta.url))
const patterns = ['src', 'test', 'web', 'scripts', 'bench'].map((folder) => `${folder}/**/*.test.ts`)
const setupFile = join(root, 'test/global-setup.ts')
const watchdog = new URL('./test-watchdog.ts', import.meta.url).href
const testLimitMs = Number(process.env['TEST_TIMEOUT_MS']) || 120_000
const runLimitMs = 30 * 60_000
const closeLimitMs = 15_000

interface GlobalSetup {
  env: Record<string, string>
  close(): Promise<void>
}

const findFiles = async (filters: readonly string[]): Promise<string[]> => {
  const files: string[] = []
  for await (const file of glob(patterns, {
    cwd: root,
    exclude: (name) => /(^|[/\\])node_modules$/.test(name),
  }))
    files.push(file.split(sep).join('/'))
  // A filter may be written as seen from the folder the command was called in.
  const wanted = filters.map((filter) => {
    const isHere = existsSync(filter)
    return isHere ? relative(root, filter).split(sep).join('/') : filter.replace(/^\.\//, '')
  })
  return files.filter((file) => wanted.length === 0 || wanted.some((part) => file.includes(part))).sort()
}

const startShared = async (): Promise<GlobalSetup> => {
  if (!existsSync(setupFile)) return { env: {}, close: async () => undefined }
  const loaded: { globalSetup(): Promise<GlobalSetup> } = await import(pathToFileURL(setupFile).href)
  return loaded.globalSetup()
}

const runFiles = async (files: readonly string[], env: Record<string, string>, signal: AbortSignal) => {
  const report = createTestReport({ root, write: (text) => process.stdout.write(text) })
  const concurrency = Number(process.env['TEST_CONCURRENCY']) || Math.min(8, availableParallelism())
  const stream = run({
    files: files.map((file) => join(root, file)),
    cwd: root,
    concurrency,
    timeout: testLimitMs,
    signal: AbortSignal.any([signal, AbortSignal.timeout(runLimitMs)]),
    execArgv: ['--import', watchdog],
    env: { ...process.env, ...env },
  })
  for await (const event of stream) report.take(event)
  return report.finish()
}

const main = async (): Promise<number> => {
  const { values, positionals } = parseArgs({
    options: { 'fail-on-skip': { type: 'boolean', default: false } },
    allowPositionals: true,
  })
  const failOnSkip = values['fail-on-skip'] || process.env['FAIL_ON_SKIP'] === '1'
  const files = await findFiles(positionals)
  if (files.length === 0) {
    process.stderr.write(`No test file matches ${positionals.join(' ') || 'the project'}\n`)
    return 1
  }
  const stop = new AbortController()
  for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => stop.abort(new Error(name)))
  const shared = await startShared()
  try {
    const { failed, skipped } = await runFiles(files, shared.env, stop.signal)
    return failed > 0 || stop.signal.aborted || (failOnSkip && skipped > 0) ? 1 : 0
  } finally {
    await shared.close()
  }
}

process.exitCode = await main()
// A handle that the shared set-up left open must not keep the command from ending.
setTimeout(() => process.exit(), closeLimitMs).unref()
