import path from 'node:path'
import fastifyStatic from '@fastify/static'
import { isMigrated } from '../platform/db/migrations.ts'
import { cachedCheck, registerHealth } from '../platform/http/health.ts'
import { registerPublicly, registerReference } from '../platform/http/reference.ts'
import { createHttpServer, type HttpServer } from '../platform/http/server.ts'
import { startPage } from '../platform/http/start-page.ts'
import { localFileRoutes } from '../providers/storage/local-files/file-routes.ts'
import { registerDevRoutes } from '../dev-routes.ts'
import * as authFeature from '../features/auth/auth.ts'
import { creditRoutes } from '../features/credits/credits.ts'
import * as narrationFeature from '../features/narrations/narrations.ts'
import { grantRoutes } from '../features/admin/admin.ts'
import {
  packsRoutes,
  statusRoutes,
  storeLinkRoutes,
  webhookRoutes,
} from '../features/subscriptions/subscriptions.ts'
import { storyRoutes } from '../features/stories/stories.ts'
import * as voiceFeature from '../features/voices/voices.ts'
import type { Features } from './features.ts'
import type { Foundation } from './foundation.ts'

const staticDirectory = path.join(import.meta.dirname, '../platform/http/static')

/** The HTTP server with every route. */
export const createHttp = async (
  foundation: Foundation,
  features: Features,
  options: { migrationsDirectory: string; isDraining: () => boolean },
): Promise<HttpServer> => {
  const { config, logger, database, clock, movable, storage, store, jobs, limits, checkRedis, overrides } =
    foundation
  const { auth, proofs, credits, narrations, voices, accountDeletion, accountData } = features
  const http = await createHttpServer({
    logger,
    release: config.release,
    publicUrl: config.http.publicUrl,
    trustedProxyHops: config.http.trustedProxyHops,
    corsOrigins: config.http.corsOrigins,
    isProduction: config.environment === 'production',
    authenticate: ({ authorization }) => auth.authenticate(authorization),
    limits,
    ...(overrides?.authenticateAdmin ? { authenticateAdmin: overrides.authenticateAdmin } : {}),
  })
  overrides?.onHttpServer?.(http)
  const taskStatus = voiceFeature.createTaskStatus({ database, find: jobs.find })
  const priceOf = (text: string): number => credits.priceOf(text)
  const assertSameSite = authFeature.createCrossSiteDefence(config.http)
  await http.register(authFeature.authRoutes({ auth, proofs, limits, assertSameSite }))
  await http.register(authFeature.profileRoutes({ auth }))
  await http.register(authFeature.deletionRoutes(accountDeletion))
  await http.register(authFeature.linkRoutes({ auth }))
  await http.register(authFeature.sessionRoutes({ auth, assertSameSite }))
  await http.register(authFeature.challengeRoutes({ proofOfWork: proofs }))
  await http.register(accountData.routes)
  await http.register(storyRoutes({ db: database.read, storage, priceOf }))
  await http.register(creditRoutes({ credits, db: database.read }))
  const uploadDirectory = path.join(config.paths.dataDir, 'uploads')
  await http.register(voiceFeature.voiceRoutes({ voices, storage, uploadDirectory, taskStatus }))
  await http.register(
    narrationFeature.narrationRoutes({ narrations, voices, storage, db: database.read, clock, taskStatus }),
  )
  await http.register(
    webhookRoutes({ receive: features.subscriptions.receive, clock, limits, config: config.subscriptions }),
  )
  await http.register(packsRoutes({ packs: features.packs }))
  await http.register(storeLinkRoutes({ links: features.storeLinks }))
  await http.register(statusRoutes({ db: database.read, clock, initialCredits: config.credits.initial }))
  await http.register(grantRoutes({ grants: features.grants, clock, grantMax: config.admin.grantMax }))
  await http.register(narrationFeature.quoteRoutes({ voices, credits, db: database.read }))
  registerHealth(http, {
    release: config.release,
    checks: {
      database: async () => (await database.pool.query('select 1'), 'ok'),
      migrations: async () =>
        (await isMigrated(database.pool, options.migrationsDirectory)) ? 'ok' : 'failed',
      redis: checkRedis,
      storage: cachedCheck(async (signal) => (await storage.head('health/probe', signal), 'ok'), 60_000),
      mail: async () => (config.email.transport === 'outbox' ? 'off' : 'ok'),
    },
    required: ['database', 'migrations'],
    isDraining: options.isDraining,
  })
  await registerReference(http)
  await registerPublicly(http, async (scope) => {
    await scope.register(fastifyStatic, { root: staticDirectory, prefix: '/static/', wildcard: false })
    scope.get('/icons/logo.png', (_request, reply) => reply.sendFile('icons/logo.png'))
    scope.get('/', (_request, reply) => {
      const page = startPage({ isDevelopment: config.environment !== 'production' })
      return reply.headers(page.headers).type('text/html; charset=utf-8').send(page.html)
    })
    if (store.files && !overrides?.storage)
      await scope.register(localFileRoutes, { storage: store.files, now: () => clock.now() })
  })
  if (config.environment !== 'production')
    await registerDevRoutes(http, { db: database.read, clock: movable })
  return http
}
