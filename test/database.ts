import { randomBytes } from 'node:crypto'
import pg from 'pg'
import { createDatabase, type Database } from '../src/platform/db/database.ts'
import { globalSetup, templateName } from './global-setup.ts'

let own: Promise<{ url: string; close: () => Promise<void> }> | null = null

/** The server of the run, or (a test file started by itself) one of this process. */
const server = (): Promise<{ url: string; close: () => Promise<void> }> => {
  const shared = process.env['TEST_DATABASE_URL']
  if (shared !== undefined) return Promise.resolve({ url: shared, close: () => Promise.resolve() })
  own ??= globalSetup().then(({ env, close }) => ({ url: env['TEST_DATABASE_URL'] ?? '', close }))
  return own
}

let open = 0

export interface TestDatabase {
  url: string
  database: Database
  close(): Promise<void>
}

/** A fresh clone of the migrated template; dropped on `close`. */
export const createTestDatabase = async (): Promise<TestDatabase> => {
  const { url: base, close: closeServer } = await server()
  const name = `test_${randomBytes(6).toString('hex')}`
  const adminUrl = base.replace(/\/[^/]*$/, '/postgres')
  const asAdmin = async (statement: string): Promise<void> => {
    const client = new pg.Client({ connectionString: adminUrl })
    await client.connect()
    try {
      await client.query(statement)
    } finally {
      await client.end()
    }
  }
  await asAdmin(`create database ${name} template ${templateName}`)
  open += 1
  const url = base.replace(/\/[^/]*$/, `/${name}`)
  const database = createDatabase({
    url,
    poolSize: 10,
    poolTimeoutSeconds: 20,
    statementTimeoutMs: 15e3,
    applicationName: 'test',
    onIdleError: () => undefined,
  })
  return {
    url,
    database,
    close: async () => {
      await database.close()
      await asAdmin(`drop database if exists ${name} with (force)`)
      open -= 1
      if (open === 0 && own) {
        await closeServer()
        own = null
      }
    },
  }
}
