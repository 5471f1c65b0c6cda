import type { Clock } from '../../platform/clock.ts'
import type { Database, Db } from '../../platform/db/database.ts'
import { AppError } from '../../platform/errors.ts'
import type { Job, Jobs } from '../../platform/jobs/jobs.ts'
import type { RateLimitStore } from '../../providers/rate-limit-store/rate-limit-store.ts'
import type { Credits } from '../credits/credits.ts'
import type { Mail } from '../mail/mail.ts'
import { findUser, toUserJson, type User } from '../users/users.ts'
import { createAccessTokens } from './access-token.ts'
import { createConfirmation, type Confirmation } from './confirmation.ts'
import { createCurrentPassword, type CurrentPassword } from './current-password.ts'
import { createDeviceList, type DeviceList } from './device-list.ts'
import { createLinkMails } from './link-mails.ts'
import { createLogin, type LoginRequest } from './login.ts'
import { createLoginBackoff } from './login-backoff.ts'
import { createMailRequestJob, createMailRequests, type MailRequests } from './mail-request.job.ts'
import type { Passwords } from './passwords.ts'
import { createProfile, type Profile } from './profile.ts'
import type { ProofOfWork } from './proof-of-work.ts'
import { createRegistration, type Registration, type RegistrationConfig } from './registration.ts'
import { createRequestGuard, type RequestGuard } from './request-guard.ts'
import { createReset, type Reset } from './reset.ts'
import { createSessions, type Sessions, type TokenPair } from './sessions.ts'
import { createWaitRoom } from './wait-room.ts'

export { createAccountData, type AccountData } from './account-data.ts'
export type { AccountStatus, PendingAccount, StatusOutcome } from './account-status.ts'
export { exportAccountJob } from './export-account.job.ts'
export { accountRetentionJob } from './retention.job.ts'
export { authRoutes } from './routes.ts'
export type { AccountContents } from './account-contents.ts'
export {
  createDeleteAccount,
  createSweepDeletions,
  deleteAccountJob,
  sweepDeletionsJob,
} from './delete-account.job.ts'
export { createDeletions, type Deletions } from './deletion.ts'
export { deletionRoutes } from './deletion-routes.ts'
export { createDeletionSteps } from './deletion-steps.ts'
export { describeOpenDeletions, readErasureReceipt } from './erasure-receipt.ts'
export { linkRoutes } from './link-routes.ts'
export { mailRequestJob } from './mail-request.job.ts'
export { profileRoutes } from './profile-routes.ts'
export { challengeRoutes } from './challenge-routes.ts'
export { createCrossSiteDefence } from './cookie.ts'
export { createProofOfWork, defaultPowCost } from './proof-of-work.ts'
export { sessionRoutes } from './session-routes.ts'
export { createPasswords, type Passwords } from './passwords.ts'
export type { Device } from './queries.ts'

const heldRequests = 200

export type UserJson = ReturnType<typeof toUserJson>

export interface Auth
  extends
    Registration,
    Confirmation,
    Profile,
    Reset,
    MailRequests,
    Pick<Sessions, 'refresh' | 'authenticate'> {
  login(request: LoginRequest): Promise<TokenPair & { user: UserJson }>
  /** The user as the wire shows it. */
  profile(userId: number): Promise<UserJson>
  devices: DeviceList
  currentPassword: CurrentPassword
  /** What the worker does for this feature. */
  jobs: Job[]
  /** Proof of work or delay before a route that makes accounts or sends mail. */
  guard: RequestGuard
}

/** Limits, delays and proofs; `isEnabled` false switches all of them off. */
export interface Throttle {
  counters: RateLimitStore
  /** Hides what is counted from whoever reads the store. */
  keyOf: (kind: string, value: string) => string
  isEnabled: boolean
}

export const createAuth = (deps: {
  database: Database
  clock: Clock
  config: RegistrationConfig
  credits: Credits
  mail: Mail
  enqueue: Jobs['enqueue']
  passwords: Passwords
  proofs: ProofOfWork
  throttle: Throttle
  accessKeys: { current: Uint8Array; all: readonly Uint8Array[] }
  linkKey: Uint8Array
}): Auth => {
  const { database, clock, credits } = deps
  const sessions = createSessions({ ...deps, accessTokens: createAccessTokens(deps.accessKeys) })
  const linkMails = createLinkMails(deps)
  const registration = createRegistration({ ...deps, linkMails })
  const throttle = { ...deps.throttle, clock, waitRoom: createWaitRoom(heldRequests) }
  const signIn = createLogin({ ...deps, sessions, backoff: createLoginBackoff(throttle) })

  const userJson = async (db: Db, user: User): Promise<UserJson> =>
    toUserJson(user, await credits.balance(db, user.id), clock.now())

  const profile: Auth['profile'] = async (userId) => {
    const user = await findUser(database.read, userId)
    if (!user) throw new AppError('user_not_found')
    return userJson(database.read, user)
  }

  const currentPassword = createCurrentPassword({
    ...deps,
    counters: deps.throttle.counters,
    isLimited: deps.throttle.isEnabled,
  })

  return {
    ...registration,
    ...createConfirmation(deps),
    ...createProfile({ ...deps, linkMails, currentPassword, sessions, userJson }),
    ...createReset(deps),
    ...createMailRequests(deps),
    jobs: [createMailRequestJob({ database, linkMails })],
    refresh: sessions.refresh,
    authenticate: sessions.authenticate,
    login: async (request) => {
      const { user, ...pair } = await signIn(request)
      return { ...pair, user: await userJson(database.read, user) }
    },
    profile,
    currentPassword,
    devices: createDeviceList(deps),
    guard: createRequestGuard({ ...throttle, proofs: deps.proofs }),
  }
}
