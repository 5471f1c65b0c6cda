import type { Clock } from '../../platform/clock.ts'
import { violatedConstraint, type Database, type Tx } from '../../platform/db/database.ts'
import { AppError } from '../../platform/errors.ts'
import type { Credits } from '../credits/credits.ts'
import { lockUser } from '../users/users.ts'
import type { Audit } from './audit.ts'
import { findCredit, findGrantKey, insertGrantKey, type GrantedCredit } from './grant-queries.ts'
import { hashGrantRequest, type GrantRequest } from './grant-request.ts'
import * as waiting from './waiting-grant-queries.ts'
import type { WaitingGrant } from './waiting-grant-queries.ts'

/*
 * A grant above the review threshold waits for a second administrator:
 *
 * waiting ──approve, by another one──▶ approved (points)
 * waiting ──reject, by anyone──▶ rejected
 * After seven days it can be neither; it stays as it is.
 */

const approvableMs = 7 * 86_400_000
const listLimit = 200

export type GrantAnswer = { isReplay: boolean } & (
  | { kind: 'granted'; credit: GrantedCredit; balance: number }
  | { kind: 'waiting'; grant: WaitingGrant }
)

export interface AdminGrants {
  /**
   * Gives points, or asks a second administrator for them when they are more than the threshold. With a key, a repeated
   * request gets the first answer. Refuses `account_not_found`, `idempotency_key_used`.
   */
  request(
    actorId: number,
    target: { userId: number | null; request: GrantRequest; key: string | null },
  ): Promise<GrantAnswer>
  /**
   * Gives what waited; the same administrator's second approval answers the first. Refuses `waiting_grant_not_found`,
   * `_own`, `_decided`, `_expired`, `account_not_found`, `grant_expiry_past`.
   */
  approve(actorId: number, id: number | null): Promise<WaitingGrant>
  /** Refuses `waiting_grant_not_found`, `_decided`, `_expired`. */
  reject(actorId: number, id: number | null): Promise<WaitingGrant>
  /** Those that can still be approved, oldest first. */
  list(): Promise<WaitingGrant[]>
}

/** As a serialization failure, so that the transaction is repeated and finds the other's answer. */
const startOver = (): Error =>
  Object.assign(new Error('admin: the key was used meanwhile'), { code: '40001' })

