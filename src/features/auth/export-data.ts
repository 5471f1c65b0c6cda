import { createNameFile, type NameFile } from '../../platform/archive-names.ts'
import type { Db } from '../../platform/db/database.ts'
import { exportPoints } from '../credits/credits.ts'
import * as queries from './export-data-queries.ts'

/** A stored object that goes into the archive under `path`. */
export interface ExportedFile {
  path: string
  objectKey: string
  modifiedAt: Date
}

export interface ExportedData {
  /** Archive name of a JSON file → its keys. Parts may add keys to the same file. */
  sections: Record<string, Record<string, unknown>>
  files: ExportedFile[]
}

/** What one feature gives to an account's export: nothing of anybody else, no hash, token, object key or provider id. */
export type ExportPart = (db: Db, userId: number, nameFile: NameFile) => Promise<ExportedData>

const ownPart: ExportPart = async (db, userId) => {
  const [account, sessions, events, points] = await Promise.all([
    queries.readAccount(db, userId),
    queries.listAllSessions(db, userId),
    queries.listSecurityEvents(db, userId),
    exportPoints(db, userId),
  ])
  if (!account) throw new Error('export: the account is gone')
  const { terms_version: version, terms_accepted_at: acceptedAt, ...rest } = account
  return {
    sections: {
      'account.json': rest,
      'sessions.json': { sessions },
      'security-events.json': { events },
      'points.json': points,
      'consents.json': { terms: { version, accepted_at: acceptedAt } },
    },
    files: [],
  }
}

/** Everything about an account, read now. A `Date` becomes UTC with milliseconds when it is written as JSON. */
export const readExportedData = async (
  db: Db,
  userId: number,
  parts: readonly ExportPart[],
): Promise<ExportedData> => {
  const nameFile = createNameFile()
  const all: ExportedData = { sections: {}, files: [] }
  for (const part of [ownPart, ...parts]) {
    const { sections, files } = await part(db, userId, nameFile)
    for (const [name, content] of Object.entries(sections))
      all.sections[name] = { ...all.sections[name], ...content }
    all.files.push(...files)
  }
  return all
}
