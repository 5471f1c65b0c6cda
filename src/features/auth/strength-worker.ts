import { parentPort } from 'node:worker_threads'
import { ZxcvbnFactory } from '@zxcvbn-ts/core'
import { adjacencyGraphs, dictionary as commonWords } from '@zxcvbn-ts/language-common'
import { dictionary as polishWords } from '@zxcvbn-ts/language-pl'
import { foldWord } from './password-context.ts'
import type { StrengthQuestion } from './strength.ts'

// The Polish lists are spelled with diacritics; passwords rarely are ("haslo123"). Both spellings keep the rank.
const withPlainSpelling = (words: readonly string[]): string[] => [
  ...new Set(words.flatMap((word) => [word, foldWord(word)])),
]

const polish = Object.fromEntries(
  Object.entries(polishWords).map(([name, words]) => [`pl-${name}`, withPlainSpelling(words)]),
)
const estimator = new ZxcvbnFactory({ dictionary: { ...commonWords, ...polish }, graphs: adjacencyGraphs })

parentPort?.on('message', ({ id, password, context }: StrengthQuestion) => {
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread's port has no origin
  parentPort?.postMessage({ id, score: estimator.check(password, [...context]).score })
})
