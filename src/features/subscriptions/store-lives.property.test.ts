import assert from 'node:assert/strict'
import { after, before, suite, test } from 'node:test'
import fc from 'fast-check'
import { insertUser } from '../users/users.ts'
import type { Account } from '../../../test/app.ts'
import { count, newAddress, rows } from '../../../test/account-scene.ts'
import { manualClock, readBooks, spendableOf, sum } from '../../../test/ledger-fixtures.ts'
import { propertySettings } from '../../../test/property-settings.ts'
import { storeLives, type SentEvent, type StoreLife } from '../../../test/store-lives.ts'
import { startWebhooks, type WebhookScene } from '../../../test/webhook-scene.ts'

/** When the lives begin: then no annual month after the first is due, so that all orders owe the same points. */
const clock = manualClock('2026-01-31T09:30:00.000Z')
const customers = ['11', '12', '13']

suite('store lives through the webhook', () => {
  let scene: WebhookScene
  let serial = 0
  before(async () => {
    scene = await startWebhooks({ overrides: { clock } })
  })
  after(() => scene.close())

  /** The three users of a life, new ones, so that each run is alone. */
  const newUsers = (): Promise<Pick<Account, 'id'>[]> =>
    scene.app.app.database.transaction(async (tx) => {
      const users: Pick<Account, 'id'>[] = []
      for (const _ of customers) {
        const now = clock.now()
        const id = await insertUser(tx, {
          email: newAddress(),
          passwordHash: 'none',
          status: 'active',
          termsVersion: '1',
          trialExpiresAt: now,
          now,
        })
        users.push({ id })
      }
      return users
    })

  /** The event with ids of this run: users, transactions and event ids. */
  const own = (
    body: SentEvent['body'],
    users: readonly Pick<Account, 'id'>[],
    run: number,
  ): Record<string, unknown> => {
    const customer = (id: unknown): unknown => {
      const at = customers.indexOf(String(id))
      // A stranger of another run would be the same stranger.
      return at < 0 ? `${String(id)}-${run}` : String(users[at]?.id)
    }
    const event: Record<string, unknown> = { ...body.event, id: `${run}-${body.event.id}` }
    for (const field of ['app_user_id', 'original_app_user_id'])
      if (event[field] !== undefined) event[field] = customer(event[field])
    for (const field of ['aliases', 'transferred_from', 'transferred_to']) {
      const ids = event[field]
      if (Array.isArray(ids)) event[field] = ids.map(customer)
    }
    for (const field of ['transaction_id', 'original_transaction_id'])
      if (typeof event[field] === 'string') event[field] = `${run}/${event[field]}`
    return { api_version: '1.0', event }
  }

  /** Delivers the events in the order given, and answers what the users see and hold in the end. */
  const live = async (events: readonly SentEvent[], users: readonly Pick<Account, 'id'>[]) => {
    serial += 1
    const run = serial
    for (const { body } of events) {
      const { status, text } = await scene.deliver(own(body, users, run))
      assert.ok(status === 200 || status === 404, text)
    }
    const { database } = scene.app.app
    const books = await Promise.all(users.map(({ id }) => readBooks(database, id)))
    for (const book of books) {
      const left = sum(book.lots.map(({ remaining }) => remaining))
      assert.equal(sum(book.transactions.map(({ amount }) => amount)), left, 'I4')
      if (book.cachedAt) assert.equal(book.cached, spendableOf(book, clock.now()), 'I1')
      for (const lot of book.lots) assert.ok(lot.remaining >= 0 && lot.remaining <= lot.granted, 'I2')
    }
    const shown = await Promise.all(users.map((user) => scene.user(user)))
    return { run, shown, points: books.map((book) => spendableOf(book, clock.now())) }
  }

  const paidTwice = (): Promise<number> =>
    count(
      scene.app,
      `(select 1 from credit_transactions where type = 'credit' group by purchase_id having count(*) > 1) as twice`,
    )

  const fullyKnown = storeLives({ without: ['transfer'] })

  const shuffles = (life: StoreLife): fc.Arbitrary<SentEvent[]> =>
    fc
      .tuple(
        fc.shuffledSubarray(life.events, { minLength: life.events.length, maxLength: life.events.length }),
        fc.array(fc.nat(life.events.length - 1), { maxLength: 3 }),
      )
      // Some are delivered again under new ids.
      .map(([events, again]) => [
        ...events,
        ...again.flatMap((at): SentEvent[] => {
          const event = life.events[at]
          if (!event) return []
          const { body, line } = event
          return [{ line, body: { ...body, event: { ...body.event, id: `${body.event.id}-again` } } }]
        }),
      ])

  const withShuffle = (lives: fc.Arbitrary<StoreLife>) =>
    lives.chain((life) => shuffles(life).map((shuffled) => ({ life, shuffled })))

  test('any order and multiplicity ends in the truth of the store and one balance (I12, I4)', async () => {
    await fc.assert(
      fc.asyncProperty(withShuffle(fullyKnown), async ({ life, shuffled }) => {
        const users = await newUsers()
        const { run, shown, points } = await live(shuffled, users)
        for (const [at, customer] of customers.entries()) {
          const lines = life.lines.filter(({ owner }) => owner === customer)
          const isActive = lines.some((line) => line.isActive && line.endMs > clock.now().getTime())
          const user = shown[at]
          assert.ok(user)
          assert.equal(
            user.subscription_active && Number(user.subscription_expires_at) > clock.now().getTime(),
            isActive,
          )
        }
        const bought = await rows<{ transaction_id: string; is_refunded: boolean; points: number | null }>(
          scene.app,
          'select transaction_id, is_refunded, points from store_purchases where transaction_id like $1',
          [`${run}/%`],
        )
        const refunded = new Set(life.lines.flatMap((line) => [...line.refunded].map((id) => `${run}/${id}`)))
        assert.deepEqual(
          bought
            .filter((row) => row.is_refunded)
            .map((row) => row.transaction_id)
            .sort(),
          [...refunded].sort(),
        )
        const sold = new Set(
          life.events
            .filter(({ body }) => ['INITIAL_PURCHASE', 'RENEWAL'].includes(body.event.type))
            .map(({ body }) => `${run}/${String(body.event['transaction_id'])}`),
        )
        assert.deepEqual(bought.map((row) => row.transaction_id).sort(), [...sold].sort())
        const kept = bought.filter((row) => !row.is_refunded)
        assert.ok(kept.every((row) => row.points === 26 || row.points === 30))
        assert.equal(sum(points), sum(kept.map((row) => row.points ?? 0)))
        assert.equal(await paidTwice(), 0)
      }),
      propertySettings(20),
    )
  })

  test('with TRANSFERs, two orders of arrival end alike', async () => {
    await fc.assert(
      fc.asyncProperty(withShuffle(storeLives()), async ({ life, shuffled }) => {
        const [users, others] = [await newUsers(), await newUsers()]
        const inOrder = await live(life.events, users)
        const mixed = await live(shuffled, others)
        assert.deepEqual(mixed.shown, inOrder.shown)
        assert.equal(sum(mixed.points), sum(inOrder.points))
        assert.equal(await paidTwice(), 0)
      }),
      propertySettings(12),
    )
  })

  test('events with missing ids and times never fail, and never pay a transaction twice', async () => {
    await fc.assert(
      fc.asyncProperty(withShuffle(storeLives({ isGappy: true })), async ({ shuffled }) => {
        await live(shuffled, await newUsers())
        assert.equal(await paidTwice(), 0)
      }),
      propertySettings(8),
    )
  })

  test('all events of a life at once (I21)', async () => {
    await fc.assert(
      fc.asyncProperty(storeLives(), async (life) => {
        const [users, others] = [await newUsers(), await newUsers()]
        const inOrder = await live(life.events, users)
        serial += 1
        const run = serial
        const answers = await Promise.all(
          life.events.map(({ body }) => scene.deliver(own(body, others, run))),
        )
        for (const { status, text } of answers) assert.ok(status === 200 || status === 404, text)
        const { shown, points } = await live([], others)
        assert.deepEqual(shown, inOrder.shown)
        assert.equal(sum(points), sum(inOrder.points))
        assert.equal(await paidTwice(), 0)
      }),
      propertySettings(8),
    )
  })
})
