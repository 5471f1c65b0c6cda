import { BlockList, isIP } from 'node:net'
import type { EffectiveValues } from './defaults.ts'
import type { Reading } from './read-values.ts'
import type { VariableName } from './variables.ts'

const loopback = new BlockList()
loopback.addSubnet('127.0.0.0', 8, 'ipv4')
loopback.addAddress('::1', 'ipv6')

/** True for names and addresses of this machine; brackets of a URL are allowed. 0.0.0.0 is not one to listen on. */
export const isLoopbackHost = (hostname: string): boolean => {
  const name = hostname
    .replace(/^\[|\]$/g, '')
    .replace(/\.$/, '')
    .toLowerCase()
  const version = isIP(name)
  if (version === 0) return name === 'localhost' || name.endsWith('.localhost')
  return loopback.check(name, version === 4 ? 'ipv4' : 'ipv6')
}

const storageProblems = ({ environment, isSet, isUsed }: Reading): string[] => {
  if (!isUsed('S3_BUCKET_NAME')) return []
  const group = ['AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY', 'AWS_REGION', 'S3_BUCKET_NAME']
  const [keyId = '', secretKey = '', ...required] = group
  if (!group.some(isSet)) return []
  const missing = [
    // Keys may come from the machine's role, so neither is fine. In production the other two are reported as required.
    ...(isSet(keyId) === isSet(secretKey) ? [] : [keyId, secretKey]),
    ...(environment === 'production' ? [] : required),
  ].filter((name) => !isSet(name))
  return missing.length === 0
    ? []
    : [
        `${missing.join(' and ')} must be set too, because ${group.filter(isSet).join(' and ')} ${group.filter(isSet).length === 1 ? 'is' : 'are'}: object storage needs S3_BUCKET_NAME and AWS_REGION, and both keys or neither.`,
      ]
}

const networkProblems = (effective: EffectiveValues, { environment, isUsed }: Reading): string[] =>
  environment === 'production' ||
  !isUsed('HOST') ||
  effective.ALLOW_DEV_ON_NETWORK ||
  isLoopbackHost(effective.HOST)
    ? []
    : [
        `HOST must be a loopback address such as 127.0.0.1 while APP_ENV is ${environment}. Set APP_ENV=production, or ALLOW_DEV_ON_NETWORK=true if others may reach this server.`,
      ]

/** Problems between variables, in every mode. */
export const crossProblems = (effective: EffectiveValues, reading: Reading): string[] => {
  const { isSet, isUsed } = reading
  const needs: [user: string, isChosen: boolean, needed: VariableName][] = [
    ['EMAIL_TRANSPORT=resend', effective.EMAIL_TRANSPORT === 'resend', 'RESEND_API_KEY'],
    ['EMAIL_TRANSPORT=smtp', effective.EMAIL_TRANSPORT === 'smtp', 'SMTP_URL'],
    [
      'PREFERRED_VOICE_SERVICE=elevenlabs',
      effective.PREFERRED_VOICE_SERVICE === 'elevenlabs',
      'ELEVENLABS_API_KEY',
    ],
    [
      'PREFERRED_VOICE_SERVICE=cartesia',
      effective.PREFERRED_VOICE_SERVICE === 'cartesia',
      'CARTESIA_API_KEY',
    ],
    [
      'RATELIMIT_STORE=redis',
      isUsed('RATELIMIT_STORE') && effective.RATELIMIT_STORE === 'redis',
      'REDIS_URL',
    ],
  ]
  const shortestWait = effective.VOICE_WARM_HOLD_SECONDS + 300
  return [
    ...(isSet('ADMIN_API_KEYS')
      ? [
          'ADMIN_API_KEYS is no longer supported. Create a key with: dawnotemu keys create --name <name> --scopes stories:write',
        ]
      : []),
    ...networkProblems(effective, reading),
    ...storageProblems(reading),
    ...needs.flatMap(([user, isChosen, needed]) =>
      isChosen && isUsed(needed) && !isSet(needed) ? [`${needed} is not set, and ${user} needs it.`] : [],
    ),
    ...(isUsed('NARRATION_WAIT_LIMIT_SECONDS') && effective.NARRATION_WAIT_LIMIT_SECONDS <= shortestWait
      ? [`NARRATION_WAIT_LIMIT_SECONDS must be more than VOICE_WARM_HOLD_SECONDS + 300 (${shortestWait}).`]
      : []),
    ...(isUsed('MOCK_EL_LATENCY_MAX') && effective.MOCK_EL_LATENCY_MAX < effective.MOCK_EL_LATENCY_MIN
      ? ['MOCK_EL_LATENCY_MAX must not be less than MOCK_EL_LATENCY_MIN.']
      : []),
  ]
}

/** What is worth saying, but no reason to stop. */
export const crossWarnings = ({ environment, isSet, isUsed }: Reading): string[] => {
  const billing = [
    ...(isUsed('REVENUECAT_WEBHOOK_SECRET') && !isSet('REVENUECAT_WEBHOOK_SECRET')
      ? ['REVENUECAT_WEBHOOK_SECRET is not set (every webhook is answered 401)']
      : []),
    ...(isUsed('REVENUECAT_IOS_PUBLIC_KEY') &&
    !isSet('REVENUECAT_IOS_PUBLIC_KEY') &&
    !isSet('REVENUECAT_ANDROID_PUBLIC_KEY')
      ? ['neither REVENUECAT_IOS_PUBLIC_KEY nor REVENUECAT_ANDROID_PUBLIC_KEY is set (packs are refused)']
      : []),
  ]
  return [
    ...(environment === 'production' ? [] : ['ADMIN_PASSWORD', 'ADMIN_PASSWORD_HASH'])
      .filter(isSet)
      .map((name) => `${name} is ignored: admins have accounts of their own. Production refuses it.`),
    ...(billing.length === 0 ? [] : [`Subscription billing is incomplete: ${billing.join('; ')}.`]),
  ]
}
