import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { randomBytes } from 'node:crypto'
import { buildApp, migrateAll, type App } from '../src/app.ts'
import { loadConfig } from '../src/platform/config.ts'
import { freePort } from '../src/platform/free-port.ts'
import { startEmbeddedPostgres } from '../src/platform/db/embedded-postgres.ts'
import { createLogger } from '../src/platform/observability/logger.ts'

export interface EmbeddedServer {
  app: App
  url: string
  /** A confirmed account with points, made for this run. */
  account: { email: string; password: string }
  /** Adds a story that only this server knows; returns its id. */
  addStory(title: string, content: string): Promise<number>
  close(): Promise<void>
}

/** The whole server in this process: free port, database and files in a temporary folder that goes on `close`. */
export const startEmbeddedServer = async (): Promise<EmbeddedServer> => {
  const dataDir = await mkdtemp(path.join(tmpdir(), 'dawnotemu-'))
  const secretKey = randomBytes(32).toString('base64url')
  const env = { APP_ENV: 'development', PORT: String(await freePort()), DATA_DIR: dataDir, LOG_LEVEL: 'warn' }
  const loaded = loadConfig({ ...env, SECRET_KEY: secretKey, PREFERRED_VOICE_SERVICE: 'local' })
  if (loaded.kind !== 'ok') throw new Error(loaded.problems.join('\n'))
  const { config } = loaded
  const postgres = await startEmbeddedPostgres({
    directory: path.join(dataDir, 'postgres'),
    database: 'dawnotemu',
  })
  const logger = createLogger({ level: 'warn', format: 'json', role: 'all', release: config.release })
  const input = { config, databaseUrl: postgres.url, secretKey, logger }
  await migrateAll(input)
  const app = await buildApp(input)
  await app.seed()
  const account = { email: 'narrate@dawnotemu.test', password: randomBytes(12).toString('base64url') }
  await app.auth.createConfirmed({ ...account, credits: 1000 })
  await app.work()
  await app.http.listen({ host: config.http.host, port: config.http.port })
  return {
    app,
    account,
    url: config.http.publicUrl,
    addStory: (title, content) =>
      app.database.transaction(async (tx) => {
        const row = await tx
          .insertInto('stories')
          .values({
            title,
            content,
          })
          .returning('id')
          .executeTakeFirstOrThrow()
        return row.id
      }),
    close: async () => {
      await app.close()
      await postgres.stop()
      await rm(dataDir, {
        recursive: true,
        force: true,
      })
    },
  }
}
