import { isIP } from 'node:net'

/** Stands for what was taken out. */
export const redacted = '[redacted]'

const secretWord = String.raw`(?:[\w-]*(?:password|passwd|secret|token|api[_-]?key|credential|signature)[\w-]*|sig|otp|pwd|x-amz-[a-z-]+|awsaccesskeyid|key-pair-id|recovery_code)`

type Replacement = [form: RegExp, by: string | ((...groups: string[]) => string)]

const maskAddress = (address: string): string => {
  const [local = '', domain = ''] = address.split(/@|%40/i)
  return `${local.slice(0, 1)}***@${domain.slice(0, 1)}***`
}

const prefixOf = (address: string): string => {
  const bare = address.replace(/^::ffff:(?=\d+\.)/i, '')
  if (isIP(bare) === 4) {
    const isLocal = bare.startsWith('127.') || bare === '0.0.0.0'
    return isLocal ? address : `${bare.split('.').slice(0, 3).join('.')}.0/24`
  }
  if (isIP(bare) !== 6 || bare === '::1' || bare === '::') return address
  const head = bare.split('::')[0]?.split(':').filter(Boolean) ?? []
  return `${[...head, '0', '0', '0'].slice(0, 3).join(':')}::/48`
}

// Order matters: whole headers before their parts, URLs before the mail addresses that `user:password@host` looks like.
const replacements: readonly Replacement[] = [
  [/\b((?:set-)?cookie2?|(?:proxy-)?authorization|x-api-key)(["']?\s*[:=]\s*).*/gis, `$1$2${redacted}`],
  [/-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)/gs, redacted],
  [/\b(Bearer|Basic|ApiKey|Digest|Negotiate)(\s+|%20|\+)[\w.~+/=-]{6,}/gi, `$1 ${redacted}`],
  [/\b([a-z][a-z0-9+.-]{1,30}:\/\/)[^\s/?#@"'<>]*@/gi, `$1${redacted}@`],
  [/(\b[a-z][a-z0-9+.-]{1,30}:\/\/[^\s?#"'<>]*)\?[^\s#"'<>]*/gi, `$1?${redacted}`],
  [/(\/auth\/(?:confirm-email|reset-password)\/)[^\s/?#"'<>]+/gi, `$1${redacted}`],
  [/\beyJ[\w-]{4,}\.[\w-]+(?:\.[\w-]*)*/g, redacted],
  [/dtr_[\w-]{6,}/g, redacted],
  [/dt_(?:live|test)_[0-9A-Za-z]+_[0-9A-Za-z]+/g, redacted],
  [/\b(?:sk|re|rk|pk|appl|goog|whsec|xi)_[\w-]{12,}/g, redacted],
  [/\bA(?:KI|SI)A[0-9A-Z]{16}\b/g, redacted],
  [/\$argon2\w*\$[^\s"']+|\bscrypt:\d+:\d+:\d+\$[^\s"']+/g, redacted],
  [/__(?:Host|Secure)-[\w-]+=[^;\s"']*/g, redacted],
  [
    new RegExp(
      String.raw`\b(${secretWord})(\\?["']?\s*(?:=|:|%3D)\s*)(?:\\?"[^"]*"|'[^']*'|[^\s,;&"'{}()[\]]+)`,
      'gi',
    ),
    `$1$2${redacted}`,
  ],
  [/[\p{L}\p{N}._%+'-]{1,64}(?:@|%40)[\p{L}\p{N}-]+(?:\.[\p{L}\p{N}-]+)*\.?/giu, maskAddress],
  [/(?<![\w.+-])(?:::ffff:)?\d{1,3}(?:\.\d{1,3}){3}(?![\w-]|\.\d|\/24\b)/gi, prefixOf],
  [/(?<![\w:.])[0-9a-f]{0,4}(?::[0-9a-f]{0,4}){2,7}(?![\w:]|\/48\b)/gi, prefixOf],
]

// A cheap look that spares most texts the list above; it must see everything the list can change.
const suspicious =
  /@|%40|:\/\/|eyJ|(?:dtr|dt|sk|re|rk|pk|appl|goog|whsec|xi)_|__|\/auth\/|cookie|authorization|key|bearer|basic|digest|negotiate|password|passwd|secret|token|credential|signature|sig|otp|pwd|x-amz|AKIA|ASIA|argon2|scrypt|\d\.\d|:[0-9a-f]{0,4}:/i

// Line breaks of any kind, escapes, other controls, and marks that reorder what is read.
const controls = /[\p{Cc}\u2028\u2029\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]/gu
const shortForms: Readonly<Record<string, string>> = { '\n': String.raw`\n`, '\r': String.raw`\r`, '\t': ' ' }

const visible = (character: string): string =>
  shortForms[character] ?? `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`

/**
 * Takes out of a text what no log may hold: tokens, keys, cookies, addresses, queries of links. Control characters
 * become visible, so that no text can start a line or steer a terminal.
 */
export const scrubText = (text: string): string => {
  const clean = suspicious.test(text)
    ? replacements.reduce<string>(
        // Both overloads of replaceAll, which TypeScript does not pick from a union.
        (rest, [form, by]) =>
          typeof by === 'string' ? rest.replaceAll(form, by) : rest.replaceAll(form, by),
        text,
      )
    : text
  return clean.replaceAll(controls, visible)
}

const literal = /"(?:[^"\\]|\\.)*"/g

/** The last filter: scrubs every string of a line of JSON, names included. What is JSON stays JSON, on one line. */
export const scrubLine = (line: string): string =>
  line.replaceAll(literal, (quoted) => {
    if (quoted.length < 5) return quoted
    const text: unknown = JSON.parse(quoted)
    if (typeof text !== 'string') return quoted
    const clean = scrubText(text)
    return clean === text ? quoted : JSON.stringify(clean)
  })
