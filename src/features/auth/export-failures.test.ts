import assert from 'node:assert/strict'
import { after, afterEach, before, test } from 'node:test'
import { count, createAccount, rows, setUser } from '../../../test/account-scene.ts'
import { until, type Account } from '../../../test/app.ts'
import { startScene, type Scene } from '../../../test/narration-scene.ts'

let scene: Scene

before(async () => {
  scene = await startScene()
})
afterEach(() => scene.faults.heal())
after(() => scene.close())

const ask = async (account: Account): Promise<number> => {
  const answer = await scene.app.call('POST', '/auth/me/export', {
    token: account.accessToken,
    json: { current_password: account.password },
  })
  assert.equal(answer.status, 202, answer.text)
  return Number(answer.body['id'])
}

const exportRow = async (id: number) => {
  const [row] = await rows<{ status: string; object_key: string | null; attempts: number }>(
    scene.app,
    'select status, object_key, attempts from account_exports where id = $1',
    [id],
  )
  assert.ok(row)
  return row
}

const become = (id: number, status: string) =>
  until(async () => {
    const row = await exportRow(id)
    return row.status === status ? row : null
  }, `the export to be ${status}`)

const jobState = async (id: number): Promise<string | undefined> => {
  const found = await rows<{ state: string }>(
    scene.app,
    `select state from pgboss.job where name = 'accounts.export' and (data->>'export_id')::int = $1`,
    [id],
  )
  return found[0]?.state
}

const settle = async (): Promise<void> => {
  await scene.idle('accounts.export')
  await scene.idle('storage.delete-objects')
}

/** Calls to `put` under `exports/` wait until `open`, and are counted. */
const gatePuts = () => {
  const { storage } = scene.faults
  const original = storage.put
  const arrived = Promise.withResolvers<string>()
  const opened = Promise.withResolvers<void>()
  const state = { puts: 0 }
  storage.put = async (key, ...rest) => {
    if (key.startsWith('exports/')) {
      state.puts += 1
      arrived.resolve(key)
      await opened.promise
    }
    return original(key, ...rest)
  }
  return {
    state,
    arrived: arrived.promise,
    open: () => opened.resolve(),
    restore: () => {
      storage.put = original
    },
  }
}

test('a deletion that starts while the archive is being stored leaves no object and sends no mail', async (t) => {
  const account = await createAccount(scene.app)
  const gate = gatePuts()
  t.after(gate.restore)
  const id = await ask(account)
  const key = await gate.arrived
  assert.equal((await exportRow(id)).object_key, key, 'the row names the object before it exists')
  await setUser(scene.app, account.id, `status = 'deleting'`)
  gate.open()

  await become(id, 'error')
  await settle()
  assert.deepEqual(await scene.keys(`exports/${account.id}/`), [])
  assert.equal(
    await count(scene.app, `emails where kind = 'data_export_ready' and user_id = $1`, [account.id]),
    0,
  )
})

test('a deletion that has closed the export itself still gets its object removed', async (t) => {
  const account = await createAccount(scene.app)
  const gate = gatePuts()
  t.after(gate.restore)
  const id = await ask(account)
  await gate.arrived
  await setUser(scene.app, account.id, `status = 'deleting'`)
  await rows(scene.app, `update account_exports set status = 'expired', object_key = null where id = $1`, [
    id,
  ])
  gate.open()

  await settle()
  assert.deepEqual(await scene.keys(`exports/${account.id}/`), [])
  assert.equal((await exportRow(id)).status, 'expired')
})

test('nothing is stored when a deletion started before the archive was', async (t) => {
  const cast = await scene.cast()
  const gate = gatePuts()
  t.after(gate.restore)
  gate.open()
  const { storage } = scene.faults
  const original = storage.get
  t.after(() => {
    storage.get = original
  })
  storage.get = async (key, ...rest) => {
    if (key.startsWith('voice_samples/')) await setUser(scene.app, cast.account.id, `status = 'deleting'`)
    return original(key, ...rest)
  }
  const id = await ask(cast.account)

  await become(id, 'error')
  await settle()
  assert.equal(gate.state.puts, 0)
  assert.equal(await jobState(id), 'completed')
})

test('a store that is down is tried again later, not answered with a poor archive', async () => {
  const cast = await scene.cast()
  scene.app.expectErrors()
  scene.faults.breakDown('get', '')
  scene.faults.breakDown('head', '')
  const id = await ask(cast.account)
  await until(
    async () => ((await jobState(id)) === 'retry' ? true : null),
    'the job to wait for its next try',
  )
  assert.deepEqual([(await exportRow(id)).status, (await exportRow(id)).attempts], ['processing', 1])

  scene.faults.heal()
  await scene.sql(
    `update pgboss.job set start_after = now() where name = 'accounts.export' and state = 'retry'`,
  )
  const done = await become(id, 'ready')
  assert.equal(done.attempts, 2)
  assert.deepEqual(await scene.keys(`exports/${cast.account.id}/`), [done.object_key])
})

test('a store that stays down ends in an error, and in nothing stored', async (t) => {
  const account = await createAccount(scene.app)
  scene.app.expectErrors()
  t.after(await scene.lastTry('accounts.export'))
  scene.faults.breakDown('put', 'exports/')
  const id = await ask(account)
  await become(id, 'error')
  await until(async () => ((await jobState(id)) === 'failed' ? true : null), 'the job to have failed')
  scene.faults.heal()
  await settle()
  assert.deepEqual(await scene.keys(`exports/${account.id}/`), [])
  const shown = await scene.app.call('GET', '/auth/me/export', { token: account.accessToken })
  assert.deepEqual([shown.body['status'], shown.body['url']], ['error', null])
})

test('what a killed run had stored is removed by the next one', async (t) => {
  const account = await createAccount(scene.app)
  const gate = gatePuts()
  t.after(gate.restore)
  const id = await ask(account)
  await gate.arrived
  // As a run leaves it that dies between storing and saying so.
  const orphan = `exports/${account.id}/${id}_orphan.zip`
  gate.restore()
  await scene.faults.storage.put(orphan, Buffer.from('x'), { contentType: 'application/zip' })
  await rows(scene.app, `update account_exports set object_key = $1 where id = $2`, [orphan, id])
  await scene.sql(`insert into pgboss.job (name, data) values ('accounts.export', '{"export_id": ${id}}')`)
  gate.open()

  const done = await become(id, 'ready')
  await settle()
  assert.deepEqual(await scene.keys(`exports/${account.id}/`), [done.object_key])
  assert.notEqual(done.object_key, orphan)
})

test('a run after the end changes nothing', async () => {
  const account = await createAccount(scene.app)
  const id = await ask(account)
  const done = await become(id, 'ready')
  await scene.sql(`insert into pgboss.job (name, data) values ('accounts.export', '{"export_id": ${id}}')`)
  await settle()
  assert.deepEqual(await exportRow(id), done)
  assert.deepEqual(await scene.keys(`exports/${account.id}/`), [done.object_key])
})
