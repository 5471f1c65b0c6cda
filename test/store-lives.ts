import fc from 'fast-check'

/** A webhook event as RevenueCat sends it, and the number of the line it is about (null: a TRANSFER). */
export interface SentEvent {
  line: number | null
  body: { api_version: '1.0'; event: Record<string, unknown> & { id: string; type: string } }
}

/** What the store knows of a line after all events; the server must come to the same. */
export interface LineTruth {
  store: 'APP_STORE' | 'PLAY_STORE'
  /** Customer id of the owner; one that is no user's begins with `$`. */
  owner: string
  transactionId: string
  /** The product of the current transaction, as bought. */
  plan: string
  endMs: number
  isActive: boolean
  willRenew: boolean
  /** Transactions whose money was given back. */
  refunded: Set<string>
}

export interface StoreLife {
  events: SentEvent[]
  lines: LineTruth[]
}

type Kind =
  | 'renew'
  | 'cancel'
  | 'uncancel'
  | 'billing-issue'
  | 'expire'
  | 'extend'
  | 'change-product'
  | 'pause'
  | 'refund'
  | 'reverse-refund'
  | 'transfer'

interface Step {
  kind: Kind
  line: number
  gapSeconds: number
  choice: number
}

const day = 86_400_000
const products = ['dawnotemu_monthly', 'dawnotemu_annual', 'dawnotemu_annual:p1y', 'dawnotemu_monthly:p1m']
/** Three users, and a customer that is nobody's. */
const customers = ['11', '12', '13', '$RCAnonymousID:0f'] as const

const kinds: readonly Kind[] = [
  ...(['renew', 'renew', 'renew'] as const),
  'cancel',
  'uncancel',
  'billing-issue',
  'expire',
  'extend',
  'change-product',
  'pause',
  'refund',
  'reverse-refund',
  'transfer',
]

type Line = LineTruth & { original: string; count: number; productId: string }

interface LineSeed {
  isApple: boolean
  product: number
  owner: number
  isTemporaryFirst: boolean
}

