import path from 'node:path'
import { readRelease } from './release.ts'
import type { Reading } from './read-values.ts'

const localHosts = new Set(['localhost', '127.0.0.1', '::1', '0.0.0.0', '::'])

const localUrl = (host: string, port: number): string => {
  const name = localHosts.has(host) ? 'localhost' : host
  return `http://${name.includes(':') ? `[${name}]` : name}:${port}`
}

const preferredProvider = (
  hasElevenLabs: boolean,
  hasCartesia: boolean,
): 'elevenlabs' | 'cartesia' | 'local' => {
  if (hasElevenLabs) return 'elevenlabs'
  return hasCartesia ? 'cartesia' : 'local'
}

const mailTransport = (hasResend: boolean, hasSmtp: boolean): 'resend' | 'smtp' | 'outbox' => {
  if (hasResend) return 'resend'
  return hasSmtp ? 'smtp' : 'outbox'
}

/** Fills in the defaults that follow from other variables. */
export const withDerivedDefaults = ({ values, environment, isSet }: Reading, isTerminal: boolean) => {
  const dataDir = path.resolve(values.DATA_DIR)
  const isPoolOfEarlierNames = isSet('SQLALCHEMY_POOL_SIZE') || isSet('SQLALCHEMY_MAX_OVERFLOW')
  const earlierPool = (values.SQLALCHEMY_POOL_SIZE ?? 5) + (values.SQLALCHEMY_MAX_OVERFLOW ?? 5)
  const redisOrPostgres = values.REDIS_URL === null ? 'postgres' : 'redis'
  return {
    ...values,
    APP_ENV: environment,
    DATA_DIR: dataDir,
    STORAGE_DIR:
      values.STORAGE_DIR === null ? path.join(dataDir, 'objects') : path.resolve(values.STORAGE_DIR),
    BACKEND_URL: values.BACKEND_URL ?? localUrl(values.HOST, values.PORT),
    APP_RELEASE: values.APP_RELEASE ?? readRelease(),
    LOG_FORMAT: values.LOG_FORMAT ?? (environment === 'development' && isTerminal ? 'pretty' : 'json'),
    DATABASE_MIGRATION_URL: values.DATABASE_MIGRATION_URL ?? values.DATABASE_URL,
    DB_POOL_SIZE: values.DB_POOL_SIZE ?? (isPoolOfEarlierNames ? earlierPool : 10),
    RATELIMIT_STORE: values.RATELIMIT_STORE === 'auto' ? redisOrPostgres : values.RATELIMIT_STORE,
    PREFERRED_VOICE_SERVICE:
      values.PREFERRED_VOICE_SERVICE ??
      preferredProvider(values.ELEVENLABS_API_KEY !== null, values.CARTESIA_API_KEY !== null),
    EMAIL_TRANSPORT:
      values.EMAIL_TRANSPORT ?? mailTransport(values.RESEND_API_KEY !== null, values.SMTP_URL !== null),
    PROVIDER_VOICE_PREFIX: values.PROVIDER_VOICE_PREFIX.replaceAll('{environment}', environment),
  } as const
}

/** Every variable with the value that is in force. */
export type EffectiveValues = ReturnType<typeof withDerivedDefaults>
