import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { sql } from 'kysely'
import { createTestDatabase, type TestDatabase } from '../../../test/database.ts'
import {
  createDatabase,
  executeRaw,
  isConnectionFault,
  sqlState,
  violatedConstraint,
  type Tx,
} from './database.ts'

let bench: TestDatabase
before(async () => {
  bench = await createTestDatabase()
  await bench.database.pool.query(
    'create table pair (id integer primary key, value integer not null check (value >= 0))',
  )
  await bench.database.pool.query('insert into pair values (1, 0), (2, 0)')
})
after(() => bench.close())

const open = (own: { statementTimeoutMs?: number; poolSize?: number; poolTimeoutSeconds?: number } = {}) =>
  createDatabase({
    url: bench.url,
    poolSize: 2,
    poolTimeoutSeconds: 5,
    statementTimeoutMs: 5e3,
    applicationName: 'own',
    ...own,
    onIdleError: () => undefined,
  })

const values = async (): Promise<unknown[]> =>
  (await bench.database.pool.query('select value from pair order by id')).rows.map(
    (row): unknown => row.value,
  )

const set = (tx: Tx, statement: string) => executeRaw(tx, statement)

/** Two parties meet: both have arrived before either goes on. */
const meeting = () => {
  let arrived = 0
  let release: () => void = () => undefined
  const all = new Promise<void>((resolve) => (release = resolve))
  return async (): Promise<void> => {
    arrived += 1
    if (arrived >= 2) release()
    await all
  }
}

test('a deadlock (40P01) is repeated until both transactions are through', async () => {
  await bench.database.pool.query('update pair set value = 0')
  const meet = meeting()
  let runs = 0
  const add = (first: number, second: number) =>
    bench.database.transaction(async (tx) => {
      runs += 1
      await set(tx, `update pair set value = value + 1 where id = ${first}`)
      await meet()
      await set(tx, `update pair set value = value + 1 where id = ${second}`)
    })
  await Promise.all([add(1, 2), add(2, 1)])
  assert.equal(runs, 3, 'one of the two was the victim and ran again')
  assert.deepEqual(await values(), [2, 2])
})

test('a serialisation failure (40001) is repeated until both transactions are through', async () => {
  await bench.database.pool.query('update pair set value = 0')
  const meet = meeting()
  let runs = 0
  // Each adds what it read in the other row: one of them must see the other's result.
  const add = (read: number, write: number) =>
    bench.database.transaction(async (tx) => {
      runs += 1
      await set(tx, 'set transaction isolation level serializable')
      const { rows } = await set(tx, `select value from pair where id = ${read}`)
      await meet()
      await set(tx, `update pair set value = ${Number(rows[0]?.['value']) + 1} where id = ${write}`)
    })
  await Promise.all([add(1, 2), add(2, 1)])
  assert.equal(runs, 3)
  assert.deepEqual(
    (await values()).toSorted((a, b) => Number(a) - Number(b)),
    [1, 2],
  )
})

test('a conflict that never ends is given up after five runs, with its own error', async () => {
  let runs = 0
  const conflict = bench.database.transaction(async (tx) => {
    runs += 1
    await executeRaw(
      tx,
      `do $$ begin raise exception 'again' using errcode = 'serialization_failure'; end $$`,
    )
  })
  await assert.rejects(conflict, (error: unknown) => sqlState(error) === '40001')
  assert.equal(runs, 5)
})

test('other errors are not repeated, and the transaction is rolled back', async () => {
  await bench.database.pool.query('update pair set value = 5')
  let runs = 0
  const broken = bench.database.transaction(async (tx) => {
    runs += 1
    await set(tx, 'update pair set value = 6 where id = 1')
    await set(tx, 'update pair set value = -1 where id = 2')
  })
  await assert.rejects(broken, (error: unknown) => {
    assert.deepEqual([sqlState(error), violatedConstraint(error)], ['23514', 'pair_value_check'])
    assert.equal(isConnectionFault(error), false)
    return true
  })
  await assert.rejects(
    bench.database.transaction(async (tx) => {
      await set(tx, 'update pair set value = 7')
      throw new Error('a bug')
    }),
    /a bug/,
  )
  assert.equal(runs, 1)
  assert.deepEqual(await values(), [5, 5])
})

test('a statement over its time is ended (57014), and the connection serves on', async () => {
  const database = open({ statementTimeoutMs: 300, poolSize: 1 })
  try {
    const started = Date.now()
    const slow = database.transaction((tx) => executeRaw(tx, 'select pg_sleep(10)'))
    await assert.rejects(slow, (error: unknown) => sqlState(error) === '57014' && !isConnectionFault(error))
    assert.ok(Date.now() - started < 5000)
    assert.equal((await database.pool.query('select 1')).rowCount, 1)
  } finally {
    await database.close()
  }
})