export const createAdminGrants = (deps: {
  database: Database
  clock: Clock
  credits: Pick<Credits, 'grant' | 'balance'>
  audit: Audit
  /** Points. */
  reviewAbove: number
}): AdminGrants => {
  const { database, clock, credits, audit } = deps

  const lockAccount = async (tx: Tx, userId: number | null): Promise<number> => {
    const user = userId === null ? null : await lockUser(tx, userId)
    if (!user || user.status === 'deleted' || user.status === 'deleting')
      throw new AppError('account_not_found')
    return user.id
  }

  const creditOf = async (tx: Tx, id: number): Promise<GrantedCredit> => {
    const credit = await findCredit(tx, id)
    if (!credit) throw new Error('admin: the grant is gone')
    return credit
  }

  const ask = async (
    tx: Tx,
    actorId: number,
    userId: number,
    request: GrantRequest,
  ): Promise<GrantAnswer> => {
    const now = clock.now()
    const approvableUntil = new Date(now.getTime() + approvableMs)
    const grant = await waiting.insertWaitingGrant(tx, {
      ...request,
      userId,
      requestedBy: actorId,
      now,
      approvableUntil,
    })
    await audit(tx, {
      actorId,
      action: 'credits.grant.request',
      targetType: 'user',
      targetId: String(userId),
      reason: request.reason,
      details: { waiting_grant_id: grant.id, amount: request.amount, source: request.source },
    })
    return { kind: 'waiting', isReplay: false, grant }
  }

  const give = async (
    tx: Tx,
    actorId: number,
    userId: number,
    { request, key }: { request: GrantRequest; key: string | null },
  ): Promise<GrantAnswer> => {
    const { amount, source, reason, expiresAt } = request
    const { transactionId } = await credits.grant(tx, {
      userId,
      amount,
      source,
      reason,
      actor: actorId,
      ...(expiresAt ? { expiresAt } : {}),
      ...(key === null ? {} : { grantKey: `admin:${actorId}:${key}` }),
    })
    const balance = await credits.balance(tx, userId)
    await audit(tx, {
      actorId,
      action: 'credits.grant',
      targetType: 'user',
      targetId: String(userId),
      reason,
      details: { amount, source, transaction_id: transactionId, new_balance: balance },
    })
    return { kind: 'granted', isReplay: false, credit: await creditOf(tx, transactionId), balance }
  }

  /** The first answer to a request with this key, if there was one. */
  const replay = async (tx: Tx, actorId: number, key: string, hash: Buffer): Promise<GrantAnswer | null> => {
    const known = await findGrantKey(tx, actorId, key)
    if (!known) return null
    if (!known.requestHash.equals(hash)) throw new AppError('idempotency_key_used')
    if (known.waitingGrantId !== null) {
      const grant = await waiting.findWaitingGrant(tx, known.waitingGrantId)
      return grant && { kind: 'waiting', isReplay: true, grant }
    }
    if (known.transactionId === null || known.newBalance === null) return null
    const credit = await creditOf(tx, known.transactionId)
    return { kind: 'granted', isReplay: true, credit, balance: known.newBalance }
  }

  const request: AdminGrants['request'] = (actorId, target) =>
    database.transaction(async (tx) => {
      const userId = await lockAccount(tx, target.userId)
      const hash = hashGrantRequest(userId, target.request)
      const { key } = target
      const known = key === null ? null : await replay(tx, actorId, key, hash)
      if (known) return known
      const answer =
        target.request.amount > deps.reviewAbove
          ? await ask(tx, actorId, userId, target.request)
          : await give(tx, actorId, userId, target).catch((error: unknown) => {
              // The same key for another user: that transaction holds another account's lock.
              throw violatedConstraint(error) === 'credit_transactions_grant_key_key' ? startOver() : error
            })
      if (key === null) return answer
      const isGranted = answer.kind === 'granted'
      const isFirst = await insertGrantKey(tx, {
        actorId,
        key,
        userId,
        requestHash: hash,
        transactionId: isGranted ? answer.credit.id : null,
        newBalance: isGranted ? answer.balance : null,
        waitingGrantId: isGranted ? null : answer.grant.id,
        now: clock.now(),
      })
      if (!isFirst) throw startOver()
      return answer
    })

  /** The grant, its account locked first; `done` is the earlier decision if this administrator made the same one. */
  const open = async (
    tx: Tx,
    { id, actorId, status }: { id: number | null; actorId: number; status: WaitingGrant['status'] },
  ): Promise<{ grant: WaitingGrant; isDone: boolean }> => {
    const found = id === null ? null : await waiting.findWaitingGrant(tx, id)
    if (found) await lockUser(tx, found.userId)
    const grant = found && (await waiting.lockWaitingGrant(tx, found.id))
    if (!grant) throw new AppError('waiting_grant_not_found')
    if (grant.status === status && grant.decidedBy === actorId) return { grant, isDone: true }
    if (grant.status !== 'waiting') throw new AppError('waiting_grant_decided')
    if (clock.now() >= grant.approvableUntil) throw new AppError('waiting_grant_expired')
    return { grant, isDone: false }
  }

  const decide = async (
    tx: Tx,
    grant: WaitingGrant,
    decision: { status: 'approved' | 'rejected'; actorId: number; transactionId: number | null },
  ): Promise<WaitingGrant> => {
    const { status, actorId, transactionId } = decision
    const row = { status, decidedBy: actorId, now: clock.now(), transactionId }
    const decided = await waiting.decideWaitingGrant(tx, grant.id, row)
    if (!decided) throw new AppError('waiting_grant_decided')
    await audit(tx, {
      actorId,
      action: status === 'approved' ? 'credits.grant.approve' : 'credits.grant.reject',
      targetType: 'waiting_grant',
      targetId: String(grant.id),
      reason: grant.reason,
      details: {
        user_id: grant.userId,
        amount: grant.amount,
        requested_by: grant.requestedBy,
        transaction_id: transactionId,
      },
    })
    return decided
  }

  const approve: AdminGrants['approve'] = (actorId, id) =>
    database.transaction(async (tx) => {
      const { grant, isDone } = await open(tx, { id, actorId, status: 'approved' })
      if (isDone) return grant
      if (grant.requestedBy === actorId) throw new AppError('waiting_grant_own')
      const userId = await lockAccount(tx, grant.userId)
      const { amount, source, reason, expiresAt, requestedBy } = grant
      if (expiresAt && expiresAt <= clock.now()) throw new AppError('grant_expiry_past')
      const { transactionId } = await credits.grant(tx, {
        userId,
        amount,
        source,
        reason,
        actor: requestedBy,
        grantKey: `admin_review:${grant.id}`,
        metadata: { waiting_grant_id: grant.id, requested_by: requestedBy, approved_by: actorId },
        ...(expiresAt ? { expiresAt } : {}),
      })
      return decide(tx, grant, { status: 'approved', actorId, transactionId })
    })

  const reject: AdminGrants['reject'] = (actorId, id) =>
    database.transaction(async (tx) => {
      const { grant, isDone } = await open(tx, { id, actorId, status: 'rejected' })
      return isDone ? grant : decide(tx, grant, { status: 'rejected', actorId, transactionId: null })
    })

  return {
    request,
    approve,
    reject,
    list: () => waiting.listWaitingGrants(database.read, clock.now(), listLimit),
  }
}
