import { randomUUID } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { mkdir, mkdtemp, readdir, rm, stat } from 'node:fs/promises'
import path from 'node:path'
import { Type } from 'typebox'
import type { Clock } from '../../platform/clock.ts'
import type { Database, Tx } from '../../platform/db/database.ts'
import { defineJob, handleJob, JobHandedBack, type Job } from '../../platform/jobs/jobs.ts'
import type { Logger } from '../../platform/observability/logger.ts'
import type { ObjectStorage } from '../../providers/storage/storage.ts'
import type { Mail } from '../mail/mail.ts'
import { findUser, lockUser } from '../users/users.ts'
import { createArchive } from './export-archive.ts'
import { readExportedData, type ExportPart } from './export-data.ts'
import { fetchObject } from './export-fetch.ts'
import * as queries from './export-queries.ts'
import type { AccountExport } from './export-queries.ts'
import { exportReadme, type MissingFile } from './export-readme.ts'

const keptMs = 7 * 86_400_000
// Twice as long as a run may take.
const leftoverMs = 2 * 3_600_000

export const exportAccountJob = defineJob({
  name: 'accounts.export',
  payload: Type.Object({ export_id: Type.Integer({ minimum: 1 }) }),
  // Some three hours of a store that is down.
  retryLimit: 8,
  retryDelaySeconds: 60,
  retryDelayMaxSeconds: 3600,
  limitSeconds: 3600,
  concurrency: 1,
})

interface Deps {
  database: Database
  clock: Clock
  logger: Logger
  storage: ObjectStorage
  mail: Mail
  parts: readonly ExportPart[]
  /** Queues the removal of objects in the caller's transaction. */
  deleteObjects: (tx: Tx, keys: readonly string[]) => Promise<void>
  /** Archives grow here; every run removes its own folder. */
  workDirectory: string
}

/** A killed process leaves its folder behind. */
const sweepLeftovers = async (directory: string): Promise<void> => {
  for (const name of await readdir(directory)) {
    const folder = path.join(directory, name)
    const stats = await stat(folder).catch(() => null)
    if (stats && Date.now() - stats.mtimeMs > leftoverMs) await rm(folder, { recursive: true, force: true })
  }
}

const buildArchive = async (deps: Deps, userId: number, folder: string, signal: AbortSignal) => {
  const now = deps.clock.now()
  const { sections, files } = await readExportedData(deps.database.read, userId, deps.parts)
  const target = path.join(folder, 'export.zip')
  const copy = path.join(folder, 'object')
  const archive = await createArchive(target, now, signal)
  const missing: MissingFile[] = []
  try {
    for (const [name, content] of Object.entries(sections))
      await archive.addText(name, `${JSON.stringify(content, null, 2)}\n`)
    for (const file of files) {
      const fetched = await fetchObject(deps.storage, file.objectKey, copy, signal)
      if (fetched.kind === 'fetched') await archive.addFile(file.path, { ...file, ...fetched, path: copy })
      else missing.push({ path: file.path, reason: fetched.kind })
    }
    const absent = new Set(missing.map(({ path: name }) => name))
    const paths = files.map(({ path: name }) => name).filter((name) => !absent.has(name))
    const readme = exportReadme({ now, sections: Object.keys(sections), paths, missing })
    await archive.addText('CZYTAJ.txt', readme)
    await archive.close()
  } finally {
    archive.discard()
  }
  return { path: target, sizeBytes: (await stat(target)).size, missingFiles: missing.length }
}

/**
 * An export: pending → processing → ready | error, ready → expired. Each run stores under a key of its own, which the
 * row names before the object exists; so whoever takes over, also a deletion of the account, knows what to remove.
 */
export const createExportAccount = (deps: Deps): Job => {
  const { database, clock, storage } = deps

  const begin = (wanted: AccountExport, objectKey: string): Promise<boolean> =>
    database.transaction(async (tx) => {
      const user = await lockUser(tx, wanted.userId)
      const before = await queries.lockExport(tx, wanted.id)
      const isUnfinished = before?.status === 'pending' || before?.status === 'processing'
      if (!isUnfinished) return false
      // An earlier run may have stored its object without living to say so.
      if (before.objectKey !== null) await deps.deleteObjects(tx, [before.objectKey])
      if (user?.status === 'active') return queries.claimExport(tx, wanted.id, objectKey)
      await queries.failExport(tx, wanted.id)
      return false
    })

  /** The object must not stay, unless its row became ready in a commit whose answer was lost. */
  const giveUp = async (tx: Tx, exportId: number, objectKey: string): Promise<void> => {
    const row = await queries.lockExport(tx, exportId)
    if (row?.objectKey === objectKey) {
      if (row.status === 'ready') return
      await queries.failExport(tx, exportId)
    }
    await deps.deleteObjects(tx, [objectKey])
  }

  const record = (
    wanted: AccountExport,
    stored: { objectKey: string; sizeBytes: number; missingFiles: number },
  ) =>
    database.transaction(async (tx) => {
      const now = clock.now()
      const user = await lockUser(tx, wanted.userId)
      const done = { id: wanted.id, ...stored, now, expiresAt: new Date(now.getTime() + keptMs) }
      const recipient = user?.status === 'active' ? user.email : null
      if (recipient === null || !(await queries.finishExport(tx, done)))
        return giveUp(tx, wanted.id, stored.objectKey)
      await deps.mail.queue(tx, { kind: 'data_export_ready', userId: wanted.userId, recipient })
    })

  const run = async (wanted: AccountExport, objectKey: string, signal: AbortSignal): Promise<void> => {
    await mkdir(deps.workDirectory, { recursive: true, mode: 0o700 })
    await sweepLeftovers(deps.workDirectory)
    const folder = await mkdtemp(path.join(deps.workDirectory, 'run-'))
    try {
      const { missingFiles, sizeBytes, path: file } = await buildArchive(deps, wanted.userId, folder, signal)
      const user = await findUser(database.read, wanted.userId)
      if (user?.status !== 'active')
        return await database.transaction((tx) => giveUp(tx, wanted.id, objectKey))
      const options = {
        contentType: 'application/zip',
        contentLength: sizeBytes,
        contentDisposition: 'attachment; filename="dawnotemu-dane.zip"',
      }
      await storage.put(objectKey, createReadStream(file), options, signal)
      await record(wanted, { objectKey, sizeBytes, missingFiles })
    } finally {
      await rm(folder, { recursive: true, force: true })
    }
  }

  return handleJob(exportAccountJob, async ({ export_id: exportId }, { signal, retryCount }) => {
    const wanted = await queries.findExport(database.read, exportId)
    if (!wanted) return
    const objectKey = `exports/${wanted.userId}/${exportId}_${randomUUID()}.zip`
    if (!(await begin(wanted, objectKey))) return
    try {
      await run(wanted, objectKey, signal)
    } catch (error) {
      const isLast = retryCount >= exportAccountJob.retryLimit && !(signal.reason instanceof JobHandedBack)
      if (isLast) await database.transaction((tx) => giveUp(tx, exportId, objectKey))
      throw error
    }
  })
}
