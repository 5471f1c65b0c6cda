import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { loadConfig, type Config, type ProcessRole } from '../config.ts'

export type Env = Record<string, string | undefined>
type Options = { role?: ProcessRole; isTerminal?: boolean }

/** The configuration; fails the test when it is refused. */
export const ok = (env: Env, options: Options = {}): { config: Config; warnings: string[] } => {
  const loaded = loadConfig(env, options)
  if (loaded.kind === 'invalid') assert.fail(loaded.problems.join('\n'))
  return loaded
}

export const problemsOf = (env: Env, options: Options = {}): string[] => {
  const loaded = loadConfig(env, options)
  return loaded.kind === 'ok' ? [] : loaded.problems
}

export const secret = (): string => randomBytes(36).toString('base64')

/** A complete production environment with fresh credentials. */
export const production = (): Env => ({
  APP_ENV: 'production',
  SECRET_KEY: secret(),
  BACKEND_URL: 'https://api.dawnotemu.app',
  TRUSTED_PROXY_HOPS: '1',
  DATABASE_URL: `postgresql+psycopg://postgres:${randomBytes(12).toString('hex')}@db.internal:5432/dawnotemu`,
  AWS_REGION: 'eu-central-1',
  S3_BUCKET_NAME: 'recordings',
  PREFERRED_VOICE_SERVICE: 'elevenlabs',
  ELEVENLABS_API_KEY: `sk_${randomBytes(24).toString('hex')}`,
  RESEND_API_KEY: `re_${randomBytes(16).toString('hex')}`,
  REVENUECAT_WEBHOOK_SECRET: secret(),
  REVENUECAT_IOS_PUBLIC_KEY: `appl_${randomBytes(16).toString('hex')}`,
})
