import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { buildApp, type App } from '../src/app.ts'
import { loadConfig } from '../src/platform/config.ts'
import type { Logger } from '../src/platform/observability/logger.ts'
import { until, type Account, type TestApp } from './app.ts'
import { count, rows } from './account-scene.ts'
import { silentLogger } from './logger.ts'
import type { Scene } from './narration-scene.ts'

export interface DeletionRow extends Record<string, unknown> {
  id: number
  state: string
  attempts: number
  last_failure: string | null
  next_attempt_at: Date | null
  needs_attention_at: Date | null
  notify_email: string | null
  reason: string | null
}

export interface ItemRow extends Record<string, unknown> {
  kind: string
  reference: string
  content: string | null
  external_id: string | null
  intent_token: string | null
  done_at: Date | null
  verified_at: Date | null
  attempts: number
  last_failure: string | null
}

/** Asks for the deletion as the app does; answers the id of its task. */
export const askForDeletion = async (app: TestApp, account: Account, reason?: string): Promise<string> => {
  const answer = await app.call('DELETE', '/auth/me', {
    token: account.accessToken,
    json: { current_password: account.password, ...(reason === undefined ? {} : { reason }) },
  })
  assert.equal(answer.status, 202, answer.text)
  return String(answer.body['task_id'])
}

export const deletionOf = async (app: TestApp, { id }: { id: number }): Promise<DeletionRow> => {
  const [row] = await rows<DeletionRow>(app, 'select * from account_deletions where user_id = $1', [id])
  assert.ok(row, 'there is a deletion')
  return row
}

export const itemsOf = async (app: TestApp, account: { id: number }): Promise<ItemRow[]> =>
  rows<ItemRow>(
    app,
    `select i.* from account_deletion_items i join account_deletions d on d.id = i.deletion_id
     where d.user_id = $1 order by i.id`,
    [account.id],
  )

export const statusOf = async (app: TestApp, { id }: { id: number }): Promise<unknown> =>
  (await rows<{ status: string }>(app, 'select status from users where id = $1', [id]))[0]?.status

/** Waits for the deletion to be done; fails with what holds it up. */
export const finished = async (app: TestApp, account: Account, timeoutMs = 20_000): Promise<DeletionRow> => {
  try {
    return await until(
      async () => {
        const row = await deletionOf(app, account)
        return row.state === 'done' ? row : null
      },
      'the end of the deletion',
      timeoutMs,
    )
  } catch (error) {
    const open = (await itemsOf(app, account)).filter(({ verified_at: verified }) => verified === null)
    throw new Error(JSON.stringify({ deletion: await deletionOf(app, account), open }, null, 1), {
      cause: error,
    })
  }
}

/** Waits until the job has looked `looks` times in vain and waits for its next look. */
export const waiting = (app: TestApp, account: Account, looks: number): Promise<DeletionRow> =>
  until(
    async () => {
      const row = await deletionOf(app, account)
      return row.attempts >= looks ? row : null
    },
    `look ${looks} of the deletion`,
    30_000,
  )

/** Starts what is due by the application clock, as the scheduler process does every second. */
export const tick = async (app: TestApp): Promise<void> => {
  // Other processes see a moved clock within 200 ms.
  await sleep(300)
  await app.app.scheduler.tick()
}

const mayName = new Set([
  // The ledger and the receipts, on the tombstone.
  'credit_history_counts.user_id',
  'credit_lots.user_id',
  'credit_transactions.user_id',
  'credit_transactions.actor',
  'store_purchases.user_id',
  'store_subscriptions.owner_user_id',
  'webhook_events.user_id',
  // The record of the deletion itself.
  'account_deletions.user_id',
])

