import type { Db, Tx } from '../../platform/db/database.ts'
import { sha256 } from '../../platform/crypto.ts'

/** One store transaction: a paid subscription period, or a pack. */
export interface Purchase {
  id: number
  kind: 'period' | 'pack'
  /** Whom it is paid to. */
  userId: number
  subscriptionId: number | null
  /** Base id; null when no event named one. */
  productId: string | null
  platform: 'ios' | 'android' | null
  purchasedAt: Date
  endsAt: Date | null
  isRefunded: boolean
  /** Event time of the last refund or reversal. */
  refundChangedAt: Date | null
  /** What was granted for it (annual: month 0); null = nothing yet. */
  points: number | null
  notGrantedReason: string | null
  nextGrantAt: Date | null
  monthsPaidBefore: Date | null
  environment: string | null
  price: number | null
  currency: string | null
  /** Null when no event named one, and after the deletion of the account. */
  transactionId: string | null
}

const columns = [
  'id',
  'kind',
  'user_id',
  'subscription_id',
  'product_id',
  'platform',
  'purchased_at',
  'ends_at',
  'is_refunded',
  'refund_changed_at',
  'points',
  'not_granted_reason',
  'next_grant_at',
  'months_paid_before',
  'environment',
  'price',
  'currency',
  'transaction_id',
] as const

const select = (db: Db) => db.selectFrom('store_purchases').select(columns)
type Row = NonNullable<Awaited<ReturnType<ReturnType<typeof select>['executeTakeFirst']>>>

const toPurchase = (row: Row): Purchase => ({
  id: row.id,
  kind: row.kind === 'pack' ? 'pack' : 'period',
  userId: row.user_id,
  subscriptionId: row.subscription_id,
  productId: row.product_id,
  platform: row.platform === 'ios' || row.platform === 'android' ? row.platform : null,
  purchasedAt: row.purchased_at,
  endsAt: row.ends_at,
  isRefunded: row.is_refunded,
  refundChangedAt: row.refund_changed_at,
  points: row.points,
  notGrantedReason: row.not_granted_reason,
  nextGrantAt: row.next_grant_at,
  monthsPaidBefore: row.months_paid_before,
  environment: row.environment,
  price: row.price === null ? null : Number(row.price),
  currency: row.currency,
  transactionId: row.transaction_id,
})

/**
 * An identifier of the request belongs to another purchase: another transaction was first. The caller rolls back and
 * starts over, and then finds that purchase by the alias.
 */
export class AliasClaimed extends Error {
  readonly purchaseId: number

  constructor(purchaseId: number) {
    super('an identifier belongs to another purchase')
    this.name = 'AliasClaimed'
    this.purchaseId = purchaseId
  }
}

/** Plain SHA-256 of an identifier: it must outlive key rotation and the account (30 §3). One namespace for all stores. */
export const aliasHash = (identifier: string): Buffer => sha256(identifier)

export const findPurchase = async (db: Db, id: number): Promise<Purchase | null> => {
  const row = await select(db).where('id', '=', id).executeTakeFirst()
  return row ? toPurchase(row) : null
}

/** To be called under the locks of the users concerned. */
export const lockPurchase = async (tx: Tx, id: number): Promise<Purchase | null> => {
  const row = await select(tx).where('id', '=', id).forUpdate().executeTakeFirst()
  return row ? toPurchase(row) : null
}

/** Each identifier that is known → its purchase's id. */
export const findAliases = async (db: Db, identifiers: readonly string[]): Promise<Map<string, number>> => {
  if (identifiers.length === 0) return new Map()
  const byHash = new Map(identifiers.map((identifier) => [aliasHash(identifier).toString('hex'), identifier]))
  const rows = await db
    .selectFrom('store_purchase_aliases')
    .select(['alias_hash', 'purchase_id'])
    .where('alias_hash', 'in', identifiers.map(aliasHash))
    .execute()
  return new Map(
    rows.flatMap((row): [string, number][] => {
      const identifier = byHash.get(row.alias_hash.toString('hex'))
      return identifier === undefined ? [] : [[identifier, row.purchase_id]]
    }),
  )
}

/** The purchase that any of the identifiers names; the first identifier that is known decides. */
export const findPurchaseByAlias = async (
  db: Db,
  identifiers: readonly string[],
): Promise<Purchase | null> => {
  const known = await findAliases(db, identifiers)
  const id = identifiers.map((identifier) => known.get(identifier)).find((found) => found !== undefined)
  return id === undefined ? null : findPurchase(db, id)
}

/**
 * Makes all identifiers name the purchase, in ascending hash order. Throws `AliasClaimed` when one of them names another
 * purchase, also one that a concurrent transaction has just committed.
 */
