import { relative } from 'node:path'
import { inspect } from 'node:util'

interface TestEvent {
  type: string
  data: unknown
}

interface Skip {
  file: string
  name: string
  reason: string
}

export interface TestTotals {
  passed: number
  failed: number
  skipped: number
}

export interface TestReport {
  /** One event of `run()` from `node:test`. */
  take(event: TestEvent): void
  /** Prints failures, skips and totals; the last line is `N passed, N failed, N skipped`. */
  finish(): TestTotals
}

const outputLimit = 20_000
const counters = ['tests', 'suites', 'pass', 'fail', 'cancelled', 'skipped', 'todo'] as const

const fieldsOf = (value: unknown): Record<string, unknown> =>
  typeof value === 'object' && value !== null ? Object.fromEntries(Object.entries(value)) : {}
const textOf = (value: unknown): string => (typeof value === 'string' ? value : '')
const numberOf = (value: unknown): number => (typeof value === 'number' ? value : 0)

/** A compact report: one line a file while they run; at the end the failures, every skip with its reason, and the totals. */
export const createTestReport = (deps: { root: string; write: (text: string) => void }): TestReport => {
  const { root, write } = deps
  const failures: string[] = []
  const skips: Skip[] = []
  const output = new Map<string, string>()
  let totals: Record<string, unknown> = {}
  let durationMs = 0

  const nameOf = (file: unknown): string => (textOf(file) ? relative(root, textOf(file)) : '(run)')

  const takeFailure = (data: Record<string, unknown>): void => {
    if (data['todo'] !== undefined) return
    const error = fieldsOf(data['details'])['error']
    const { failureType, cause } = { failureType: '', cause: undefined, ...pick(error) }
    // The tests below it have been reported themselves.
    if (failureType === 'subtestsFailed') return
    const file = nameOf(data['file'])
    const isWholeFile = textOf(data['name']) === textOf(data['file'])
    if (isWholeFile) write(`✖ ${file} (its process failed)\n`)
    const where = isWholeFile ? file : `${file}:${numberOf(data['line'])}`
    failures.push(
      `✖ ${where} › ${isWholeFile ? 'process' : textOf(data['name'])}\n${indent(inspect(cause ?? error, { depth: 6 }))}`,
    )
  }

  const takeFileSummary = (data: Record<string, unknown>): void => {
    const counts = fieldsOf(data['counts'])
    const file = nameOf(data['file'])
    const isGood = data['success'] === true
    const bad = numberOf(counts['fail'] ?? counts['failed']) + numberOf(counts['cancelled'])
    const parts = [
      `${numberOf(counts['passed'])} passed`,
      ...(bad > 0 ? [`${bad} failed`] : []),
      ...(numberOf(counts['skipped']) > 0 ? [`${numberOf(counts['skipped'])} skipped`] : []),
    ]
    write(`${isGood ? '✔' : '✖'} ${file} (${parts.join(', ')}, ${seconds(numberOf(data['duration_ms']))})\n`)
  }

  return {
    take({ type, data: given }) {
      const data = fieldsOf(given)
      if (type === 'test:pass' && data['skip'] !== undefined && data['skip'] !== false)
        skips.push({
          file: nameOf(data['file']),
          name: textOf(data['name']),
          reason: textOf(data['skip']) || 'no reason given',
        })
      if (type === 'test:fail') takeFailure(data)
      if (type === 'test:stdout' || type === 'test:stderr') {
        const file = nameOf(data['file'])
        output.set(file, `${output.get(file) ?? ''}${textOf(data['message'])}`.slice(-outputLimit))
      }
      if (type === 'test:summary' && data['file'] !== undefined) takeFileSummary(data)
      if (type === 'test:summary' && data['file'] === undefined) {
        totals = fieldsOf(data['counts'])
        durationMs = numberOf(data['duration_ms'])
      }
    },
    finish() {
      const value = { ...totals, pass: totals['passed'], fail: totals['failed'] }
      const count = (name: string): number => numberOf(fieldsOf(value)[name])
      const failed = Math.max(count('fail') + count('cancelled'), failures.length)
      if (failures.length > 0) {
        write(`\nFailures\n\n${failures.join('\n\n')}\n`)
        for (const [file, text] of output)
          if (failures.some((failure) => failure.startsWith(`✖ ${file}`)))
            write(`\nOutput of ${file}\n${indent(text)}\n`)
      }
      write(skips.length > 0 ? `\nSkipped\n` : '\nNothing was skipped.\n')
      for (const skip of skips) write(`﹣ ${skip.file} › ${skip.name}: ${skip.reason}\n`)
      write('\n')
      for (const name of counters)
        write(`# ${name} ${name === 'fail' ? failed - count('cancelled') : count(name)}\n`)
      write(`# duration_ms ${durationMs}\n`)
      write(`${count('pass')} passed, ${failed} failed, ${count('skipped')} skipped\n`)
      return { passed: count('pass'), failed, skipped: count('skipped') }
    },
  }
}

const pick = (error: unknown): { failureType?: string; cause?: unknown } =>
  typeof error === 'object' && error !== null
    ? {
        ...('failureType' in error ? { failureType: textOf(error.failureType) } : {}),
        ...('cause' in error ? { cause: error.cause } : {}),
      }
    : {}

const indent = (text: string): string => text.trimEnd().replaceAll(/^/gm, '    ')
const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`
