import { sha256 } from '../../platform/crypto.ts'
import { AppError } from '../../platform/errors.ts'
import type { LotSource } from '../credits/credits.ts'

/** A grant as an administrator asks for it, checked. */
export interface GrantRequest {
  amount: number
  source: LotSource
  reason: string
  expiresAt: Date | null
}

const sources: readonly LotSource[] = ['event', 'monthly', 'referral', 'add_on', 'free']
const reasonLimit = 255
const withZone =
  /^(\d{4})-(\d\d)-(\d\d)T([01]\d|2[0-3]):[0-5]\d(:[0-5]\d(\.\d{1,9})?)?(Z|[+-]([01]\d|2[0-3])(:?[0-5]\d)?)$/

const isAbsent = (value: unknown): boolean => value === undefined || value === null || value === ''

/** ISO 8601 with a zone, to the minute or finer; null for anything else, days that no calendar has included. */
const readInstant = (value: unknown): Date | null => {
  const match = typeof value === 'string' ? withZone.exec(value.trim()) : null
  if (!match) return null
  const [text, year, month, day] = match
  const date = new Date(Date.UTC(Number(year), Number(month) - 1, Number(day)))
  if (!date.toISOString().startsWith(`${year}-${month}-${day}`)) return null
  const instant = new Date(text.replace(/([+-]\d\d):?(\d\d)?$/, (_all, h: string, m = '00') => `${h}:${m}`))
  return Number.isNaN(instant.getTime()) ? null : instant
}

const readExpiry = (value: unknown, now: Date): Date | null => {
  if (isAbsent(value)) return null
  const instant = readInstant(value)
  if (!instant) throw new AppError('grant_expiry_format')
  if (instant <= now) throw new AppError('grant_expiry_past')
  return instant
}

const readAmount = (value: unknown, maximum: number): number => {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 1)
    throw new AppError('grant_amount')
  if (value > maximum) throw new AppError('grant_amount', { text: `amount must be at most ${maximum}` })
  return value
}

const readSource = (value: unknown): LotSource => {
  if (isAbsent(value)) return 'add_on'
  const name = typeof value === 'string' ? value.trim().toLowerCase() : null
  const source = sources.find((known) => known === name)
  if (!source) throw new AppError('grant_source')
  return source
}

const readReason = (value: unknown): string => {
  if (isAbsent(value)) return 'admin_grant'
  if (typeof value !== 'string') throw new AppError('grant_reason')
  if (value.includes('\0') || !value.isWellFormed())
    throw new AppError('invalid_value', { text: 'Invalid value for reason.' })
  const reason = value.trim()
  if ([...reason].length > reasonLimit) throw new AppError('grant_reason')
  return reason === '' ? 'admin_grant' : reason
}

/** Rows 2 to 5 of 30 §13, in their order. */
export const readGrantRequest = (
  fields: Record<string, unknown>,
  { now, maximum }: { now: Date; maximum: number },
): GrantRequest => {
  const expiresAt = readExpiry(fields['expires_at'], now)
  const amount = readAmount(fields['amount'], maximum)
  const source = readSource(fields['source'])
  return { amount, source, reason: readReason(fields['reason']), expiresAt }
}

/** Row 6: the header, or null without one. */
export const readIdempotencyKey = (header: string | string[] | undefined): string | null => {
  if (header === undefined) return null
  if (typeof header !== 'string' || !/^[\x20-\x7e]{1,128}$/.test(header))
    throw new AppError('idempotency_key')
  return header
}

/** The same for the same user and the same meaning of the body. */
export const hashGrantRequest = (userId: number, request: GrantRequest): Buffer => {
  const { amount, source, reason, expiresAt } = request
  return sha256(JSON.stringify([userId, amount, source, reason, expiresAt?.toISOString() ?? null]))
}
