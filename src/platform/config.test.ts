import assert from 'node:assert/strict'
import path from 'node:path'
import { test } from 'node:test'
import { ok, problemsOf, production, type Env } from './config/config-fixtures.ts'
import { variables } from './config/variables.ts'

test('without any variable: development, embedded, every documented default', () => {
  const { config, warnings } = ok({})
  const { effective, release, ...rest } = config
  assert.match(release, /^\d+\.\d+\.\d+(\+[0-9a-f]{12})?$/)
  assert.equal(effective.APP_RELEASE, release)
  assert.equal(warnings.length, 1)
  assert.match(warnings[0] ?? '', /Subscription/)
  assert.deepEqual(rest, {
    environment: 'development',
    role: 'all',
    secrets: { key: null, previous: [] },
    paths: { dataDir: path.resolve('.data') },
    http: {
      host: '127.0.0.1',
      port: 8000,
      publicUrl: 'http://localhost:8000',
      processes: 1,
      trustedProxyHops: 0,
      corsOrigins: 'any',
      shutdownTimeoutSeconds: 30,
    },
    database: {
      url: null,
      migrationUrl: null,
      poolSize: 10,
      poolTimeoutSeconds: 20,
      statementTimeoutMs: 15_000,
    },
    redis: { url: null },
    jobs: { concurrency: 8 },
    storage: { bucket: null, directory: path.resolve('.data/objects') },
    malwareScan: null,
    speech: {
      preferred: 'local',
      elevenlabs: {
        apiKey: null,
        baseUrl: 'https://api.elevenlabs.io/v1',
        model: 'eleven_flash_v2_5',
        slotLimit: 30,
        concurrency: 5,
      },
      cartesia: {
        apiKey: null,
        baseUrl: 'https://api.cartesia.ai',
        model: 'sonic-3.5',
        slotLimit: null,
        concurrency: 3,
      },
      local: { concurrency: 2 },
    },
    voices: {
      warmHoldSeconds: 900,
      queuePollSeconds: 60,
      maxIdleHours: 24,
      providerPrefix: 'dt-development-',
      maxPerUser: 20,
    },
    narrations: { waitLimitSeconds: 7200, speechLimitSeconds: 1800 },
    credits: {
      unitLabel: 'Story Points (Punkty Magii)',
      unitSize: 1000,
      initial: 10,
      sourcesPriority: ['event', 'monthly', 'referral', 'add_on', 'free'],
      monthlyDefault: 0,
    },
    subscriptions: {
      isGateEnforced: false,
      monthlyPlanCredits: 26,
      yearlyPlanMonthlyCredits: 30,
      yearlyProductIds: ['dawnotemu_annual', 'dawnotemu_yearly'],
      webhookEventRetentionDays: 90,
      webhookSecret: null,
      webhookSigningSecret: null,
      iosPublicKey: null,
      androidPublicKey: null,
      storeApiBaseUrl: 'https://api.revenuecat.com',
      allowsSandboxPurchases: true,
      allowsUnverifiedPurchases: false,
    },
    registration: { mode: 'open', termsVersion: '1', trialDays: 14 },
    passwords: { hashConcurrency: 4, memoryKib: 19_456, timeCost: 2, breachedUrl: null },
    rateLimit: { isEnabled: true, store: 'postgres' },
    proofOfWork: { cost: null },
    admin: {
      requiresMfa: false,
      sessionIdleSeconds: 1800,
      sessionMaxSeconds: 43_200,
      stepUpSeconds: 300,
      allowedCidrs: [],
      grantMax: 1000,
      grantReviewAbove: 200,
      imageMaxBytes: 5_242_880,
      coverFetchHosts: ['dawnotemu.app', 'www.dawnotemu.app'],
    },
    email: {
      transport: 'outbox',
      resend: { apiKey: null, baseUrl: 'https://api.resend.com', webhookSecret: null },
      smtpUrl: null,
      from: 'no-reply@dawnotemu.app',
      replyTo: 'pomoc@dawnotemu.app',
      optionalKinds: [],
      assetBaseUrl: 'https://www.dawnotemu.app/images',
    },
    observability: {
      logLevel: 'info',
      logFormat: 'json',
      sentryDsn: null,
      tracesSampleRate: 0,
      metricsToken: null,
    },
    commandLine: { server: null, apiKey: null },
    loadTest: {
      host: null,
      userCount: 50,
      userPassword: null,
      userEmailTemplate: 'loadtest+{n}@dawnotemu.test',
      voiceId: 1,
      voiceIds: new Map(),
      storyIds: [1, 2, 3, 4, 5],
    },
    mockSpeech: {
      latencyMinSeconds: 2,
      latencyMaxSeconds: 5,
      errorRate: 0.05,
      rateLimitAfter: 5,
      slotLimit: 30,
      port: 11_411,
    },
  })
})

