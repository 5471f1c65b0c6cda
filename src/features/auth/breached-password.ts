import { createHash } from 'node:crypto'

const deadlineMs = 1000
// A padded answer of the public service is about 40 KiB.
const answerLimitBytes = 1024 * 1024

const readText = async (response: Response): Promise<string> => {
  const decoder = new TextDecoder()
  let text = ''
  let bytes = 0
  for await (const chunk of response.body ?? []) {
    bytes += chunk.byteLength
    if (bytes > answerLimitBytes) throw new Error('breached-password answer is too large')
    text += decoder.decode(chunk, { stream: true })
  }
  return text
}

const holdsSuffix = (answer: string, suffix: string): boolean =>
  answer.split('\n').some((line) => {
    const [found, count] = line.trim().split(':')
    // Padding lines carry the count 0.
    return found?.toUpperCase() === suffix && Number(count) > 0
  })

/**
 * Asks a k-anonymity range service (the protocol of haveibeenpwned.com's "Pwned Passwords" v3) whether a password is
 * known from a breach. Only the first five hex digits of its SHA-1 leave the server. Throws when there is no usable
 * answer within 1 s: the caller decides to go on without.
 */
export const isBreached = async (baseUrl: string, password: string): Promise<boolean> => {
  const digest = createHash('sha1').update(password, 'utf8').digest('hex').toUpperCase()
  const address = new URL(digest.slice(0, 5), baseUrl.endsWith('/') ? baseUrl : `${baseUrl}/`)
  const response = await fetch(address, {
    headers: { 'add-padding': 'true', accept: 'text/plain' },
    redirect: 'error',
    signal: AbortSignal.timeout(deadlineMs),
  })
  if (response.status !== 200) {
    await response.body?.cancel()
    throw new Error(`breached-password service answered ${response.status}`)
  }
  return holdsSuffix(await readText(response), digest.slice(5))
}
