import assert from 'node:assert/strict'
import type { AppOverrides } from '../src/app.ts'
import { startTestApp, type Account, type Answer, type TestApp } from './app.ts'
import { createAccount, rows, setUser } from './account-scene.ts'
import { startRevenueCat, type RevenueCatServer } from './revenuecat-server.ts'

export interface PacksScene {
  app: TestApp
  store: RevenueCatServer
  /** An account whose subscription is active for 30 days. */
  subscriber(): Promise<Account>
  grantAddon(account: Account, body: unknown): Promise<Answer>
  balance(account: Account): Promise<number>
  /** Purchases of the account: product, points, why not. */
  purchases(
    account: Account,
  ): Promise<
    { id: number; product_id: string | null; points: number | null; not_granted_reason: string | null }[]
  >
  aliases(account: Account): Promise<number>
  close(): Promise<void>
}

/** The real server and a stand-in of the store's books that it asks with the apps' public keys. */
export const startPacks = async (
  options: { env?: Record<string, string>; overrides?: AppOverrides; work?: boolean } = {},
): Promise<PacksScene> => {
  const store = await startRevenueCat()
  const { env, ...rest } = options
  const app = await startTestApp({
    ...rest,
    env: {
      INITIAL_CREDITS: '0',
      REVENUECAT_API_BASE_URL: store.url,
      REVENUECAT_IOS_PUBLIC_KEY: store.keys.ios,
      REVENUECAT_ANDROID_PUBLIC_KEY: store.keys.android,
      ...env,
    },
  })

  const subscriber: PacksScene['subscriber'] = async () => {
    const account = await createAccount(app)
    await setUser(
      app,
      account.id,
      `subscription_active = true, subscription_expires_at = now() + interval '30 days'`,
    )
    return account
  }

  return {
    app,
    store,
    subscriber,
    grantAddon: (account, json) =>
      app.call('POST', '/api/credits/grant-addon', { token: account.accessToken, json }),
    balance: async (account) =>
      Number((await app.call('GET', '/me/credits', { token: account.accessToken })).body['balance']),
    purchases: (account) =>
      rows(
        app,
        `select id, product_id, points, not_granted_reason from store_purchases where user_id = $1 order by id`,
        [account.id],
      ),
    aliases: async (account) =>
      (
        await rows(
          app,
          `select 1 from store_purchase_aliases a join store_purchases p on p.id = a.purchase_id
           where p.user_id = $1`,
          [account.id],
        )
      ).length,
    close: async () => {
      await app.close()
      await store.close()
      assert.deepEqual(store.violations, [], 'every question to the store kept its protocol')
    },
  }
}

/** What the app sends after a purchase. */
export const receipt = (
  token: string,
  productId = 'credits_10',
  platform = 'ios',
): { receipt_token: string; product_id: string; platform: string } => ({
  receipt_token: token,
  product_id: productId,
  platform,
})
