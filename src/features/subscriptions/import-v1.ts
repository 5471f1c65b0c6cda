import type { Clock } from '../../platform/clock.ts'
import type { Database, Tx } from '../../platform/db/database.ts'
import type { Credits } from '../credits/credits.ts'
import * as queries from './import-v1-queries.ts'
import { baseProductId } from './products.ts'
import { insertPurchase } from './purchase-queries.ts'
import type { StoreEvent } from './store-event.ts'
import { planImport, receiptPoints, type PlannedUser, type SkippedUser } from './v1-plan.ts'
import type { V1Data, V1Receipt } from './v1-rows.ts'
import { readV1, type V1TableState } from './v1-source-queries.ts'
import { eventsOfV1 } from './v1-subscription-events.ts'

/** What an import did or, in a dry run, would do. */
export interface ImportReport {
  isApplied: boolean
  tables: V1TableState[]
  /** Of v1's users: made now, made by an earlier run, not made. */
  users: { created: number; known: number; skipped: SkippedUser[] }
  /** Only users that are made now and about whom there is something to say. */
  differences: { userId: number; differences: PlannedUser['differences'] }[]
  points: { v1Cached: number; fromLots: number; added: number }
  receipts: {
    added: number
    known: number
    /** Of those added. */
    ofDeletedAccounts: number
    /** Not added. */
    ofSkippedAccounts: number
    withoutOwner: number
  }
  events: { added: number; known: number }
  subscriptionEvents: number
  archivedRows: number
  unreadable: V1Data['unreadable']
}

interface Todo {
  data: V1Data
  users: PlannedUser[]
  /** Users of this run and of earlier ones. */
  owners: ReadonlySet<number>
  receipts: (V1Receipt & { userId: number })[]
  knownReceipts: number
  tombstones: number[]
  events: { eventId: string; type: string; at: Date; userId: number | null }[]
  subscriptionEvents: { userId: number; event: StoreEvent }[]
  archive: V1Data['ledger']
}

export interface ImportDeps {
  database: Database
  clock: Clock
  credits: Pick<Credits, 'grant'>
  /** Stores and folds an event of a known user. */
  apply: (event: StoreEvent, userId: number) => Promise<unknown>
  yearlyProductIds: readonly string[]
}

/**
 * Takes over the accounts, points, used receipts and subscriptions of the earlier server (30 §20) from a snapshot of its
 * database. Nothing is ever reduced, and a repeated run changes nothing: each user is one transaction with their points,
 * everything else is keyed. Without `isApplied` it only tells what it would do.
 */
