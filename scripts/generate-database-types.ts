/** Writes src/platform/db/schema.gen.ts from a freshly migrated database; `--check` fails when it would differ. */
import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'
import { startEmbeddedPostgres } from '../src/platform/db/embedded-postgres.ts'
import { migrate } from '../src/platform/db/migrations.ts'

const target = path.join(import.meta.dirname, '../src/platform/db/schema.gen.ts')
const directory = await mkdtemp(path.join(tmpdir(), 'dawnotemu-types-'))
const server = await startEmbeddedPostgres({ directory, database: 'types', isThrowaway: true })
try {
  await migrate(server.url, path.join(import.meta.dirname, '../migrations'))
  const output = path.join(directory, 'schema.ts')
  await promisify(execFile)(process.execPath, [
    path.join(import.meta.dirname, '../node_modules/kysely-codegen/dist/cli/bin.js'),
    '--dialect=postgres',
    `--url=${server.url}`,
    `--out-file=${output}`,
    '--include-pattern=public.*',
    '--exclude-pattern=*.schema_migrations',
    '--camel-case=false',
    '--log-level=error',
    '--numeric-parser=string',
    '--type-only-imports',
  ])
  const generated = (await readFile(output, 'utf8'))
    // The pool parses int8 into numbers (src/platform/db/database.ts).
    .replace(
      /export type Int8 = .*;/,
      'export type Int8 = ColumnType<number, bigint | number | string, bigint | number | string>;',
    )
  const current = await readFile(target, 'utf8').catch(() => '')
  if (process.argv.includes('--check')) {
    if (generated !== current) {
      console.error('src/platform/db/schema.gen.ts is out of date: npm run generate')
      process.exitCode = 1
    }
  } else if (generated !== current) await writeFile(target, generated)
} finally {
  await server.stop()
  await rm(directory, { recursive: true, force: true })
}
