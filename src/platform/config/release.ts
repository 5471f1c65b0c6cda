import { readFileSync } from 'node:fs'
import path from 'node:path'
import packageJson from '../../../package.json' with { type: 'json' }

const root = path.resolve(import.meta.dirname, '../../..')

const readOrEmpty = (...names: string[]): string => {
  try {
    return readFileSync(path.join(root, ...names), 'utf8').trim()
  } catch {
    return ''
  }
}

const readCommit = (): string => {
  const head = readOrEmpty('.git', 'HEAD')
  if (!head.startsWith('ref: ')) return head
  const reference = head.slice('ref: '.length)
  const loose = readOrEmpty('.git', reference)
  if (loose !== '') return loose
  const packed = readOrEmpty('.git', 'packed-refs').split('\n')
  return packed.find((line) => line.endsWith(` ${reference}`))?.split(' ')[0] ?? ''
}

/** `<version>+<commit>`, or the version alone where the sources came without their history. */
export const readRelease = (): string => {
  const commit = readCommit()
  return /^[0-9a-f]{40,64}$/.test(commit)
    ? `${packageJson.version}+${commit.slice(0, 12)}`
    : packageJson.version
}