test('defaults that differ by mode', () => {
  const inTest = ok({ APP_ENV: 'test' }).config
  const live = ok(production()).config
  assert.deepEqual([inTest.http.host, live.http.host], ['127.0.0.1', '0.0.0.0'])
  assert.deepEqual([inTest.admin.requiresMfa, live.admin.requiresMfa], [true, true])
  assert.deepEqual(
    [inTest.subscriptions.allowsSandboxPurchases, live.subscriptions.allowsSandboxPurchases],
    [true, false],
  )
  assert.deepEqual(live.http.corsOrigins, ['https://dawnotemu.app', 'https://*.dawnotemu.app'])
  assert.equal(live.voices.providerPrefix, 'dt-production-')
  assert.equal(live.email.transport, 'resend')
  assert.equal(live.database.url?.startsWith('postgresql://postgres:'), true)
})

test('blank is unset', () => {
  const blank = Object.fromEntries(Object.keys(variables).map((name) => [name, '  ']))
  const { config, warnings } = ok(blank)
  assert.deepEqual(config, ok({}).config)
  // The numbers of 30 §15 say that they fell back.
  const lenient = Object.values(variables).filter((variable) => variable.isLenient)
  assert.equal(warnings.filter((warning) => warning.includes('is blank')).length, lenient.length)
})

test('the mode comes from APP_ENV, else FLASK_ENV, else NODE_ENV', () => {
  const modeOf = (env: Env) => ok({ ...production(), APP_ENV: undefined, ...env }).config.environment
  assert.equal(modeOf({ NODE_ENV: 'production' }), 'production')
  assert.equal(modeOf({ NODE_ENV: 'staging' }), 'development')
  assert.equal(modeOf({ FLASK_ENV: 'production' }), 'production')
  assert.equal(modeOf({ FLASK_ENV: 'production', APP_ENV: 'test' }), 'test')
  assert.equal(modeOf({ NODE_ENV: 'production', APP_ENV: 'development' }), 'development')
  assert.match(problemsOf({ ...production(), APP_ENV: 'prod' }).join(), /APP_ENV must be one of/)
  assert.match(problemsOf({ FLASK_ENV: 'prod' }).join(), /FLASK_ENV must be one of/)
})

test('the public address follows host and port until it is set', () => {
  const urlOf = (env: Env) => ok(env).config.http.publicUrl
  assert.equal(urlOf({ PORT: '9123' }), 'http://localhost:9123')
  assert.equal(urlOf({ PORT: '9123', HOST: '127.0.0.2' }), 'http://127.0.0.2:9123')
  assert.equal(urlOf({ HOST: '192.168.1.5', ALLOW_DEV_ON_NETWORK: 'true' }), 'http://192.168.1.5:8000')
  assert.equal(urlOf({ HOST: '0.0.0.0', ALLOW_DEV_ON_NETWORK: 'true' }), 'http://localhost:8000')
  assert.equal(urlOf({ PORT: '9123', BACKEND_URL: 'http://localhost:1/' }), 'http://localhost:1')
  assert.match(problemsOf({ BACKEND_URL: 'http://localhost/path' }).join(), /BACKEND_URL/)
})

test('port 0 is for development and tests', () => {
  assert.equal(ok({ PORT: '0' }).config.http.port, 0)
  assert.equal(ok({ PORT: '0', APP_ENV: 'test' }).config.http.port, 0)
  assert.match(problemsOf({ ...production(), PORT: '0' }).join(), /^PORT must not be 0/)
})

