import { isIP } from 'node:net'

/** What a value must look like, said so that it completes "NAME must be …"; and how it is read. */
export interface ValueType<T> {
  expected: string
  /** `undefined` = cannot be read. The text is trimmed and never blank. */
  read: (text: string) => T | undefined
}

/** A whole number in decimal digits; `map` gives special numbers another meaning. */
export const integer = (minimum: number, maximum = 2_147_483_647): ValueType<number> => ({
  expected:
    maximum === 2_147_483_647
      ? `a whole number, ${minimum} or more`
      : `a whole number from ${minimum} to ${maximum}`,
  read: (text) => {
    if (!/^[+-]?\d{1,10}$/.test(text)) return undefined
    const value = Number(text)
    return value >= minimum && value <= maximum ? value : undefined
  },
})

/** A whole number of which zero means the default. */
export const integerOrDefault = (maximum: number, whenZero: number): ValueType<number> => {
  const base = integer(0, maximum)
  return {
    ...base,
    read: (text) => {
      const value = base.read(text)
      return value === 0 ? whenZero : value
    },
  }
}

/** A count of which zero and less mean "no limit", read as `null`. */
export const limitOrNone: ValueType<number | null> = {
  expected: 'a whole number (0 or less = unlimited)',
  read: (text) => {
    const value = integer(-2_147_483_648).read(text)
    if (value === undefined) return undefined
    return value <= 0 ? null : value
  },
}

export const decimal = (minimum: number, maximum: number): ValueType<number> => ({
  expected: `a number from ${minimum} to ${maximum}`,
  read: (text) => {
    const value = /^\d+(?:\.\d+)?$|^\.\d+$/.test(text) ? Number(text) : Number.NaN
    return value >= minimum && value <= maximum ? value : undefined
  },
})

const truths = new Map([
  ...['1', 'true', 'yes', 'on'].map((word) => [word, true] as const),
  ...['0', 'false', 'no', 'off'].map((word) => [word, false] as const),
])

export const boolean: ValueType<boolean> = {
  expected: 'true or false (also 1, yes, on, 0, no, off)',
  read: (text) => truths.get(text.toLowerCase()),
}

/** One of a few words, any case; `aliases` are other spellings of them. */
export const oneOf = <const T extends string>(
  words: readonly T[],
  aliases: Readonly<Record<string, T>> = {},
): ValueType<T> => ({
  expected: `one of ${words.join(', ')}`,
  read: (text) => {
    const given = text.toLowerCase()
    return (
      words.find((word) => word === given) ?? (Object.hasOwn(aliases, given) ? aliases[given] : undefined)
    )
  },
})

/** Any text without control characters, of a form if one is given. */
export const text = (
  form = /^[^\p{Cc}]+$/u,
  expected = 'text without control characters',
): ValueType<string> => ({
  expected,
  read: (given) => (form.test(given) ? given : undefined),
})

export const identifier = text(/^[\w.:+-]{1,200}$/, 'a name without spaces')

const splitList = (given: string): string[] => [
  ...new Set(
    given
      .split(',')
      .map((item) => item.trim())
      .filter((item) => item !== ''),
  ),
]

/** A comma list, trimmed, without doubles; every item must be readable. */
export const list = <T>(item: ValueType<T>): ValueType<readonly T[]> => ({
  expected: `a comma-separated list, each item ${item.expected}`,
  read: (given) => {
    const items: T[] = []
    for (const part of splitList(given)) {
      const value = item.read(part)
      if (value === undefined) return undefined
      items.push(value)
    }
    return items
  },
})

/** A list, or one word that stands for something else, e.g. `none`. */
export const listOr = <T, W>(item: ValueType<T>, word: string, meaning: W): ValueType<readonly T[] | W> => {
  const base = list(item)
  return {
    expected: `${base.expected}, or "${word}"`,
    read: (given) => (given.toLowerCase() === word ? meaning : base.read(given)),
  }
}

const parseUrl = (given: string): URL | undefined => (URL.canParse(given) ? new URL(given) : undefined)

/** An absolute address with one of these schemes. Kept as written, but for slashes at the end. */
export const url = (...schemes: readonly string[]): ValueType<string> => ({
  expected: `an address that starts with ${schemes.map((scheme) => `${scheme}://`).join(' or ')}`,
  read: (given) => {
    const parsed = parseUrl(given)
    const isOfScheme = schemes.some((scheme) => given.toLowerCase().startsWith(`${scheme}://`))
    return parsed !== undefined && isOfScheme ? given.replace(/\/+$/, '') : undefined
  },
})

/** Scheme, host and port of a web address, nothing after it. */
export const origin: ValueType<string> = {
  expected: 'an address like https://api.example.com, without path, query or user name',
  read: (given) => {
    const parsed = /^https?:\/\//i.test(given) ? parseUrl(given) : undefined
    const isBare =
      parsed !== undefined &&
      parsed.pathname === '/' &&
      parsed.search === '' &&
      parsed.hash === '' &&
      parsed.username === '' &&
      parsed.password === ''
    return isBare ? parsed.origin : undefined
  },
}

/** PostgreSQL; SQLAlchemy's driver names in the scheme are taken off. */
export const postgresUrl: ValueType<string> = {
  expected: 'an address that starts with postgres:// or postgresql://',
  read: (given) =>
    url('postgres', 'postgresql').read(given.replace(/^postgresql\+psycopg2?:/i, 'postgresql:')),
}

const hostForm = /^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*$/i

/** A host name or an IP literal without brackets. */
export const host: ValueType<string> = {
  expected: 'a host name or an IP address',
  read: (given) => (hostForm.test(given) || isIP(given) !== 0 ? given : undefined),
}

/** A host name that may start with `*.`. */
export const hostPattern: ValueType<string> = {
  expected: 'a host name, optionally with "*." in front',
  read: (given) => (hostForm.test(given.replace(/^\*\./, '')) ? given.toLowerCase() : undefined),
}

/** `https://name` or `https://*.name`, with a port if there is one. */
export const originPattern: ValueType<string> = {
  expected: 'an origin like https://example.com or https://*.example.com',
  read: (given) => {
    const parsed = parseUrl(given.replace('://*.', '://any.'))
    const isOrigin = parsed !== undefined && /^https?:$/.test(parsed.protocol)
    return isOrigin && parsed.origin === given.replace('://*.', '://any.').toLowerCase()
      ? given.toLowerCase()
      : undefined
  },
}

export const cidr: ValueType<string> = {
  expected: 'an IP address or a range like 203.0.113.0/24',
  read: (given) => {
    const [address = '', bits, ...rest] = given.split('/')
    const version = isIP(address)
    const isPrefix =
      bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= (version === 4 ? 32 : 128))
    return version !== 0 && isPrefix && rest.length === 0 ? given : undefined
  },
}

export const emailAddress: ValueType<string> = {
  expected: 'an e-mail address',
  read: (given) => (/^[^\s@<>"',]+@[a-z0-9.-]+\.[a-z]{2,}$/i.test(given) ? given : undefined),
}

/** Points per name and narrations per unit are labelled by the segment with this word (30 §16). */
export const unitLabel: ValueType<string> = {
  expected: 'a label with one part that contains "punkty"',
  read: (given) =>
    given.split(/[()/|-]/).some((segment) => segment.toLowerCase().includes('punkty')) ? given : undefined,
}