const simulate = (
  seeds: readonly LineSeed[],
  steps: readonly Step[],
  missing: readonly string[],
): StoreLife => {
  const events: SentEvent[] = []
  const lines: Line[] = []
  let now = Date.UTC(2026, 0, 31, 9, 30)
  let serial = 0

  const send = (line: number | null, type: string, fields: Record<string, unknown>): void => {
    serial += 1
    now += 1
    const event = {
      id: `event-${serial}`,
      type,
      event_timestamp_ms: now,
      environment: 'PRODUCTION',
      ...fields,
    }
    for (const field of missing) delete (event as Record<string, unknown>)[field]
    events.push({ line, body: { api_version: '1.0', event } })
  }
  const common = (at: number): Record<string, unknown> => {
    const line = lines[at]!
    return {
      app_user_id: line.owner,
      original_app_user_id: '$RCAnonymousID:original',
      aliases: [line.owner],
      store: line.store,
      product_id: line.productId,
      transaction_id: line.transactionId,
      original_transaction_id: line.original,
      expiration_at_ms: line.endMs,
      currency: 'PLN',
      subscriber_attributes: { $email: { value: 'somebody@example.com', updated_at_ms: now } },
    }
  }
  const begin = (at: number, type: string, startsMs: number): void => {
    const line = lines[at]!
    line.count += 1
    line.transactionId =
      line.store === 'APP_STORE' ? `20000${at}${line.count}` : `${line.original}..${line.count}`
    line.plan = line.productId
    line.endMs = startsMs + (line.plan.includes('annual') ? 365 : 30) * day
    line.isActive = true
    line.willRenew = true
    send(at, type, { ...common(at), purchased_at_ms: startsMs, price: 29.99, period_type: 'NORMAL' })
  }

  for (const [at, seed] of seeds.entries()) {
    now += 1000
    const productId = products[seed.product % products.length]!
    lines.push({
      store: seed.isApple ? 'APP_STORE' : 'PLAY_STORE',
      owner: customers[seed.owner % 3]!,
      original: seed.isApple ? `20000${at}0` : `GPA.33-${at}`,
      transactionId: 'none',
      productId,
      plan: productId,
      endMs: 0,
      isActive: false,
      willRenew: false,
      refunded: new Set(),
      count: 0,
    })
    if (seed.isTemporaryFirst)
      send(at, 'TEMPORARY_ENTITLEMENT_GRANT', {
        ...common(at),
        transaction_id: `temporary-${at}`,
        purchased_at_ms: now,
        expiration_at_ms: now + day,
      })
    begin(at, 'INITIAL_PURCHASE', now)
  }

  const act: Record<Kind, (at: number, line: Line, choice: number) => void> = {
    renew: (at, line, choice) => {
      // Stores renew up to a day early.
      now = Math.max(now, line.endMs - (choice % 2) * day)
      begin(at, 'RENEWAL', Math.max(now, line.endMs))
    },
    cancel: (at, line) => {
      line.willRenew = false
      send(at, 'CANCELLATION', { ...common(at), cancel_reason: 'UNSUBSCRIBE', price: 0 })
    },
    uncancel: (at, line) => {
      line.willRenew = true
      send(at, 'UNCANCELLATION', common(at))
    },
    'billing-issue': (at, line) =>
      send(at, 'BILLING_ISSUE', {
        ...common(at),
        grace_period_expiration_at_ms: line.endMs + 16 * day,
      }),
    expire: (at, line) => {
      now = Math.max(now, line.endMs)
      line.isActive = false
      line.willRenew = false
      send(at, 'EXPIRATION', { ...common(at), expiration_reason: 'UNSUBSCRIBE' })
    },
    extend: (at, line, choice) => {
      line.endMs += (1 + (choice % 30)) * day
      send(at, 'SUBSCRIPTION_EXTENDED', common(at))
    },
    'change-product': (at, line, choice) => {
      const productId = products[choice % products.length]!
      send(at, 'PRODUCT_CHANGE', { ...common(at), new_product_id: productId })
      line.productId = productId
      if (choice % 3 === 0) begin(at, 'RENEWAL', now)
    },
    pause: (at, line, choice) => {
      line.willRenew = false
      send(at, 'SUBSCRIPTION_PAUSED', { ...common(at), auto_resume_at_ms: now + (1 + (choice % 60)) * day })
    },
    refund: (at, line, choice) => {
      line.refunded.add(line.transactionId)
      const isBySupport = choice % 2 === 0
      if (!isBySupport) line.willRenew = false
      send(at, 'CANCELLATION', {
        ...common(at),
        cancel_reason: isBySupport ? 'CUSTOMER_SUPPORT' : 'UNKNOWN',
        price: -29.99,
      })
    },
    'reverse-refund': (at, line) => {
      line.refunded.delete(line.transactionId)
      line.isActive = true
      send(at, 'REFUND_REVERSED', common(at))
    },
    transfer: (_at, line, choice) => {
      const from = line.owner
      const to = customers[choice % customers.length]!
      for (const other of lines) if (other.owner === from && other.store === line.store) other.owner = to
      send(null, 'TRANSFER', { store: line.store, transferred_from: [from], transferred_to: [to] })
    },
  }
  for (const step of steps) {
    const at = step.line % lines.length
    now += step.gapSeconds * 1000
    act[step.kind](at, lines[at]!, step.choice)
  }
  return { events, lines }
}

const optionalFields = ['transaction_id', 'original_transaction_id', 'purchased_at_ms', 'expiration_at_ms']

const stepsOf = (allowed: readonly Kind[]): fc.Arbitrary<Step[]> =>
  fc.array(
    fc.record({
      kind: fc.constantFrom(...allowed),
      line: fc.nat(2),
      gapSeconds: fc.constantFrom(1, 3600, 86_400, 5 * 86_400, 31 * 86_400),
      choice: fc.nat(1000),
    }),
    { maxLength: 14, size: 'max' },
  )

const seeds = fc.array(
  fc.record({ isApple: fc.boolean(), product: fc.nat(3), owner: fc.nat(2), isTemporaryFirst: fc.boolean() }),
  { minLength: 1, maxLength: 3 },
)

/**
 * Lives of one to three subscriptions among three users, in the order of the store's clock; all event times differ.
 * `without` leaves kinds of events out; `isGappy` also makes lives whose events lack ids or times.
 */
export const storeLives = (
  options: { without?: readonly Kind[]; isGappy?: boolean } = {},
): fc.Arbitrary<StoreLife> => {
  const allowed = kinds.filter((kind) => !options.without?.includes(kind))
  const missing = options.isGappy ? fc.subarray(optionalFields) : fc.constant<string[]>([])
  return fc.tuple(seeds, stepsOf(allowed), missing).map((parts) => simulate(...parts))
}
