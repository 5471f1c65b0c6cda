import type { EffectiveValues } from './defaults.ts'

/** Which part of the server a process is; `cli` is the command line. */
export type ProcessRole = 'web' | 'worker' | 'scheduler' | 'all' | 'cli'

const clamavOf = (effective: EffectiveValues) =>
  effective.CLAMAV_HOST === null ? null : { host: effective.CLAMAV_HOST, port: effective.CLAMAV_PORT }

/** `null` = files in a folder. Without keys the machine's role is asked for them. */
const bucketOf = (effective: EffectiveValues) => {
  const { S3_BUCKET_NAME: name, AWS_REGION: region } = effective
  if (name === null || region === null) return null
  const { AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey } = effective
  return {
    name,
    region,
    credentials: accessKeyId === null || secretAccessKey === null ? null : { accessKeyId, secretAccessKey },
    isEncryptedAtRest: effective.AWS_S3_USE_SSE,
    endpoint: effective.AWS_S3_ENDPOINT_URL,
    addressingStyle: effective.AWS_S3_ADDRESSING_STYLE,
    usesTls: effective.AWS_S3_USE_SSL,
    /** Links are signed for this scheme and host; `null` = the endpoint's. */
    publicEndpoint: effective.MINIO_PUBLIC_ENDPOINT,
    maxConnections: effective.AWS_MAX_POOL_CONNECTIONS,
    maxRetries: effective.AWS_MAX_RETRIES,
  }
}

const speechOf = (effective: EffectiveValues) => ({
  preferred: effective.PREFERRED_VOICE_SERVICE,
  elevenlabs: {
    apiKey: effective.ELEVENLABS_API_KEY,
    baseUrl: effective.ELEVENLABS_API_URL,
    model: effective.ELEVENLABS_MODEL_ID,
    /** Cloned voices at once; `null` = unlimited. Also below. */
    slotLimit: effective.ELEVENLABS_SLOT_LIMIT,
    concurrency: effective.ELEVENLABS_SYNTHESIS_CONCURRENCY,
  },
  cartesia: {
    apiKey: effective.CARTESIA_API_KEY,
    baseUrl: effective.CARTESIA_API_URL,
    model: effective.CARTESIA_MODEL_ID,
    slotLimit: effective.CARTESIA_SLOT_LIMIT,
    concurrency: effective.CARTESIA_SYNTHESIS_CONCURRENCY,
  },
  local: { concurrency: effective.LOCAL_SPEECH_CONCURRENCY },
})

const narrationOf = (effective: EffectiveValues) => ({
  voices: {
    warmHoldSeconds: effective.VOICE_WARM_HOLD_SECONDS,
    queuePollSeconds: effective.VOICE_QUEUE_POLL_INTERVAL,
    /** 0 = idle voices stay. */
    maxIdleHours: effective.VOICE_MAX_IDLE_HOURS,
    providerPrefix: effective.PROVIDER_VOICE_PREFIX,
    maxPerUser: effective.MAX_VOICES_PER_USER,
  },
  narrations: {
    waitLimitSeconds: effective.NARRATION_WAIT_LIMIT_SECONDS,
    speechLimitSeconds: effective.NARRATION_SPEECH_LIMIT_SECONDS,
  },
})

const moneyOf = (effective: EffectiveValues) => ({
  credits: {
    unitLabel: effective.CREDITS_UNIT_LABEL,
    /** Code points of story text per point. */
    unitSize: effective.CREDITS_UNIT_SIZE,
    initial: effective.INITIAL_CREDITS,
    sourcesPriority: [...new Set(effective.CREDIT_SOURCES_PRIORITY.map((source) => source.toLowerCase()))],
    /** Points a month for every active user; 0 = off. */
    monthlyDefault: effective.MONTHLY_CREDITS_DEFAULT,
  },
  subscriptions: {
    isGateEnforced: effective.ENFORCE_SUBSCRIPTION_GATE,
    monthlyPlanCredits: effective.MONTHLY_SUBSCRIPTION_CREDITS,
    yearlyPlanMonthlyCredits: effective.YEARLY_SUBSCRIPTION_MONTHLY_CREDITS,
    yearlyProductIds: effective.YEARLY_PRODUCT_IDS,
    /** 0 = for ever. */
    webhookEventRetentionDays: effective.WEBHOOK_EVENT_RETENTION_DAYS,
    webhookSecret: effective.REVENUECAT_WEBHOOK_SECRET,
    webhookSigningSecret: effective.REVENUECAT_WEBHOOK_SIGNING_SECRET,
    iosPublicKey: effective.REVENUECAT_IOS_PUBLIC_KEY,
    androidPublicKey: effective.REVENUECAT_ANDROID_PUBLIC_KEY,
    storeApiBaseUrl: effective.REVENUECAT_API_BASE_URL,
    allowsSandboxPurchases: effective.ALLOW_SANDBOX_PURCHASES,
    allowsUnverifiedPurchases: effective.ALLOW_UNVERIFIED_PURCHASES,
  },
})

const accountsOf = (effective: EffectiveValues) => ({
  registration: {
    mode: effective.REGISTRATION_MODE,
    termsVersion: effective.TERMS_VERSION,
    trialDays: effective.TRIAL_DURATION_DAYS,
  },
  passwords: {
    hashConcurrency: effective.PASSWORD_HASH_CONCURRENCY,
    memoryKib: effective.PASSWORD_MEMORY_KIB,
    timeCost: effective.PASSWORD_TIME_COST,
    breachedUrl: effective.BREACHED_PASSWORD_URL,
  },
  rateLimit: { isEnabled: effective.RATELIMIT_ENABLED, store: effective.RATELIMIT_STORE },
  /** `null` = the measured default. */
  proofOfWork: { cost: effective.POW_COST },
})

