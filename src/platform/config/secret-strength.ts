const escapeForm = (word: string): string => word.replaceAll(/[.+]/g, String.raw`\$&`)

/** Credentials that stand in examples, compose files and manuals. Compared without case. */
const examples = new Set([
  'minio123',
  'minioadmin',
  'minio',
  'postgres',
  'changeme',
  'change-me',
  'change_me',
  'local',
  'dawnotemu',
  'dawnotemu-development',
  'development',
  'secret',
  'secret-key',
  'password',
  'passw0rd',
  'example',
  'test',
  'admin',
  'redis',
  's3rver',
  'guest',
  'akiaiosfodnn7example',
  'wjalrxutnfemi/k7mdeng/bpxrficyexamplekey',
])
const exampleStarts = [
  'change',
  'your',
  'example',
  'replace',
  'insecure',
  'development-only',
  'dev-',
  'test-',
  '<',
]
const exampleForm = new RegExp(`^(?:${exampleStarts.map(escapeForm).join('|')})`)

/** True for a credential that anyone can read in an example, or that says of itself that it is one. */
export const isExampleValue = (value: string): boolean => {
  const lower = value.toLowerCase()
  return examples.has(lower) || exampleForm.test(lower)
}

const poolSize = (text: string): number => {
  if (/^[0-9a-f]+$/i.test(text)) return 16
  const classes: [RegExp, number][] = [
    [/[a-z]/, 26],
    [/[A-Z]/, 26],
    [/\d/, 10],
    [/[^a-zA-Z\d]/, 8],
  ]
  return classes.reduce((sum, [form, size]) => sum + (form.test(text) ? size : 0), 0)
}

/** Keeps two characters of every run like `aaaa`, `3456` or `zyxw`, and drops repeats of earlier stretches of five. */
const withoutPatterns = (text: string): string => {
  let kept = ''
  let step: number | null = null
  let length = 1
  for (let index = 0; index < text.length; index += 1) {
    const delta: number = index === 0 ? Number.NaN : text.charCodeAt(index) - text.charCodeAt(index - 1)
    length = delta === step ? length + 1 : 2
    step = delta
    const isRun = length > 3 && Math.abs(delta) <= 1
    const isRepeat = index >= 5 && text.slice(0, index).includes(text.slice(index - 4, index + 1))
    if (!isRun && !isRepeat) kept += text[index] ?? ''
  }
  return kept
}

// English carries about 1 to 2.5 bits a letter; random base64 rarely has five letters of one case in a row.
const wordForm = /[a-z]{5,}|[A-Z][a-z]{4,}|[A-Z]{5,}/g
const bitsPerWordLetter = 2.5

/** A cautious guess, in bits, of what it takes to guess the text: words, runs and repeats count little. */
export const estimateBits = (text: string): number => {
  const novel = withoutPatterns(text)
  const words = (novel.match(wordForm) ?? []).join('').length
  return words * bitsPerWordLetter + (novel.length - words) * Math.log2(Math.max(2, poolSize(text)))
}
