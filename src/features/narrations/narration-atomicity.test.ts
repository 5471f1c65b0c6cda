import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { startScene, type Cast, type Scene } from '../../../test/narration-scene.ts'

/** V-L4: debit, narration, attempt, slot and job commit together or not at all. */
describe('a request whose transaction fails changes nothing', () => {
  let scene: Scene
  before(async () => {
    // Nothing works on jobs here: what a request leaves behind stays to be counted.
    scene = await startScene({ work: false, env: { INITIAL_CREDITS: '10' } })
    scene.app.expectErrors()
  })
  after(() => scene.close())

  const tables = [
    'credit_transactions',
    'credit_transaction_allocations',
    'narrations',
    'narration_attempts',
    'voice_slots',
    'voice_slot_events',
    'pgboss.job',
  ]

  const everything = async (cast: Cast): Promise<Record<string, number>> => {
    const counts: Record<string, number> = { balance: await scene.balance(cast) }
    for (const table of [...tables, 'credit_lots']) {
      const { rows } = await scene.app.test.database.pool.query<{ count: number }>(
        `select count(*)::int as count from ${table}`,
      )
      counts[table] = rows[0]?.count ?? -1
    }
    return counts
  }

  /** Row triggers of a partitioned table may be deferred only on its partitions. */
  const install = (table: string, when: string) =>
    scene.sql(`
      create function refuse_write() returns trigger language plpgsql as
        $$ begin raise exception 'scripted failure'; end $$;
      create ${when} on ${table} ${when.includes('constraint') ? 'deferrable initially deferred' : ''}
        for each row execute function refuse_write()`)

  const remove = () => scene.sql('drop function refuse_write cascade')

  const check = async (table: string, when: string, text: string) => {
    // Account, voice and story are made, and their mail is queued, before the trigger is there.
    const cast = await scene.signedUp()
    const before = await everything(cast)
    await install(table, when)
    const answer = await scene.ask(cast)
    await remove()
    assert.equal(answer.status, 500, answer.text)
    assert.equal(answer.body['error'], text)
    assert.equal(typeof answer.body['request_id'], 'string')
    assert.doesNotMatch(answer.text, /scripted|refuse_write/)
    assert.deepEqual(await everything(cast), before)

    const next = await scene.ask(cast)
    assert.equal(next.status, 202, next.text)
    const later = await everything(cast)
    assert.equal(later['balance'], Number(before['balance']) - 3)
    for (const name of tables) assert.equal(later[name], Number(before[name]) + 1, name)
  }

  const plain = 'Something went wrong. Please try again later.'
  for (const table of tables) {
    const text = table.startsWith('credit_') ? 'Failed to charge credits' : plain
    test(`at an insert into ${table}`, () => check(table, 'trigger refuse before insert', text))
  }
  test('at an update of credit_lots', () =>
    check('credit_lots', 'trigger refuse before update', 'Failed to charge credits'))
  test('at the commit itself', () =>
    check('narration_attempts', 'constraint trigger refuse after insert', plain))
})
