import { variables } from './variables.ts'

/** Read besides the table: other names of `APP_ENV`, and numbered voices of the load test. */
const alsoKnown = [
  'FLASK_ENV',
  'NODE_ENV',
  'ADMIN_API_KEYS',
  'ADMIN_PASSWORD',
  'ADMIN_PASSWORD_HASH',
] as const
const knownForms = [/^LOADTEST_VOICE_ID_\d+$/]
const known: readonly string[] = [...Object.keys(variables), ...alsoKnown]

const retired = new Set([
  'SESSION_COOKIE_SECURE',
  'SESSION_COOKIE_SAMESITE',
  'FLASK_DEBUG',
  'FLASK_APP',
  'PYTHONPATH',
  'ENVIRONMENT',
  'FRONTEND_URL',
  'LOADTEST_ADMIN_API_KEY',
  'ELEVENLABS_SYNTH_TTL',
  'VOICE_SLOT_LOCK_SECONDS',
  'ENABLE_ELASTIC_VOICES',
  'VOICE_ALLOCATION_RETRY_LIMIT',
  'VOICE_RECORDING_ENCRYPTION',
  'ANNUAL_SUBSCRIPTION_CREDITS',
  'REVENUECAT_API_KEY',
  'REVENUECAT_PROJECT_ID',
])
const retiredPrefixes = ['CELERY_', 'REDBEAT_', 'MINIO_ROOT_', 'STRIPE_']

// `AWS_` as a whole is not ours: profiles and role tokens of the SDK live there.
const ownPrefixes = [
  'DAWNOTEMU_',
  'LOADTEST_',
  'MOCK_EL_',
  'SECRET_KEY',
  'RATELIMIT_',
  'PASSWORD_',
  'ADMIN_',
  'COVER_FETCH_',
  'AWS_S3_',
  'S3_',
  'MINIO_',
  'CLAMAV_',
  'ELEVENLABS_',
  'CARTESIA_',
  'VOICE_',
  'NARRATION_',
  'CREDITS_',
  'CREDIT_',
  'REVENUECAT_',
  'EMAIL_',
  'RESEND_',
  'SENTRY_',
  'SQLALCHEMY_',
  'DATABASE_',
  'DB_POOL_',
  'ALLOW_',
]

/** True for texts that one insertion, deletion, replacement or swap of neighbours makes equal; false for equal ones. */
export const isOneEditApart = (left: string, right: string): boolean => {
  const [short, long] = left.length <= right.length ? [left, right] : [right, left]
  if (left === right || long.length - short.length > 1) return false
  let start = 0
  while (start < short.length && short[start] === long[start]) start += 1
  const rest = (from: number, textOf: string): string => textOf.slice(from)
  if (short.length < long.length) return rest(start, short) === rest(start + 1, long)
  const isSwap = short[start] === long[start + 1] && short[start + 1] === long[start]
  return (
    rest(start + 1, short) === rest(start + 1, long) ||
    (isSwap && rest(start + 2, short) === rest(start + 2, long))
  )
}

const warningOf = (name: string): string | null => {
  if (retired.has(name) || retiredPrefixes.some((prefix) => name.startsWith(prefix)))
    return `${name} is no longer used and is ignored; remove it.`
  if (known.includes(name) || knownForms.some((form) => form.test(name))) return null
  const meant = known.find((candidate) => isOneEditApart(candidate, name))
  if (meant !== undefined) return `${name} is not a known variable and is ignored. Did you mean ${meant}?`
  if (ownPrefixes.some((prefix) => name.startsWith(prefix)))
    return `${name} is not a known variable and is ignored; check its spelling.`
  return null
}

/** One warning for each name that is retired, looks like ours, or is nearly one of ours. Values are never shown. */
export const checkNames = (names: readonly string[]): string[] =>
  names.toSorted().flatMap((name) => warningOf(name) ?? [])