export const addAliases = async (
  tx: Tx,
  purchaseId: number,
  identifiers: readonly string[],
): Promise<void> => {
  if (identifiers.length === 0) return
  const hashes = [...new Set(identifiers)].map(aliasHash).sort((a, b) => a.compare(b))
  await tx
    .insertInto('store_purchase_aliases')
    .values(hashes.map((hash) => ({ alias_hash: hash, purchase_id: purchaseId })))
    .onConflict((conflict) => conflict.column('alias_hash').doNothing())
    .execute()
  const others = await tx
    .selectFrom('store_purchase_aliases')
    .select('purchase_id')
    .where('alias_hash', 'in', hashes)
    .where('purchase_id', '<>', purchaseId)
    .executeTakeFirst()
  if (others) throw new AliasClaimed(others.purchase_id)
}

export interface NewPurchase {
  kind: Purchase['kind']
  userId: number
  subscriptionId?: number | null
  productId: string | null
  platform?: Purchase['platform']
  purchasedAt: Date
  endsAt?: Date | null
  refund?: { isRefunded: boolean; changedAt: Date } | null
  points?: number | null
  notGrantedReason?: string | null
  monthsPaidBefore?: Date | null
  environment: string | null
  price?: number | null
  currency?: string | null
  transactionId: string | null
  originalTransactionId?: string | null
}

/** A purchase and its identifiers (at least one). Throws `AliasClaimed` when one of them is taken. */
export const insertPurchase = async (
  tx: Tx,
  purchase: NewPurchase,
  identifiers: readonly string[],
  now: Date,
): Promise<number> => {
  if (identifiers.length === 0) throw new Error('purchases: a purchase needs an identifier')
  const { id } = await tx
    .insertInto('store_purchases')
    .values({
      kind: purchase.kind,
      user_id: purchase.userId,
      subscription_id: purchase.subscriptionId ?? null,
      product_id: purchase.productId,
      platform: purchase.platform ?? null,
      purchased_at: purchase.purchasedAt,
      ends_at: purchase.endsAt ?? null,
      is_refunded: purchase.refund?.isRefunded ?? false,
      refund_changed_at: purchase.refund?.changedAt ?? null,
      points: purchase.points ?? null,
      not_granted_reason: purchase.notGrantedReason ?? null,
      months_paid_before: purchase.monthsPaidBefore ?? null,
      environment: purchase.environment,
      price: purchase.price ?? null,
      currency: purchase.currency ?? null,
      transaction_id: purchase.transactionId,
      original_transaction_id: purchase.originalTransactionId ?? null,
      created_at: now,
      updated_at: now,
    })
    .returning('id')
    .executeTakeFirstOrThrow()
  await addAliases(tx, id, identifiers)
  return id
}

export interface PurchaseChange {
  subscriptionId?: number
  productId?: string
  platform?: 'ios' | 'android'
  purchasedAt?: Date
  endsAt?: Date
  refund?: { isRefunded: boolean; changedAt: Date }
  points?: number
  notGrantedReason?: string | null
  nextGrantAt?: Date | null
}

/** Changes only what is given. */
export const updatePurchase = async (
  tx: Tx,
  id: number,
  change: PurchaseChange,
  now: Date,
): Promise<void> => {
  await tx
    .updateTable('store_purchases')
    .set({
      updated_at: now,
      ...(change.subscriptionId === undefined ? {} : { subscription_id: change.subscriptionId }),
      ...(change.productId === undefined ? {} : { product_id: change.productId }),
      ...(change.platform === undefined ? {} : { platform: change.platform }),
      ...(change.purchasedAt === undefined ? {} : { purchased_at: change.purchasedAt }),
      ...(change.endsAt === undefined ? {} : { ends_at: change.endsAt }),
      ...(change.refund === undefined
        ? {}
        : { is_refunded: change.refund.isRefunded, refund_changed_at: change.refund.changedAt }),
      ...(change.points === undefined ? {} : { points: change.points }),
      ...(change.notGrantedReason === undefined ? {} : { not_granted_reason: change.notGrantedReason }),
      ...(change.nextGrantAt === undefined ? {} : { next_grant_at: change.nextGrantAt }),
    })
    .where('id', '=', id)
    .execute()
}

/** Packs of the user that are paid in the store, not refunded, and without points. */
export const listUnpaidPacks = async (db: Db, userId: number): Promise<Purchase[]> => {
  const rows = await select(db)
    .where('user_id', '=', userId)
    .where('kind', '=', 'pack')
    .where('points', 'is', null)
    .where('is_refunded', '=', false)
    .orderBy('id')
    .execute()
  return rows.map(toPurchase)
}

/** Purchases of a user, or by id, oldest first. */
export const listPurchases = async (
  db: Db,
  of: { userId: number } | { ids: readonly number[] },
): Promise<Purchase[]> => {
  const query = select(db).orderBy('id')
  if ('userId' in of) return (await query.where('user_id', '=', of.userId).execute()).map(toPurchase)
  if (of.ids.length === 0) return []
  return (await query.where('id', 'in', [...of.ids]).execute()).map(toPurchase)
}