test('earlier names of v1 are understood', () => {
  const poolOf = (env: Env) => ok(env).config.database.poolSize
  assert.equal(poolOf({ SQLALCHEMY_POOL_SIZE: '7' }), 12)
  assert.equal(poolOf({ SQLALCHEMY_MAX_OVERFLOW: '0' }), 5)
  assert.equal(poolOf({ SQLALCHEMY_POOL_SIZE: '7', SQLALCHEMY_MAX_OVERFLOW: '3' }), 10)
  assert.equal(poolOf({ SQLALCHEMY_POOL_SIZE: '7', DB_POOL_SIZE: '4' }), 4)
  assert.equal(ok({ DATABASE_URL: 'postgresql+psycopg://a@h/d' }).config.database.url, 'postgresql://a@h/d')
})

test('providers, transports and stores follow from what is set', () => {
  const preferred = (env: Env) => ok(env).config.speech.preferred
  assert.equal(preferred({ CARTESIA_API_KEY: 'k' }), 'cartesia')
  assert.equal(preferred({ CARTESIA_API_KEY: 'k', ELEVENLABS_API_KEY: 'k' }), 'elevenlabs')
  assert.equal(ok({ SMTP_URL: 'smtp://mail:25' }).config.email.transport, 'smtp')
  assert.equal(ok({ REDIS_URL: 'redis://h' }).config.rateLimit.store, 'redis')
  assert.equal(ok({ DATA_DIR: '/tmp/x' }).config.storage.directory, '/tmp/x/objects')
  assert.equal(ok({}, { isTerminal: true }).config.observability.logFormat, 'pretty')
  assert.equal(ok(production(), { isTerminal: true }).config.observability.logFormat, 'json')
  assert.deepEqual(ok({ COVER_FETCH_ALLOWED_HOSTS: 'none' }).config.admin.coverFetchHosts, [])
  assert.deepEqual(ok({ CREDIT_SOURCES_PRIORITY: ' Free , event,free' }).config.credits.sourcesPriority, [
    'free',
    'event',
  ])
  assert.deepEqual(ok({ CREDIT_SOURCES_PRIORITY: ',' }).config.credits.sourcesPriority, [])
  assert.deepEqual(ok({ ELEVENLABS_SLOT_LIMIT: '0' }).config.speech.elevenlabs.slotLimit, null)
  assert.equal(ok({ VOICE_QUEUE_POLL_INTERVAL: '0' }).config.voices.queuePollSeconds, 60)
  assert.equal(ok({ ENFORCE_SUBSCRIPTION_GATE: ' On ' }).config.subscriptions.isGateEnforced, true)
})

test('a value that cannot be read is a problem, never a silent default', () => {
  const bad: Env = {
    PORT: '80x',
    WEB_CONCURRENCY: '0',
    PROCESS_ROLE: 'boss',
    BACKEND_URL: 'dawnotemu',
    CORS_ORIGINS: 'dawnotemu.app',
    REGISTRATION_MODE: 'maybe',
    LOG_LEVEL: 'loud',
    DATABASE_URL: 'mysql://h/d',
    DB_POOL_SIZE: '-1',
    DB_STATEMENT_TIMEOUT_MS: '1.5',
    REDIS_URL: 'http://h',
    RATELIMIT_ENABLED: 'maybe',
    PASSWORD_MEMORY_KIB: '1024',
    PASSWORD_TIME_COST: '1',
    SESSION_TIMEOUT: '299',
    ADMIN_ALLOWED_CIDRS: '10.0.0.0/33',
    CLAMAV_PORT: '70000',
    PREFERRED_VOICE_SERVICE: 'siri',
    ELEVENLABS_SLOT_LIMIT: 'many',
    CREDITS_UNIT_LABEL: 'Coins',
    RESEND_FROM_EMAIL: 'nobody',
    EMAIL_OPTIONAL_KINDS: 'story_ready,unknown',
    SENTRY_TRACES_SAMPLE_RATE: '2',
    SENTRY_DSN: 'x',
    SECRET_KEY: 'line\nbreak',
  }
  const problems = problemsOf(bad)
  for (const name of Object.keys(bad))
    assert.equal(problems.filter((problem) => problem.startsWith(`${name} must be `)).length, 1, name)
  assert.equal(problems.length, Object.keys(bad).length)
})

