import assert from 'node:assert/strict'
import { mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { test, type TestContext } from 'node:test'
import { readOrCreateDevelopmentSecret } from './development-secret.ts'

const temporaryFolder = async (t: TestContext): Promise<string> => {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'config-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  return folder
}

test('processes that start together share one development secret, kept for its owner', async (t) => {
  const dataDir = path.join(await temporaryFolder(t), 'deep', 'data')
  const secrets = await Promise.all(Array.from({ length: 8 }, () => readOrCreateDevelopmentSecret(dataDir)))
  assert.equal(new Set(secrets).size, 1)
  assert.match(secrets[0] ?? '', /^[A-Za-z0-9_-]{43}$/)
  assert.equal(await readOrCreateDevelopmentSecret(dataDir), secrets[0])
  assert.deepEqual(await readdir(dataDir), ['secret-key'])
  assert.equal((await stat(path.join(dataDir, 'secret-key'))).mode & 0o777, 0o600)
})

test('a damaged development secret is reported, not replaced', async (t) => {
  const dataDir = await temporaryFolder(t)
  await writeFile(path.join(dataDir, 'secret-key'), '')
  await assert.rejects(readOrCreateDevelopmentSecret(dataDir), /holds no usable secret/)
})
