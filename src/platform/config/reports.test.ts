import assert from 'node:assert/strict'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { test } from 'node:test'
import { describeConfig, loadConfig } from '../config.ts'
import { ok, type Env } from './config-fixtures.ts'
import { isOneEditApart } from './names.ts'
import { variables } from './variables.ts'

test('retired, unknown and nearly known names get one warning each, others none', () => {
  const billing = { REVENUECAT_WEBHOOK_SECRET: 's', REVENUECAT_ANDROID_PUBLIC_KEY: 'k' }
  const retired =
    'FLASK_DEBUG PYTHONPATH FRONTEND_URL CELERY_BROKER_URL REDBEAT_X MINIO_ROOT_USER STRIPE_KEY'.split(' ')
  const unknown =
    'ELEVENLABS_TIMEOUT SECRET_KEY_OLD SECRT_KEY DATABSE_URL PROT BACKEND_URLS LOADTEST_VOICE_ID_X'.split(' ')
  const foreign = 'PATH HOME AWS_PROFILE AWS_SESSION_TOKEN npm_config_x NODE_ENV LOADTEST_VOICE_ID_12'.split(
    ' ',
  )
  const env = Object.fromEntries([...retired, ...unknown, ...foreign].map((name) => [name, '1']))
  const { warnings } = ok({ ...billing, ...env })
  assert.equal(warnings.length, retired.length + unknown.length, warnings.join('\n'))
  for (const name of [...retired, ...unknown])
    assert.equal(warnings.filter((warning) => warning.startsWith(`${name} is `)).length, 1, name)
  assert.ok(warnings.some((warning) => warning.endsWith('Did you mean SECRET_KEY?')))
  assert.deepEqual(ok({ ...billing, FLASK_DEBUG: '' }).warnings, [])
  assert.match(ok({ ...billing, ADMIN_PASSWORD: 'x' }).warnings.join(), /^ADMIN_PASSWORD is ignored/)
})

test('one edit is an insertion, a deletion, a replacement or a swap', () => {
  for (const [left, right] of [
    ['PORT', 'PORTS'],
    ['PORT', 'PRT'],
    ['PORT', 'PERT'],
    ['PORT', 'PROT'],
    ['PORT', 'XPORT'],
  ] as const)
    assert.equal(isOneEditApart(left, right), true, right)
  for (const right of ['PORT', 'PO', 'TROP', 'POXX', 'PORTXY', 'OPTR'])
    assert.equal(isOneEditApart('PORT', right), false, right)
})

test('the subscription warning is there exactly when billing is incomplete', () => {
  const webhook = { REVENUECAT_WEBHOOK_SECRET: 's' }
  const key = { REVENUECAT_IOS_PUBLIC_KEY: 'k' }
  for (const env of [{}, webhook, key]) {
    const { warnings } = ok(env)
    assert.equal(warnings.filter((warning) => warning.includes('Subscription')).length, 1)
  }
  assert.deepEqual(ok({ ...webhook, ...key }).warnings, [])
})

test('no value is in any problem or warning, and no secret in the description', () => {
  const planted = 'PLANTED7c1e\u0007'
  const everywhere = Object.fromEntries(
    [
      ...Object.keys(variables),
      'ADMIN_API_KEYS',
      'ADMIN_PASSWORD',
      'FLASK_ENV',
      'SECRT_KEY',
      'STRIPE_KEY',
    ].map((name) => [name, planted]),
  )
  for (const role of ['all', 'cli'] as const)
    for (const APP_ENV of ['development', 'production', planted]) {
      const loaded = loadConfig({ ...everywhere, APP_ENV }, { role })
      assert.equal(loaded.kind, 'invalid')
      assert.ok(!JSON.stringify(loaded).includes('PLANTED'))
    }

  const secrets = Object.entries(variables).filter(([, variable]) => variable.isSecret)
  const urls: Env = {
    DATABASE_URL: 'postgres://u:PLANTED@h/d',
    DATABASE_MIGRATION_URL: 'postgres://u:PLANTED@h/d',
    REDIS_URL: 'redis://:PLANTED@h',
    SMTP_URL: 'smtp://u:PLANTED@h',
    SENTRY_DSN: 'https://PLANTED@h/1',
    AWS_REGION: 'eu-central-1',
    S3_BUCKET_NAME: 'b-1',
  }
  const { config } = ok({ ...Object.fromEntries(secrets.map(([name]) => [name, 'PLANTED'])), ...urls })
  const described = describeConfig(config)
  assert.ok(!JSON.stringify(described).includes('PLANTED'))
  for (const [name] of secrets) assert.equal(Reflect.get(described, name), 'set', name)
  assert.equal(describeConfig(ok({}).config).SECRET_KEY, 'unset')
  assert.deepEqual(Object.keys(described), Object.keys(variables))
  assert.equal(described.S3_BUCKET_NAME, 'b-1')
})

test('checking creates nothing', async (t) => {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'config-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  ok({ DATA_DIR: path.join(folder, 'data'), STORAGE_DIR: path.join(folder, 'files') })
  assert.deepEqual(await readdir(folder), [])
})

test('.env.example names every variable, is fit for development, and holds no secret', async () => {
  const example = await readFile(path.join(import.meta.dirname, '../../../.env.example'), 'utf8')
  const lines = [...example.matchAll(/^#?([A-Z][A-Z0-9_]*)=(.*)$/gm)]
  assert.deepEqual(
    lines.map(([, name]) => name),
    Object.keys(variables),
  )
  const active = [...example.matchAll(/^([A-Z][A-Z0-9_]*)=(.*)$/gm)].map(([, name, value]) => [name, value])
  assert.deepEqual(active, [['APP_ENV', 'development']])
  const all = Object.fromEntries(lines.map(([, name, value]) => [name, value]))
  assert.deepEqual(ok(all).config, ok({}).config)
  for (const [name, variable] of Object.entries(variables))
    if (variable.isSecret) assert.equal(all[name], '', name)
})