test('point and trial numbers fall back with a warning that names them', () => {
  const wrong: Env = {
    CREDITS_UNIT_SIZE: '0',
    INITIAL_CREDITS: '-1',
    TRIAL_DURATION_DAYS: 'x',
    MONTHLY_SUBSCRIPTION_CREDITS: '1.5',
    YEARLY_SUBSCRIPTION_MONTHLY_CREDITS: '0',
    MONTHLY_CREDITS_DEFAULT: '-5',
    WEBHOOK_EVENT_RETENTION_DAYS: 'forever',
    ADMIN_GRANT_MAX: '99999999999',
  }
  const { config, warnings } = ok(wrong)
  const standard = ok({}).config
  assert.deepEqual(config.credits, standard.credits)
  assert.deepEqual(config.subscriptions, standard.subscriptions)
  assert.equal(config.registration.trialDays, 14)
  assert.equal(config.admin.grantMax, 1000)
  for (const name of Object.keys(wrong))
    assert.equal(warnings.filter((warning) => warning.startsWith(`${name} must be`)).length, 1, name)
})

test('each role checks only what it uses', () => {
  assert.deepEqual(problemsOf({ SESSION_TIMEOUT: 'x' }, { role: 'worker' }), [])
  assert.equal(problemsOf({ SESSION_TIMEOUT: 'x' }, { role: 'web' }).length, 1)
  assert.deepEqual(problemsOf({ RESEND_API_BASE_URL: 'x' }, { role: 'web' }), [])
  assert.equal(problemsOf({ RESEND_API_BASE_URL: 'x', PROCESS_ROLE: 'worker' }).length, 1)
  assert.deepEqual(problemsOf({ LOADTEST_HOST: 'x' }), [])
  assert.equal(problemsOf({ LOADTEST_HOST: 'x', LOADTEST_VOICE_ID_3: 'y' }, { role: 'cli' }).length, 2)
  assert.deepEqual(
    ok({ LOADTEST_VOICE_ID_3: '12' }, { role: 'cli' }).config.loadTest.voiceIds,
    new Map([[3, 12]]),
  )
  const { SECRET_KEY, DATABASE_URL } = production()
  assert.deepEqual(problemsOf({ APP_ENV: 'production', SECRET_KEY, DATABASE_URL }, { role: 'scheduler' }), [])
  assert.deepEqual(ok(production(), { role: 'worker' }).config.role, 'worker')
})

test('development listens beyond this machine only when told so', () => {
  for (const APP_ENV of ['development', 'test']) {
    for (const HOST of ['0.0.0.0', '::', '192.168.1.5', 'example.com'])
      assert.match(problemsOf({ APP_ENV, HOST }).join(), /^HOST must be a loopback address/)
    for (const HOST of ['127.0.0.1', '127.8.8.8', '::1', 'localhost'])
      assert.deepEqual(problemsOf({ APP_ENV, HOST }), [])
  }
  assert.deepEqual(problemsOf({ HOST: '0.0.0.0', ALLOW_DEV_ON_NETWORK: 'true' }), [])
  assert.deepEqual(problemsOf({ HOST: '0.0.0.0' }, { role: 'worker' }), [])
})

test('half-set storage and narration limits that contradict each other are problems', () => {
  const keys = { AWS_ACCESS_KEY_ID: 'x1', AWS_SECRET_ACCESS_KEY: 'x2' }
  const bucket = { AWS_REGION: 'eu-central-1', S3_BUCKET_NAME: 'b-1' }
  assert.equal(ok(bucket).config.storage.bucket?.credentials, null)
  assert.equal(ok({ ...bucket, ...keys }).config.storage.bucket?.credentials?.accessKeyId, 'x1')
  assert.match(problemsOf(keys).join(), /^AWS_REGION and S3_BUCKET_NAME must be set too/)
  assert.match(problemsOf({ S3_BUCKET_NAME: 'b-1' }).join(), /^AWS_REGION must be set too/)
  assert.match(problemsOf({ ...bucket, AWS_ACCESS_KEY_ID: 'x1' }).join(), /^AWS_SECRET_ACCESS_KEY must/)
  assert.match(problemsOf({ NARRATION_WAIT_LIMIT_SECONDS: '1200' }).join(), /^NARRATION_WAIT_LIMIT_SECONDS/)
  assert.deepEqual(problemsOf({ NARRATION_WAIT_LIMIT_SECONDS: '1201' }), [])
  assert.match(problemsOf({ RATELIMIT_STORE: 'redis' }).join(), /^REDIS_URL is not set/)
  assert.equal(problemsOf({ PASSWORD_MEMORY_KIB: '262145', PASSWORD_TIME_COST: '11' }).length, 2)
})
