import type { Clock } from '../../platform/clock.ts'
import type { Database } from '../../platform/db/database.ts'
import { AppError } from '../../platform/errors.ts'
import type { Caller } from '../../platform/http/request-values.ts'
import type { Jobs } from '../../platform/jobs/jobs.ts'
import type { ObjectStorage } from '../../providers/storage/storage.ts'
import { lockUser } from '../users/users.ts'
import type { CurrentPassword } from './current-password.ts'
import { exportAccountJob } from './export-account.job.ts'
import * as queries from './export-queries.ts'
import type { AccountExport } from './export-queries.ts'
import { insertAuthEvent, type Device } from './queries.ts'

const linkSeconds = 900

export interface Exports {
  /**
   * Asks for an archive of the account's data; while one is unfinished, answers that one. Refuses a missing or wrong
   * password, and an account that is no longer active.
   */
  request(caller: Caller, password: string | undefined, device: Device): Promise<AccountExport>
  /** The newest export; `url` is a link of at most 15 minutes, only while the archive is kept. Refuses when there is none. */
  newest(userId: number): Promise<AccountExport & { url: string | null }>
}

export const createExports = (deps: {
  database: Database
  clock: Clock
  storage: ObjectStorage
  currentPassword: CurrentPassword
  enqueue: Jobs['enqueue']
}): Exports => {
  const { database, clock } = deps

  const request: Exports['request'] = async ({ userId, sessionId }, password, device) => {
    await deps.currentPassword.check(userId, password, 'current_password_to_export')
    return database.transaction(async (tx) => {
      const user = await lockUser(tx, userId)
      if (user?.status !== 'active') throw new AppError('user_inactive')
      const open = await queries.findOpenExport(tx, userId)
      if (open) return open
      const now = clock.now()
      const created = await queries.insertExport(tx, userId, now)
      await insertAuthEvent(tx, { userId, kind: 'export_requested', sessionId, device, now })
      await deps.enqueue(tx, exportAccountJob, { export_id: created.id })
      return created
    })
  }

  const newest: Exports['newest'] = async (userId) => {
    const found = await queries.findNewestExport(database.read, userId)
    if (!found) throw new AppError('export_not_found')
    const { status, objectKey, expiresAt } = found
    if (status !== 'ready' || objectKey === null || expiresAt === null) return { ...found, url: null }
    const secondsLeft = Math.floor((expiresAt.getTime() - clock.now().getTime()) / 1000)
    // The sweep that removes it runs once a day.
    if (secondsLeft <= 0) return { ...found, status: 'expired', url: null }
    const expiresInSeconds = Math.min(linkSeconds, secondsLeft)
    return { ...found, url: await deps.storage.presignGet(objectKey, { expiresInSeconds }) }
  }

  return { request, newest }
}
