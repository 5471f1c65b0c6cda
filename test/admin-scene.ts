import { AppError } from '../src/platform/errors.ts'
import type { AuditEntry } from '../src/features/admin/admin.ts'
import { startTestApp, type Account, type Answer, type CallOptions, type TestApp } from './app.ts'
import { createAccount } from './account-scene.ts'

export interface AdminScene {
  app: TestApp
  /** What was written down, in the order it was written; entries of transactions that were rolled back too. */
  audited: AuditEntry[]
  /** The next entries cannot be written, until false. */
  refuseAudit(isRefused: boolean): void
  admin(): Promise<Account>
  ask(admin: Account, method: string, path: string, options?: CallOptions): Promise<Answer>
  grant(admin: Account, userId: number | string, json: unknown, key?: string): Promise<Answer>
  balance(account: Account): Promise<number>
  close(): Promise<void>
}

/** The real server, where a header names the administrator. */
export const startAdmin = async (env: Record<string, string> = {}): Promise<AdminScene> => {
  const audited: AuditEntry[] = []
  let isRefused = false
  const app = await startTestApp({
    work: false,
    env: { INITIAL_CREDITS: '0', ...env },
    overrides: {
      authenticateAdmin: (request) => {
        const adminId = Number(request.headers['x-test-admin'])
        const { permission, stepUp } = request.routeOptions.config
        if (!adminId || permission !== 'credits.write' || stepUp !== true)
          return Promise.reject(new AppError('token_missing'))
        return Promise.resolve({ adminId })
      },
      audit: (_tx, entry) => {
        if (isRefused) return Promise.reject(new Error('the audit trail is full'))
        audited.push(entry)
        return Promise.resolve()
      },
    },
  })
  const ask: AdminScene['ask'] = (admin, method, path, options = {}) =>
    app.call(method, path, {
      ...options,
      headers: { 'x-test-admin': String(admin.id), ...options.headers },
    })
  return {
    app,
    audited,
    refuseAudit: (value) => {
      isRefused = value
    },
    admin: () => createAccount(app),
    ask,
    grant: (admin, userId, json, key) =>
      ask(admin, 'POST', `/admin/users/${userId}/credits/grant`, {
        json,
        ...(key === undefined ? {} : { headers: { 'idempotency-key': key } }),
      }),
    balance: async (account) =>
      Number((await app.call('GET', '/me/credits', { token: account.accessToken })).body['balance']),
    close: () => app.close(),
  }
}
