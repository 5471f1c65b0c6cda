import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { connectionTotalProblem } from '../config.ts'
import { problemsOf, production, secret, type Env } from './config-fixtures.ts'
import { estimateBits } from './secret-strength.ts'

const refusals: [name: string, env: Env, says: RegExp][] = [
  ['no secret', { SECRET_KEY: '' }, /^SECRET_KEY is not set/],
  ['a short secret', { SECRET_KEY: secret().slice(0, 31) }, /^SECRET_KEY is shorter than 32 bytes/],
  ['a repeated secret', { SECRET_KEY: 'aB3$'.repeat(12) }, /^SECRET_KEY can be guessed/],
  [
    'a sequence as secret',
    { SECRET_KEY: 'abcdefghijklmnopqrstuvwxyz0123456789' },
    /^SECRET_KEY can be guessed/,
  ],
  ['words as secret', { SECRET_KEY: 'dawnotemu-production-secret-2026' }, /^SECRET_KEY can be guessed/],
  [
    'an example secret',
    { SECRET_KEY: `change-me-${secret()}` },
    /^SECRET_KEY is, or holds, a value from an example/,
  ],
  [
    'an example of earlier secrets',
    { SECRET_KEY_PREVIOUS: `changeme,${secret()}` },
    /^SECRET_KEY_PREVIOUS is, or/,
  ],
  [
    'an example storage key',
    { AWS_ACCESS_KEY_ID: 'local', AWS_SECRET_ACCESS_KEY: 'minio123' },
    /^AWS_SECRET_/,
  ],
  [
    'an example database password',
    { DATABASE_URL: 'postgres://a:postgres@db/d' },
    /^DATABASE_URL is, or holds/,
  ],
  ['an example Redis password', { REDIS_URL: 'redis://:changeme@r' }, /^REDIS_URL is, or holds/],
  ['an example webhook secret', { REVENUECAT_WEBHOOK_SECRET: 'changeme' }, /^REVENUECAT_WEBHOOK_SECRET is/],
  ['plain HTTP', { BACKEND_URL: 'http://api.dawnotemu.app' }, /^BACKEND_URL must start with https/],
  ['a local address', { BACKEND_URL: 'https://localhost' }, /^BACKEND_URL must not point to this machine/],
  ['a local address in digits', { BACKEND_URL: 'https://127.1:8443' }, /^BACKEND_URL must not point/],
  ['a local IPv6 address', { BACKEND_URL: 'https://[::1]' }, /^BACKEND_URL must not point/],
  ['no address', { BACKEND_URL: '' }, /^BACKEND_URL is not set/],
  ['no database', { DATABASE_URL: '' }, /^DATABASE_URL is not set/],
  ['no bucket', { S3_BUCKET_NAME: ' ' }, /^S3_BUCKET_NAME is not set/],
  ['no region', { AWS_REGION: '' }, /^AWS_REGION is not set/],
  ['one storage key of two', { AWS_ACCESS_KEY_ID: 'x1' }, /^AWS_SECRET_ACCESS_KEY must be set too/],
  ['no mail provider', { RESEND_API_KEY: '' }, /^EMAIL_TRANSPORT is not set/],
  ['the outbox', { EMAIL_TRANSPORT: 'outbox' }, /^EMAIL_TRANSPORT must not be outbox/],
  [
    'a transport without access',
    { EMAIL_TRANSPORT: 'smtp' },
    /^SMTP_URL is not set, and EMAIL_TRANSPORT=smtp/,
  ],
  ['no proxy count', { TRUSTED_PROXY_HOPS: '' }, /^TRUSTED_PROXY_HOPS is not set/],
  ['no voice provider', { PREFERRED_VOICE_SERVICE: '' }, /^PREFERRED_VOICE_SERVICE is not set/],
  ['a provider without key', { PREFERRED_VOICE_SERVICE: 'cartesia' }, /^CARTESIA_API_KEY is not set/],
  ['limits off', { RATELIMIT_ENABLED: 'false' }, /^RATELIMIT_ENABLED must not be false/],
  ['limits in memory', { RATELIMIT_STORE: 'memory' }, /^RATELIMIT_STORE must not be memory/],
  ['one factor', { ADMIN_REQUIRE_MFA: 'no' }, /^ADMIN_REQUIRE_MFA must not be false/],
  ['a shared password', { ADMIN_PASSWORD: 'x' }, /^ADMIN_PASSWORD is not supported/],
  ['a hash of it', { ADMIN_PASSWORD_HASH: 'x' }, /^ADMIN_PASSWORD_HASH is not supported/],
  [
    'a gate nobody can pass',
    { ENFORCE_SUBSCRIPTION_GATE: 'true', REVENUECAT_WEBHOOK_SECRET: '' },
    /^ENFORCE_SUBSCRIPTION_GATE=true needs REVENUECAT_WEBHOOK_SECRET/,
  ],
  ['unverified purchases', { ALLOW_UNVERIFIED_PURCHASES: '1' }, /^ALLOW_UNVERIFIED_PURCHASES must not/],
  ['the network switch of development', { ALLOW_DEV_ON_NETWORK: 'true' }, /^ALLOW_DEV_ON_NETWORK must not/],
  ['many traces', { SENTRY_TRACES_SAMPLE_RATE: '0.2' }, /^SENTRY_TRACES_SAMPLE_RATE must be at most 0.1/],
  ['any origin', { CORS_ORIGINS: 'any' }, /^CORS_ORIGINS must list https/],
]

for (const [name, env, says] of refusals)
  test(`production refuses ${name}`, () => {
    assert.deepEqual(problemsOf(production()), [])
    const problems = problemsOf({ ...production(), ...env })
    assert.ok(
      problems.some((problem) => says.test(problem)),
      problems.join('\n') || 'nothing was refused',
    )
  })

test('all problems are reported at once', () => {
  const everything = Object.assign({}, ...refusals.map(([, env]) => env)) as Env
  const names = new Set(
    problemsOf({ ...production(), ...everything }).map((problem) => problem.split(/[ =]/)[0]),
  )
  assert.ok(names.size >= 18, [...names].join())
})

test('good secrets pass, and local speech by name', () => {
  for (let round = 0; round < 200; round += 1) {
    const hex = randomBytes(32).toString('hex')
    assert.ok(estimateBits(hex) >= 128, hex)
    assert.ok(estimateBits(secret()) >= 128)
  }
  const env = { ...production(), PREFERRED_VOICE_SERVICE: 'local', ELEVENLABS_API_KEY: '' }
  assert.deepEqual(problemsOf(env), [])
})

test('ADMIN_API_KEYS is refused in every mode and role, with the way out', () => {
  const message =
    'ADMIN_API_KEYS is no longer supported. Create a key with: dawnotemu keys create --name <name> --scopes stories:write'
  for (const env of [{}, { APP_ENV: 'test' }, production()])
    for (const role of ['web', 'worker', 'scheduler', 'all'] as const)
      assert.deepEqual(problemsOf({ ...env, ADMIN_API_KEYS: 'planted' }, { role }), [message])
})

test('the connection total counts five for operators', () => {
  assert.equal(connectionTotalProblem({ poolSize: 10, processes: 9, maxConnections: 95 }), null)
  assert.match(
    connectionTotalProblem({ poolSize: 10, processes: 10, maxConnections: 104 }) ?? '',
    /= 105 connections/,
  )
})
