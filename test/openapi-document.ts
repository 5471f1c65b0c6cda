import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { buildApp } from '../src/app.ts'
import { loadConfig } from '../src/platform/config.ts'
import { silentLogger } from './logger.ts'

/** The OpenAPI document of the server as it is built for development, without values of this machine. */
export const describeServer = async (databaseUrl: string): Promise<Record<string, unknown>> => {
  const dataDir = await mkdtemp(path.join(tmpdir(), 'dawnotemu-openapi-'))
  const loaded = loadConfig({ APP_ENV: 'development', DATA_DIR: dataDir, APP_RELEASE: '0.1.0' })
  if (loaded.kind !== 'ok') throw new Error(loaded.problems.join('\n'))
  const app = await buildApp({
    config: loaded.config,
    databaseUrl,
    secretKey: 'x'.repeat(32),
    logger: silentLogger,
  })
  try {
    await app.http.ready()
    return JSON.parse(JSON.stringify(app.http.swagger()))
  } finally {
    await app.close()
    await rm(dataDir, { recursive: true, force: true })
  }
}