test('waiting for a lock ends before the statement time does (55P03)', async () => {
  const database = open({ statementTimeoutMs: 1500 })
  try {
    await bench.database.transaction(async (tx) => {
      await set(tx, 'update pair set value = 1 where id = 1')
      const started = Date.now()
      const waiting = database.transaction((own) => set(own, 'update pair set value = 2 where id = 1'))
      await assert.rejects(waiting, (error: unknown) => sqlState(error) === '55P03')
      const waited = Date.now() - started
      assert.ok(waited >= 950 && waited < 1500 + 3000, `waited ${waited} ms`)
    })
  } finally {
    await database.close()
  }
})

test('an empty pool refuses after its time, as a connection fault', async () => {
  const database = open({ poolSize: 1, poolTimeoutSeconds: 0.2 })
  try {
    await database.transaction(async () => {
      const second = database.read.selectFrom('users').select('id').execute()
      await assert.rejects(second, (error: unknown) => isConnectionFault(error))
    })
  } finally {
    await database.close()
  }
})

test('int8 is a number, and one beyond 2^53 is an error instead of a wrong number', async () => {
  const read = async (expression: string): Promise<unknown> =>
    (await bench.database.pool.query(`select ${expression} as value`)).rows[0]?.value
  assert.equal(await read('42::int8'), 42)
  assert.equal(await read('(-9007199254740991)::int8'), -9_007_199_254_740_991)
  assert.equal(await read('count(*)'), 1)
  assert.equal(await read('null::int8'), null)
  await assert.rejects(read('9007199254740993::int8'), /beyond 2\^53/)
  const row = await bench.database.read
    .selectFrom('users')
    .select((eb) => eb.fn.countAll<number>().as('total'))
    .executeTakeFirstOrThrow()
  assert.strictEqual(row.total, 0)
  assert.equal((await bench.database.pool.query('select 1')).rowCount, 1)
})

const backendOf = async (tx: Tx): Promise<number> => {
  const { rows } = await sql<{ pid: number }>`select pg_backend_pid() as pid`.execute(tx)
  return rows[0]?.pid ?? 0
}

const kill = (pid: number) => bench.database.pool.query('select pg_terminate_backend($1)', [pid])

test('a backend killed in mid-statement is a connection fault, and the pool recovers', async () => {
  const database = open({ poolSize: 1 })
  try {
    const broken = database.transaction(async (tx) => {
      const pid = await backendOf(tx)
      const running = executeRaw(tx, 'select pg_sleep(4)')
      await Promise.all([running, sleep(100).then(() => kill(pid))])
    })
    await assert.rejects(broken, (error: unknown) => {
      assert.equal(isConnectionFault(error), true, String(error))
      return true
    })
    assert.deepEqual(await database.transaction((tx) => executeRaw(tx, 'select 1 as one')), {
      rows: [{ one: 1 }],
    })
  } finally {
    await database.close()
  }
})

test('a backend killed between two statements is a connection fault, and nothing was committed', async () => {
  await bench.database.pool.query('update pair set value = 1')
  const database = open({ poolSize: 1 })
  try {
    const broken = database.transaction(async (tx) => {
      await set(tx, 'update pair set value = 9')
      await kill(await backendOf(tx))
      await sleep(50)
      await set(tx, 'update pair set value = 8')
    })
    await assert.rejects(broken, (error: unknown) => {
      assert.equal(isConnectionFault(error), true, String(error))
      return true
    })
    assert.deepEqual(await values(), [1, 1])
    assert.equal((await database.pool.query('select 1')).rowCount, 1)
  } finally {
    await database.close()
  }
})

test('a killed idle connection is reported, not thrown, and replaced', async () => {
  const idle: Error[] = []
  const database = createDatabase({
    url: bench.url,
    poolSize: 1,
    poolTimeoutSeconds: 5,
    statementTimeoutMs: 5e3,
    applicationName: 'idle',
    onIdleError: (error) => idle.push(error),
  })
  try {
    await kill(await database.transaction(backendOf))
    for (let waited = 0; idle.length === 0 && waited < 100; waited += 1) await sleep(20)
    assert.ok(idle[0] && isConnectionFault(idle[0]))
    assert.equal((await database.pool.query('select 1')).rowCount, 1)
  } finally {
    await database.close()
  }
})

test('a refused connection is a connection fault', async () => {
  const database = createDatabase({
    url: 'postgres://nobody@127.0.0.1:1/none',
    poolSize: 1,
    poolTimeoutSeconds: 2,
    statementTimeoutMs: 1e3,
    applicationName: 'refused',
    onIdleError: () => undefined,
  })
  try {
    await assert.rejects(database.pool.query('select 1'), (error: unknown) => isConnectionFault(error))
  } finally {
    await database.close()
  }
})
