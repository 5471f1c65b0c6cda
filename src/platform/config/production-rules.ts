import { isLoopbackHost } from './rules.ts'
import type { EffectiveValues } from './defaults.ts'
import type { Reading } from './read-values.ts'
import { estimateBits, isExampleValue } from './secret-strength.ts'
import { variables, type VariableName } from './variables.ts'

const makeSecret = 'Make one with: openssl rand -base64 48'
const minimumSecretBytes = 32
const minimumSecretBits = 128

const secretKeyProblem = (key: string): string | null => {
  if (Buffer.byteLength(key) < minimumSecretBytes)
    return `SECRET_KEY is shorter than ${minimumSecretBytes} bytes. ${makeSecret}`
  return estimateBits(key) < minimumSecretBits
    ? `SECRET_KEY can be guessed (less than ${minimumSecretBits} bits). ${makeSecret}`
    : null
}

const passwordOfUrl = (value: string): string[] => {
  const password = URL.canParse(value) ? new URL(value).password : ''
  try {
    return password === '' ? [] : [decodeURIComponent(password)]
  } catch {
    return [password]
  }
}

const exampleProblems = (effective: EffectiveValues, isUsed: Reading['isUsed']): string[] =>
  (Object.keys(variables) as VariableName[]).flatMap((name) => {
    if (!variables[name].isSecret || !isUsed(name)) return []
    const values = [effective[name]].flat().filter((value) => typeof value === 'string')
    const isExample = values.some((value) => [value, ...passwordOfUrl(value)].some(isExampleValue))
    return isExample ? [`${name} is, or holds, a value from an example. Set one of your own.`] : []
  })

const refusedSettings = (effective: EffectiveValues, { isSet, isUsed }: Reading): string[] => {
  const checks: [name: VariableName, isRefused: boolean, text: string][] = [
    ['PORT', effective.PORT === 0, 'PORT must not be 0 in production. Name the port.'],
    [
      'RATELIMIT_ENABLED',
      !effective.RATELIMIT_ENABLED,
      'RATELIMIT_ENABLED must not be false in production. Remove it.',
    ],
    [
      'RATELIMIT_STORE',
      effective.RATELIMIT_STORE === 'memory',
      'RATELIMIT_STORE must not be memory in production: processes would count apart. Use auto.',
    ],
    [
      'ADMIN_REQUIRE_MFA',
      !effective.ADMIN_REQUIRE_MFA,
      'ADMIN_REQUIRE_MFA must not be false in production. Remove it.',
    ],
    [
      'ENFORCE_SUBSCRIPTION_GATE',
      effective.ENFORCE_SUBSCRIPTION_GATE && !isSet('REVENUECAT_WEBHOOK_SECRET'),
      'ENFORCE_SUBSCRIPTION_GATE=true needs REVENUECAT_WEBHOOK_SECRET: without it nobody could subscribe.',
    ],
    [
      'ALLOW_UNVERIFIED_PURCHASES',
      effective.ALLOW_UNVERIFIED_PURCHASES,
      'ALLOW_UNVERIFIED_PURCHASES must not be true in production. Remove it.',
    ],
    [
      'ALLOW_DEV_ON_NETWORK',
      effective.ALLOW_DEV_ON_NETWORK,
      'ALLOW_DEV_ON_NETWORK must not be true in production. Remove it.',
    ],
    [
      'SENTRY_TRACES_SAMPLE_RATE',
      effective.SENTRY_TRACES_SAMPLE_RATE > 0.1,
      'SENTRY_TRACES_SAMPLE_RATE must be at most 0.1 in production.',
    ],
    [
      'CORS_ORIGINS',
      effective.CORS_ORIGINS === 'any' || effective.CORS_ORIGINS.some((origin) => origin.startsWith('http:')),
      'CORS_ORIGINS must list https origins in production.',
    ],
    [
      'EMAIL_TRANSPORT',
      effective.EMAIL_TRANSPORT === 'outbox',
      isSet('EMAIL_TRANSPORT')
        ? 'EMAIL_TRANSPORT must not be outbox in production: mails would only be kept. Use resend or smtp.'
        : 'EMAIL_TRANSPORT is not set, and production needs a mail provider: set it to resend or smtp.',
    ],
  ]
  return checks.flatMap(([name, isRefused, text]) => (isRefused && isUsed(name) ? [text] : []))
}

const backendProblems = (backendUrl: string): string[] => {
  const { protocol, hostname } = new URL(backendUrl)
  return [
    ...(protocol === 'https:' ? [] : ['BACKEND_URL must start with https:// in production.']),
    ...(isLoopbackHost(hostname)
      ? ['BACKEND_URL must not point to this machine in production. Use the public address.']
      : []),
  ]
}

/** What production refuses, besides required variables that are missing (40 §10.1). */
export const productionProblems = (effective: EffectiveValues, reading: Reading): string[] => {
  const { isSet, isUsed } = reading
  const weakKey = effective.SECRET_KEY === null ? null : secretKeyProblem(effective.SECRET_KEY)
  return [
    ...(weakKey === null ? [] : [weakKey]),
    ...exampleProblems(effective, isUsed),
    ...(isSet('BACKEND_URL') && isUsed('BACKEND_URL') ? backendProblems(effective.BACKEND_URL) : []),
    ...refusedSettings(effective, reading),
    ...['ADMIN_PASSWORD', 'ADMIN_PASSWORD_HASH']
      .filter(isSet)
      .map((name) => `${name} is not supported: admins have accounts of their own. Remove it.`),
  ]
}

/**
 * The connections that all processes may open, plus five for operators, against the server's `max_connections`.
 * `null` = they fit. Else a warning, and in production a reason not to start (40 §10.3).
 */
export const connectionTotalProblem = (total: {
  poolSize: number
  processes: number
  maxConnections: number
}): string | null => {
  const needed = total.poolSize * total.processes + 5
  return needed <= total.maxConnections
    ? null
    : `DB_POOL_SIZE ${total.poolSize} × ${total.processes} processes + 5 = ${needed} connections, but the database allows ${total.maxConnections}. Lower DB_POOL_SIZE or raise max_connections.`
}
