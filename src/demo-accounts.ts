import { randomBytes } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import path from 'node:path'
import type { Db } from './platform/db/database.ts'
import type { Auth } from './features/auth/auth.ts'

export interface DemoAccount {
  role: 'parent' | 'owner'
  email: string
  password: string
}

const demoPoints = 100

/**
 * Two accounts with random passwords on an empty development database, kept in `demo-accounts.json` of the data folder.
 * Null when the database already has accounts.
 */
export const createDemoAccounts = async (deps: {
  db: Db
  auth: Pick<Auth, 'createConfirmed'>
  dataDir: string
}): Promise<DemoAccount[] | null> => {
  const anyUser = await deps.db.selectFrom('users').select('id').limit(1).executeTakeFirst()
  if (anyUser) return null
  const accounts: DemoAccount[] = [
    { role: 'parent', email: 'rodzic@dawnotemu.test', password: randomBytes(12).toString('base64url') },
    { role: 'owner', email: 'owner@dawnotemu.test', password: randomBytes(12).toString('base64url') },
  ]
  for (const { role, email, password } of accounts)
    await deps.auth.createConfirmed({ email, password, isAdmin: role === 'owner', credits: demoPoints })
  const file = path.join(deps.dataDir, 'demo-accounts.json')
  await writeFile(file, `${JSON.stringify(accounts, null, 2)}\n`, { mode: 0o600 })
  return accounts
}