export const createImportV1 = (deps: ImportDeps) => {
  const { database, clock, credits } = deps
  const { read } = database

  const plan = async (
    data: V1Data,
    now: Date,
  ): Promise<{ todo: Todo; skipped: SkippedUser[]; known: number }> => {
    const planned = planImport(data, now)
    const [imported, accounts] = [await queries.listImported(read), await queries.listAccounts(read)]
    const ids = new Set(accounts.map(({ id }) => id))
    const emails = new Set(accounts.map(({ email }) => email))
    const customers = new Set(accounts.map(({ customerId }) => customerId))
    const skipped = planned.skipped.filter(({ userId }) => !imported.has(userId))
    const users: PlannedUser[] = []
    for (const candidate of planned.users) {
      const userId = candidate.user.id
      if (imported.has(userId)) continue
      if (ids.has(userId)) skipped.push({ userId, reason: 'id_taken', collidesWith: [] })
      else if (emails.has(candidate.email))
        skipped.push({ userId, reason: 'address_taken', collidesWith: [] })
      else if (customers.has(candidate.customerId))
        users.push({
          ...candidate,
          customerId: null,
          differences: [...candidate.differences, { kind: 'link_taken' }],
        })
      else users.push(candidate)
      if (candidate.customerId !== null) customers.add(candidate.customerId)
    }
    const owners = new Set([...imported.keys(), ...users.map(({ user }) => user.id)])
    const ofV1 = new Set(data.users.map(({ id }) => id))
    const tokens = await queries.listKnownTokens(
      read,
      data.receipts.map(({ token }) => token),
    )
    const open = new Map(
      data.receipts.filter(({ token }) => !tokens.has(token)).map((one) => [one.token, one]),
    )
    const receipts = [...open.values()].flatMap((one) =>
      one.userId !== null && (owners.has(one.userId) || (!ofV1.has(one.userId) && !ids.has(one.userId)))
        ? [{ ...one, userId: one.userId }]
        : [],
    )
    const tombstones = new Set(receipts.map(({ userId }) => userId).filter((id) => !owners.has(id)))
    const [events, archived] = [await queries.listKnownEvents(read), await queries.listArchived(read)]
    const subscriptionEvents = data.users
      .filter(({ id }) => owners.has(id))
      .flatMap((user) =>
        eventsOfV1(user, {
          yearlyProductIds: deps.yearlyProductIds,
          importedAt: imported.get(user.id) ?? now,
        })
          .filter(({ eventId }) => !events.has(eventId))
          .map((event) => ({ userId: user.id, event })),
      )
    const todo: Todo = {
      data,
      users,
      owners,
      receipts,
      knownReceipts: data.receipts.filter(({ token }) => tokens.has(token)).length,
      tombstones: [...tombstones],
      events: data.events
        .filter(({ eventId }) => !events.has(eventId))
        .map((event) => ({
          ...event,
          at: event.at ?? now,
          userId: event.userId !== null && owners.has(event.userId) ? event.userId : null,
        })),
      subscriptionEvents,
      archive: data.ledger
        .filter(({ table, rowId }) => !archived.has(`${table}:${rowId}`))
        .map((row) => ({
          ...row,
          userId: row.userId !== null && owners.has(row.userId) ? row.userId : null,
        })),
    }
    return { todo, skipped, known: data.users.filter(({ id }) => imported.has(id)).length }
  }

  const createUser = async (tx: Tx, planned: PlannedUser, now: Date): Promise<void> => {
    const userId = planned.user.id
    await queries.insertImportedUser(tx, planned, now)
    const grants = [
      ...planned.lots.map(({ id, ...lot }) => ({ ...lot, grantKey: `opening:${id}` })),
      ...(planned.extraPoints > 0
        ? [
            {
              source: 'free' as const,
              amount: planned.extraPoints,
              expiresAt: null,
              grantKey: `opening:cache:${userId}`,
            },
          ]
        : []),
    ]
    for (const { expiresAt, ...grant } of grants) {
      // Its time may have come since the plan was made.
      if (expiresAt && expiresAt <= clock.now()) continue
      const given = { ...grant, userId, reason: 'opening_balance', ...(expiresAt ? { expiresAt } : {}) }
      const { isNew } = await credits.grant(tx, given)
      if (!isNew) throw new Error(`import: ${grant.grantKey} was given to somebody before`)
    }
  }

  const addReceipt = (receipt: V1Receipt & { userId: number }, now: Date): Promise<number> =>
    database.transaction((tx) =>
      insertPurchase(
        tx,
        {
          kind: 'pack',
          userId: receipt.userId,
          productId: baseProductId(receipt.productId),
          platform: receipt.platform,
          purchasedAt: receipt.at ?? now,
          points: receiptPoints(receipt),
          environment: null,
          transactionId: null,
        },
        [receipt.token],
        now,
      ),
    )

  const carryOut = async (todo: Todo, now: Date): Promise<void> => {
    for (const planned of todo.users) await database.transaction((tx) => createUser(tx, planned, now))
    await database.transaction(async (tx) => {
      for (const id of todo.tombstones) await queries.insertTombstone(tx, id, now)
    })
    for (const receipt of todo.receipts) await addReceipt(receipt, now)
    await database.transaction(async (tx) => {
      await queries.insertKnownEvents(tx, todo.events, now)
      await queries.insertArchive(tx, todo.archive, now)
      await queries.moveUserIds(tx, Math.max(1, ...todo.data.users.map(({ id }) => id), ...todo.tombstones))
    })
    for (const { event, userId } of todo.subscriptionEvents) await deps.apply(event, userId)
  }

  const run = async (
    source: Pick<Database, 'pool'>,
    options: { isApplied: boolean },
  ): Promise<ImportReport> => {
    const now = clock.now()
    const { data, tables } = await readV1(source)
    const { todo, skipped, known } = await plan(data, now)
    if (options.isApplied && data.users.length > 0) await carryOut(todo, now)
    const left = new Set(skipped.map(({ userId }) => userId))
    const sum = (numbers: number[]): number => numbers.reduce((total, number) => total + number, 0)
    return {
      isApplied: options.isApplied,
      tables,
      users: { created: todo.users.length, known, skipped },
      differences: todo.users
        .filter(({ differences }) => differences.length > 0)
        .map(({ user, differences }) => ({ userId: user.id, differences })),
      points: {
        v1Cached: sum(todo.users.map(({ user }) => user.cachedBalance)),
        fromLots: sum(todo.users.flatMap(({ lots }) => lots.map(({ amount }) => amount))),
        added: sum(todo.users.map(({ extraPoints }) => extraPoints)),
      },
      receipts: {
        added: todo.receipts.length,
        known: todo.knownReceipts,
        ofDeletedAccounts: todo.receipts.filter(({ userId }) => todo.tombstones.includes(userId)).length,
        ofSkippedAccounts: data.receipts.filter(({ userId }) => userId !== null && left.has(userId)).length,
        withoutOwner: data.receipts.filter(({ userId }) => userId === null).length,
      },
      events: { added: todo.events.length, known: data.events.length - todo.events.length },
      subscriptionEvents: todo.subscriptionEvents.length,
      archivedRows: todo.archive.length,
      unreadable: data.unreadable,
    }
  }

  return { run }
}

export type ImportV1 = ReturnType<typeof createImportV1>
