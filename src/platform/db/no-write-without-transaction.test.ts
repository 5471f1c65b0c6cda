import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { test } from 'node:test'
import type { Db, Tx } from './database.ts'

// What must not compile: a write outside a transaction. The compiler checks this function, nothing calls it.
export const writesThatMustNotCompile = (db: Db, tx: Tx): unknown => {
  const write = (own: Tx) => own.deleteFrom('users')
  const read = (own: Db) => own.selectFrom('users').select('id')
  return [
    // @ts-expect-error a pool does not insert
    db.insertInto('app_clock'),
    // @ts-expect-error nor update
    db.updateTable('users'),
    // @ts-expect-error nor delete
    db.deleteFrom('users'),
    // @ts-expect-error nor merge
    db.mergeInto('users'),
    // @ts-expect-error nor run statements of its own
    db.executeQuery,
    // @ts-expect-error nor open a transaction behind the back of `Database`
    db.transaction(),
    // @ts-expect-error nor write through `with`
    db.with('gone', (own) => own.deleteFrom('users').returning('id')),
    // @ts-expect-error and it is not accepted where a transaction is asked for
    write(db),
    // @ts-expect-error an unknown column does not compile
    db.selectFrom('users').select('nickname'),
    write(tx),
    read(tx),
    read(db),
  ]
}

const root = path.join(import.meta.dirname, '../../..')

const compile = async (directory: string, file: string): Promise<string> => {
  const config = path.join(directory, 'tsconfig.json')
  const options = {
    noEmit: true,
    rootDir: root,
    types: ['node'],
    typeRoots: [path.join(root, 'node_modules/@types')],
  }
  await writeFile(
    config,
    JSON.stringify({
      extends: path.join(root, 'tsconfig.json'),
      compilerOptions: options,
      include: [],
      files: [file],
    }),
  )
  return new Promise((resolve) => {
    const compiler = path.join(root, 'node_modules/.bin/tsc')
    execFile(process.execPath, [compiler, '-p', config], (_error, stdout, stderr) => resolve(stdout + stderr))
  })
}

test('a write without a transaction does not compile', async () => {
  // Beside the sources, so that packages resolve.
  const directory = await mkdtemp(path.join(root, 'node_modules/.types-test-'))
  try {
    assert.equal(await compile(directory, import.meta.filename), '')
    const wrong = path.join(directory, 'wrong.ts')
    const source = path.join(import.meta.dirname, 'database.ts')
    await writeFile(
      wrong,
      `import type { Db } from '${source}'\nexport const f = (db: Db) => db.deleteFrom('users')\n`,
    )
    assert.match(await compile(directory, wrong), /wrong\.ts.*Property 'deleteFrom' does not exist/)
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
})
