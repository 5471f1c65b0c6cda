import type { Clock } from './platform/clock.ts'
import type { Config } from './platform/config.ts'
import type { Database } from './platform/db/database.ts'
import type { CheckResult } from './platform/http/health.ts'
import type { Logger } from './platform/observability/logger.ts'
import type { EmailTransport } from './providers/email/email.ts'
import { createOutbox } from './providers/email/outbox/outbox.ts'
import { createLocalSpeech } from './providers/speech/local/local-speech.ts'
import { createInsuredCounters } from './providers/rate-limit-store/insured.ts'
import { createMemoryCounters } from './providers/rate-limit-store/memory.ts'
import { createPostgresCounters } from './providers/rate-limit-store/postgres.ts'
import type { RateLimitStore } from './providers/rate-limit-store/rate-limit-store.ts'
import { createRedisCounters } from './providers/rate-limit-store/redis.ts'
import { createRevenueCat } from './providers/store-billing/revenuecat.ts'
import type { StoreBilling } from './providers/store-billing/store-billing.ts'
import type { SpeechProvider, SpeechProviderName } from './providers/speech/speech.ts'
import { createLocalFiles } from './providers/storage/local-files/local-files.ts'
import { createS3Storage } from './providers/storage/s3/s3-storage.ts'
import { storeOutboxMessage } from './features/mail/mail.ts'

/** S3 when a bucket is named, else files in a folder that this server serves itself. */
export const chooseStorage = (config: Config, signingKey: Uint8Array, clock: Clock) => {
  const { bucket } = config.storage
  if (!bucket) {
    const { directory } = config.storage
    const files = createLocalFiles({
      directory,
      publicBaseUrl: config.http.publicUrl,
      signingKey,
      now: () => clock.now(),
    })
    return { storage: files, files, close: () => undefined }
  }
  const s3 = createS3Storage({
    bucket: bucket.name,
    region: bucket.region,
    ...(bucket.credentials ? { credentials: bucket.credentials } : {}),
    ...(bucket.endpoint ? { endpoint: bucket.endpoint } : {}),
    ...(bucket.publicEndpoint ? { publicEndpoint: bucket.publicEndpoint } : {}),
    ...(bucket.addressingStyle ? { addressingStyle: bucket.addressingStyle } : {}),
    useSsl: bucket.usesTls,
    useSse: bucket.isEncryptedAtRest,
    maxConnections: bucket.maxConnections,
    maxRetries: bucket.maxRetries,
  })
  return { storage: s3, files: null, close: () => s3.close() }
}

/** The speech providers that this deployment can use. Refuses a preferred one that this release cannot speak with. */
export const chooseSpeech = (
  config: Config,
  given?: readonly SpeechProvider[],
): { map: Map<SpeechProviderName, SpeechProvider>; close: () => Promise<void> } => {
  if (given)
    return {
      map: new Map(given.map((provider) => [provider.name, provider])),
      close: () => Promise.resolve(),
    }
  const { preferred, local } = config.speech
  if (preferred !== 'local')
    throw new Error(`PREFERRED_VOICE_SERVICE=${preferred} is not available in this release; use local`)
  const speech = createLocalSpeech({ concurrency: local.concurrency })
  return { map: new Map([['local', speech]]), close: () => speech.close() }
}

/** Counters of all processes, insured against an outage of their store. `checkRedis` is `off` where it is not used. */
export const chooseCounters = (
  config: Config,
  database: Database,
  logger: Logger,
  clock: Clock,
): { counters: RateLimitStore; checkRedis: () => Promise<CheckResult> } => {
  const isOff = (): Promise<CheckResult> => Promise.resolve('off')
  if (config.rateLimit.store === 'memory') return { counters: createMemoryCounters(), checkRedis: isOff }
  const insure = (store: RateLimitStore) => createInsuredCounters({ store, clock, logger })
  if (config.rateLimit.store === 'postgres' || config.redis.url === null)
    return { counters: insure(createPostgresCounters(database)), checkRedis: isOff }
  const redis = createRedisCounters({ url: config.redis.url })
  return { counters: insure(redis), checkRedis: async () => (await redis.ping(), 'ok') }
}

/** The service that keeps the stores' books; without keys every question to it is refused at once. */
export const chooseStoreBilling = ({ subscriptions }: Config): StoreBilling =>
  createRevenueCat({
    baseUrl: subscriptions.storeApiBaseUrl,
    keys: { ios: subscriptions.iosPublicKey, android: subscriptions.androidPublicKey },
  })

/** How mail leaves. Refuses a transport that this release does not have. */
export const chooseEmailTransport = (config: Config, database: Database, clock: Clock): EmailTransport => {
  const { transport } = config.email
  if (transport !== 'outbox')
    throw new Error(`EMAIL_TRANSPORT=${transport} is not available in this release; use outbox`)
  return createOutbox({
    store: (message) => database.transaction((tx) => storeOutboxMessage(tx, message, clock.now())),
  })
}