/** Columns of any table that name the account, beyond those that may, and rows of any column that hold its address. */
export const tracesOf = async (app: TestApp, account: Account): Promise<string[]> => {
  const columns = await rows<{ table_name: string; column_name: string }>(
    app,
    `select c.table_name, c.column_name from information_schema.columns c
     join information_schema.tables t using (table_schema, table_name)
     where c.table_schema = 'public' and t.table_type = 'BASE TABLE'
       and (c.column_name like '%user_id' or (c.table_name, c.column_name) = ('credit_transactions', 'actor'))`,
  )
  assert.ok(columns.length > 10, 'the columns were found')
  const found: string[] = []
  for (const { table_name: table, column_name: column } of columns) {
    if (mayName.has(`${table}.${column}`)) continue
    if ((await count(app, `${table} where ${column}::text = $1`, [String(account.id)])) > 0)
      found.push(`${table}.${column}`)
  }
  const tables = await rows<{ name: string }>(
    app,
    `select format('%I.%I', table_schema, table_name) as name from information_schema.tables
     where table_type = 'BASE TABLE' and table_schema in ('public', 'pgboss')`,
  )
  for (const { name } of tables) {
    // The one mail that says it is done lies in the development outbox.
    const but = name === 'public.mail_outbox' ? ` and t.kind <> 'deletion_finished'` : ''
    if ((await count(app, `${name} t where t::text like $1${but}`, [`%${account.email}%`])) > 0)
      found.push(`${name} holds the address`)
  }
  return found
}

/** Waiting and running jobs, but for mails, deletions themselves and the record of jobs that gave up. */
export const queuedJobs = (app: TestApp): Promise<{ name: string; state: string }[]> =>
  rows(
    app,
    `select name, state::text from pgboss.job
     where state in ('created', 'retry', 'active') and name not in ('mail.send', 'accounts.delete', 'dead-letters')`,
  )

/** A further server over the scene's database, files and speech: its worker takes jobs until it is closed. */
export const startWorker = async (scene: Scene, logger: Logger = silentLogger): Promise<App> => {
  const loaded = loadConfig(scene.app.env)
  assert.ok(loaded.kind === 'ok')
  const worker = await buildApp({
    config: loaded.config,
    databaseUrl: scene.app.databaseUrl,
    logger,
    secretKey: scene.app.env['SECRET_KEY'] ?? '',
    overrides: { speechProviders: [scene.speech.provider], storage: scene.faults.storage },
  })
  await worker.work()
  return worker
}

export interface HeldStep {
  /** Waits until a transaction that would end the held step has done its work and not committed. Answers its backend. */
  reached(): Promise<number>
  /** Steps end freely again. */
  release(): Promise<void>
}

/** A deletion of the account cannot leave `state` (or, for `voice`, remove the row of a voice) until `release`. */
export const holdStep = async (app: TestApp, account: { id: number }, state: string): Promise<HeldStep> => {
  const { pool } = app.test.database
  const client = await pool.connect()
  await client.query(`
    create table if not exists held_steps (account integer, state text);
    create or replace function hold_step() returns trigger language plpgsql as $$
    begin
      if exists (select 1 from held_steps where account = old.user_id and state = coalesce(to_jsonb(old)->>'provider', '')
          || case when tg_table_name = 'voices' then '' else to_jsonb(old)->>'state' end)
        and (tg_op = 'DELETE' or to_jsonb(new)->>'state' <> to_jsonb(old)->>'state')
      then perform pg_advisory_xact_lock(4711, old.user_id); end if;
      return coalesce(new, old);
    end $$;
    create or replace trigger hold_step before update on account_deletions
      for each row execute function hold_step();
    create or replace trigger hold_step before delete on voices for each row execute function hold_step();`)
  await client.query('insert into held_steps values ($1, $2)', [
    account.id,
    state === 'voice' ? 'local' : state,
  ])
  await client.query('select pg_advisory_lock(4711, $1)', [account.id])
  return {
    reached: () =>
      until(
        async () => {
          const [waiter] = await rows<{ pid: number }>(
            app,
            `select pid from pg_locks where locktype = 'advisory' and classid = 4711 and objid = $1 and not granted`,
            [account.id],
          )
          return waiter?.pid
        },
        `the deletion to reach ${state}`,
        60_000,
      ),
    release: async () => {
      await client.query('delete from held_steps where account = $1', [account.id])
      await client.query('select pg_advisory_unlock(4711, $1)', [account.id])
      client.release()
    },
  }
}
