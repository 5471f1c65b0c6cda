import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import pg from 'pg'
import { migrateJobs } from '../src/platform/jobs/jobs.ts'
import { migrate } from '../src/platform/db/migrations.ts'
import { startEmbeddedPostgres } from '../src/platform/db/embedded-postgres.ts'
import { jobTypes } from '../src/app.ts'
import { silentLogger } from './logger.ts'

export const templateName = 'dawnotemu_template'

/** One PostgreSQL for a whole test run, with a migrated template that each test file clones. */
export const globalSetup = async (): Promise<{ env: Record<string, string>; close(): Promise<void> }> => {
  const directory = await mkdtemp(path.join(tmpdir(), 'dawnotemu-test-db-'))
  const server = await startEmbeddedPostgres({
    directory,
    database: templateName,
    isThrowaway: true,
    maxConnections: 400,
  })
  await migrate(server.url, path.join(import.meta.dirname, '../migrations'))
  await migrateJobs({
    databaseUrl: server.url,
    types: jobTypes,
    logger: silentLogger,
    concurrency: 1,
    applicationName: 'test-setup',
  })
  // A template must have no connections when it is cloned; one of the administration database is enough for that.
  const admin = new pg.Client({ connectionString: server.url.replace(/\/[^/]*$/, '/postgres') })
  await admin.connect()
  await admin.query(`alter database ${templateName} with is_template true allow_connections false`)
  await admin.end()
  return {
    env: { TEST_DATABASE_URL: server.url },
    close: async () => {
      await server.stop()
      await rm(directory, { recursive: true, force: true })
    },
  }
}