const adminOf = (effective: EffectiveValues) => ({
  requiresMfa: effective.ADMIN_REQUIRE_MFA,
  sessionIdleSeconds: effective.SESSION_TIMEOUT,
  sessionMaxSeconds: effective.ADMIN_SESSION_MAX_SECONDS,
  stepUpSeconds: effective.ADMIN_STEP_UP_SECONDS,
  /** Empty = everyone. */
  allowedCidrs: effective.ADMIN_ALLOWED_CIDRS,
  grantMax: effective.ADMIN_GRANT_MAX,
  /** A grant of more points waits for a second admin. */
  grantReviewAbove: effective.ADMIN_GRANT_REVIEW_ABOVE,
  imageMaxBytes: effective.ADMIN_IMAGE_MAX_BYTES,
  /** Empty = covers are never fetched. */
  coverFetchHosts: effective.COVER_FETCH_ALLOWED_HOSTS,
})

const emailOf = (effective: EffectiveValues) => ({
  transport: effective.EMAIL_TRANSPORT,
  resend: {
    apiKey: effective.RESEND_API_KEY,
    baseUrl: effective.RESEND_API_BASE_URL,
    webhookSecret: effective.RESEND_WEBHOOK_SECRET,
  },
  smtpUrl: effective.SMTP_URL,
  from: effective.RESEND_FROM_EMAIL,
  replyTo: effective.EMAIL_REPLY_TO,
  optionalKinds: effective.EMAIL_OPTIONAL_KINDS,
  assetBaseUrl: effective.EMAIL_ASSET_BASE_URL,
})

/** The variables as the parts of the server take them. `loadTestVoices` are voices by account number. */
export const groupValues = (
  effective: EffectiveValues,
  role: ProcessRole,
  loadTestVoices: ReadonlyMap<number, number>,
) => ({
  environment: effective.APP_ENV,
  role,
  release: effective.APP_RELEASE,
  /** `key` is null in development until one was made, see `readOrCreateDevelopmentSecret`. */
  secrets: { key: effective.SECRET_KEY, previous: effective.SECRET_KEY_PREVIOUS },
  /** Absolute. */
  paths: { dataDir: effective.DATA_DIR },
  http: {
    host: effective.HOST,
    port: effective.PORT,
    /** Scheme, host and port, no slash at the end. With port 0 the real port is known only once listening. */
    publicUrl: effective.BACKEND_URL,
    processes: effective.WEB_CONCURRENCY,
    trustedProxyHops: effective.TRUSTED_PROXY_HOPS,
    corsOrigins: effective.CORS_ORIGINS,
    shutdownTimeoutSeconds: effective.SHUTDOWN_TIMEOUT_SECONDS,
  },
  database: {
    /** `null` = the embedded server under `paths.dataDir`. */
    url: effective.DATABASE_URL,
    migrationUrl: effective.DATABASE_MIGRATION_URL,
    poolSize: effective.DB_POOL_SIZE,
    poolTimeoutSeconds: effective.DB_POOL_TIMEOUT_SECONDS,
    statementTimeoutMs: effective.DB_STATEMENT_TIMEOUT_MS,
  },
  redis: { url: effective.REDIS_URL },
  jobs: { concurrency: effective.JOB_CONCURRENCY },
  /** `directory` is absolute and used when there is no bucket. */
  storage: { bucket: bucketOf(effective), directory: effective.STORAGE_DIR },
  /** `null` = uploads are not scanned. */
  malwareScan: clamavOf(effective),
  speech: speechOf(effective),
  ...narrationOf(effective),
  ...moneyOf(effective),
  ...accountsOf(effective),
  admin: adminOf(effective),
  email: emailOf(effective),
  observability: {
    logLevel: effective.LOG_LEVEL,
    logFormat: effective.LOG_FORMAT,
    sentryDsn: effective.SENTRY_DSN,
    tracesSampleRate: effective.SENTRY_TRACES_SAMPLE_RATE,
    metricsToken: effective.METRICS_TOKEN,
  },
  commandLine: { server: effective.DAWNOTEMU_SERVER, apiKey: effective.DAWNOTEMU_API_KEY },
  loadTest: {
    host: effective.LOADTEST_HOST,
    userCount: effective.LOADTEST_USER_COUNT,
    userPassword: effective.LOADTEST_USER_PASSWORD,
    userEmailTemplate: effective.LOADTEST_USER_EMAIL_TEMPLATE,
    voiceId: effective.LOADTEST_VOICE_ID,
    voiceIds: loadTestVoices,
    storyIds: effective.LOADTEST_STORY_IDS,
  },
  mockSpeech: {
    latencyMinSeconds: effective.MOCK_EL_LATENCY_MIN,
    latencyMaxSeconds: effective.MOCK_EL_LATENCY_MAX,
    errorRate: effective.MOCK_EL_ERROR_RATE,
    rateLimitAfter: effective.MOCK_EL_RATE_LIMIT_AFTER,
    slotLimit: effective.MOCK_EL_SLOT_LIMIT,
    port: effective.MOCK_EL_PORT,
  },
})
