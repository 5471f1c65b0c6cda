import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import type { AppOverrides } from '../src/app.ts'
import { createAccount, rows } from './account-scene.ts'
import { startTestApp, type Account, type Answer, type TestApp } from './app.ts'

export const dayMs = 86_400_000
export const webhookSecret = 'webhook-secret-of-this-test'

export type EventFields = Record<string, unknown> & { type: string }

export interface UserRow extends Record<string, unknown> {
  subscription_active: boolean
  subscription_plan: string | null
  subscription_pending_plan: string | null
  subscription_expires_at: Date | null
  subscription_will_renew: boolean
  subscription_source: string | null
  billing_issue_at: Date | null
}

export interface LedgerRow extends Record<string, unknown> {
  type: string
  amount: number
  reason: string
  status: string
}

export interface WebhookScene {
  app: TestApp
  account(): Promise<Account>
  /** Delivers a body that need not be an event. */
  deliver(body: unknown, headers?: Record<string, string>): Promise<Answer>
  /** Delivers an event, with a new id unless it has one; asserts 200 and answers its status. */
  send(event: EventFields): Promise<string>
  user(account: Pick<Account, 'id'>): Promise<UserRow>
  /** The account's ledger without the welcome, oldest first. */
  ledger(account: Pick<Account, 'id'>): Promise<LedgerRow[]>
  /** Computed from the lots. */
  balance(account: Pick<Account, 'id'>): Promise<number>
  storedEvents(): Promise<{ event_id: string; event_type: string; outcome: string; fields: unknown }[]>
  close(): Promise<void>
}

/** The real server, whose store events need `webhookSecret`; accounts begin with 0 points. */
export const startWebhooks = async (
  options: { env?: Record<string, string>; overrides?: AppOverrides; work?: boolean } = {},
): Promise<WebhookScene> => {
  const { env, ...rest } = options
  const app = await startTestApp({
    work: false,
    ...rest,
    env: { INITIAL_CREDITS: '0', REVENUECAT_WEBHOOK_SECRET: webhookSecret, ...env },
  })

  const deliver: WebhookScene['deliver'] = (body, headers) =>
    app.call('POST', '/api/webhooks/revenuecat', {
      body: typeof body === 'string' ? body : JSON.stringify(body),
      headers: { authorization: webhookSecret, 'content-type': 'application/json', ...headers },
    })

  return {
    app,
    account: () => createAccount(app),
    deliver,
    send: async (event) => {
      const answer = await deliver(envelope(event))
      assert.equal(answer.status, 200, answer.text)
      return String(answer.body['status'])
    },
    user: async (account) => {
      const [row] = await rows<UserRow>(
        app,
        `select subscription_active, subscription_plan, subscription_pending_plan, subscription_expires_at,
           subscription_will_renew, subscription_source, billing_issue_at from users where id = $1`,
        [account.id],
      )
      assert.ok(row)
      return row
    },
    ledger: (account) =>
      rows<LedgerRow>(
        app,
        'select type, amount, reason, status from credit_transactions where user_id = $1 order by id',
        [account.id],
      ),
    balance: (account) => app.app.credits.balance(app.app.database.read, account.id),
    storedEvents: () =>
      rows(app, 'select event_id, event_type, outcome, fields from webhook_events order by id'),
    close: () => app.close(),
  }
}

export const envelope = (event: EventFields): { api_version: string; event: Record<string, unknown> } => ({
  api_version: '1.0',
  event: { id: randomBytes(8).toString('hex'), environment: 'PRODUCTION', ...event },
})

let serial = 0

/** A subscription in the App Store: fields that all of its events share, with ids of its own. */
export const appleLine = (
  account: Pick<Account, 'id'>,
  productId = 'dawnotemu_monthly',
): Record<string, unknown> & { original_transaction_id: string } => {
  serial += 1
  return {
    app_user_id: String(account.id),
    original_app_user_id: '$RCAnonymousID:original',
    aliases: [String(account.id)],
    store: 'APP_STORE',
    product_id: productId,
    original_transaction_id: `2000000${serial}000`,
    currency: 'PLN',
    subscriber_attributes: { $email: { value: 'ktos@example.com', updated_at_ms: 1 } },
  }
}

/** A purchase event of a line: its `n`-th transaction, from `startMs`, for `days`. */
export const purchase = (
  line: Record<string, unknown>,
  type: 'INITIAL_PURCHASE' | 'RENEWAL',
  { n = 0, startMs, days = 30 }: { n?: number; startMs: number; days?: number },
): EventFields => ({
  ...line,
  type,
  transaction_id: `${String(line['original_transaction_id'])}${n}`,
  event_timestamp_ms: startMs,
  purchased_at_ms: startMs,
  expiration_at_ms: startMs + days * dayMs,
  price: 29.99,
  period_type: 'NORMAL',
})
