import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { glob } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { test } from 'node:test'
import { checkArchitecture } from './architecture/rules.ts'
import { scanSource } from './architecture/scan-source.ts'

const root = fileURLToPath(new URL('..', import.meta.url))

test('the source keeps the rules of its design', async () => {
  const files = new Map<string, string>()
  for await (const file of glob(['src/**/*.ts', 'test/**/*.ts', 'scripts/**/*.ts'], { cwd: root }))
    files.set(file.replaceAll('\\', '/'), await readFile(`${root}/${file}`, 'utf8'))
  assert.ok(files.size > 40, 'the source was found')
  assert.deepEqual(
    checkArchitecture(files).map(({ file, rule, found }) => `${file}: ${rule}: ${found}`),
    [],
  )
})

const rulesOf = (file: string, text: string, others: Record<string, string> = {}): string[] =>
  checkArchitecture(new Map(Object.entries({ ...others, [file]: text })))
    .filter((violation) => violation.file === file)
    .map(({ rule }) => rule)

type Planted = [rule: string, file: string, text: string]

const planted: Planted[] = [
  ['platform-imports', 'src/platform/http/a.ts', "import { a } from '../../features/users/users.ts'"],
  ['platform-imports', 'src/platform/a.ts', "import type { A } from '../providers/email/email.ts'"],
  ['platform-imports', 'src/platform/a.ts', "import {\n  a,\n  b,\n} from '../app.ts'"],
  ['provider-imports', 'src/providers/email/smtp.ts', "export * from '../storage/storage.ts'"],
  [
    'provider-imports',
    'src/providers/email/smtp.ts',
    "const a = await import('../../features/mail/mail.ts')",
  ],
  [
    'feature-imports-adapter',
    'src/features/voices/voices.ts',
    "import { a } from '../../providers/storage/s3/s3-storage.ts'",
  ],
  ['feature-imports', 'src/features/voices/voices.ts', "import { a } from '../../app.ts'"],
  ['feature-order', 'src/features/credits/credits.ts', "import { a } from '../narrations/narrations.ts'"],
  ['feature-order', 'src/features/mail/mail.ts', "import type { A } from '../users/users.ts'"],
  ['feature-order', 'src/features/users/users.ts', "import { a } from '../stories/stories.ts'"],
  ['feature-order', 'src/features/auth/auth.ts', "import { a } from '../voices/voices.ts'"],
  ['feature-order', 'src/features/voices/voices.ts', "export { a } from '../subscriptions/subscriptions.ts'"],
  ['feature-order', 'src/features/gifts/gifts.ts', "import { a } from '../mail/mail.ts'"],
  ['feature-entry', 'src/features/narrations/a.ts', "import { a } from '../voices/queries.ts'"],
  ['feature-entry', 'src/features/narrations/a.ts', "import type { A } from '../credits/price.ts'"],
  ['feature-entry', 'src/features/narrations/a.ts', "type A = import('../credits/price.ts').A"],
  ['source-imports-source', 'src/features/users/users.ts', "import { a } from '../../../test/harness.ts'"],
  ['source-imports-source', 'src/main.ts', "import '../scripts/run-tests.ts'"],
  ['computed-import', 'src/app.ts', 'const a = await import(name)'],
  ['computed-import', 'src/app.ts', 'const a = await import(`./${name}.ts`)'],
  ['computed-import', 'src/app.ts', "const a = require('pg')"],
  ['environment', 'src/platform/db/database.ts', "const url = process.env['DATABASE_URL']"],
  ['environment', 'src/app.ts', 'const { HOME } = process . env'],
  ['environment', 'src/app.ts', "const a = process['env']"],
  ['environment', 'src/app.ts', "import { env } from 'node:process'"],
  ['environment', 'src/platform/configure.ts', 'export const a = process.env'],
  ['package-home', 'src/features/voices/voices.ts', "import { S3Client } from '@aws-sdk/client-s3'"],
  ['package-home', 'src/platform/speech.ts', "const a = await import('@echogarden/espeak-ng-emscripten')"],
  ['package-home', 'src/app.ts', "import { Resend } from 'resend'"],
  ['package-home', 'src/app.ts', "import { createTransport } from 'nodemailer'"],
  ['package-home', 'src/features/users/queries.ts', "import { Pool } from 'pg'"],
  ['package-home', 'src/platform/db/database.ts', "import { PgBoss } from 'pg-boss'"],
  ['package-home', 'src/features/users/users.ts', "import type { Kysely } from 'kysely'"],
  ['package-home', 'src/platform/http/server.ts', "import * as Sentry from '@sentry/node'"],
  ['routes-hold-no-sql', 'src/features/users/routes.ts', 'const a = sql`select 1`'],
  ['routes-hold-no-sql', 'src/features/users/routes.ts', 'const a = sql<{ id: number }>`select 1`'],
  ['routes-hold-no-sql', 'src/features/admin/user-routes.ts', "const a = db\n  .selectFrom('users')"],
  ['queries-know-no-http', 'src/features/users/queries.ts', "import type { FastifyRequest } from 'fastify'"],
  [
    'queries-know-no-http',
    'src/features/voices/slot-queries.ts',
    "import { a } from '../../platform/http/body.ts'",
  ],
  ['file-name', 'src/features/users/index.ts', ''],
  ['file-name', 'src/platform/utils.ts', ''],
  ['file-name', 'test/helpers.ts', ''],
  ['file-name', 'src/platform/common.ts', ''],
  ['file-name', 'src/features/users/types.ts', ''],
  ['file-name', 'scripts/constants.ts', ''],
  ['file-name', 'src/features/users/user-service.ts', ''],
  ['process-exit', 'src/app.ts', 'process.exit(1)'],
  ['process-exit', 'src/app.ts', "import { exit } from 'node:process'"],
  ['console', 'src/cli.ts', "console.log('a')"],
  ['console', 'src/app.ts', 'const a = `${console.log(1)}`'],
  ['file-size', 'src/app.ts', 'a()\n'.repeat(301)],
]

for (const [rule, file, text] of planted)
  test(`found: ${rule} in ${file}: ${text.slice(0, 60).replaceAll('\n', ' ')}`, () => {
    assert.deepEqual(rulesOf(file, text), [rule])
  })

const allowed: [file: string, text: string][] = [
  ['src/platform/http/a.ts', "import { a } from '../errors.ts'\nimport fastify from 'fastify'"],
  [
    'src/providers/storage/s3/a.ts',
    "import { a } from '../storage.ts'\nimport { S3Client } from '@aws-sdk/client-s3'",
  ],
  ['src/features/voices/voices.ts', "import type { Storage } from '../../providers/storage/storage.ts'"],
  [
    'src/features/narrations/a.ts',
    "import { a } from '../voices/voices.ts'\nimport { b } from './queries.ts'",
  ],
  ['src/features/admin/admin.ts', "import { a } from '../auth/auth.ts'\nimport { b } from '../mail/mail.ts'"],
  ['src/features/users/queries.ts', "import { sql } from 'kysely'\nconst a = sql`select 1`"],
  ['src/platform/db/database.ts', "import pg from 'pg'\nimport { Kysely } from 'kysely'"],
  ['src/platform/config.ts', 'export const a = process.env'],
  ['src/platform/config/read-values.ts', 'export const a = process.env'],
  ['src/main.ts', "start(process.env)\nprocess.exit(1)\nimport { a } from './app.ts'"],
  [
    'src/app.ts',
    "import { a } from './providers/storage/s3/s3-storage.ts'\nconst b = await import('./cli.ts')",
  ],
  ['src/app.test.ts', "import { a } from '../test/harness.ts'\nconst b = process.env"],
  ['src/app.ts', '// console.log(process.env)\n/* process.exit() */'],
  ['src/app.ts', "log('console.log is not used; import { a } from nowhere')\nconst a = /['\"`]process.env/"],
  ['src/app.ts', 'const a = `process.exit() ${b} console.log`\nprocess.exitCode = 1'],
  ['src/platform/db/schema.gen.ts', 'a()\n'.repeat(900)],
  ['src/features/users/routes.ts', "import { a } from './users.ts'\n// sql`select 1`"],
]

for (const [file, text] of allowed)
  test(`allowed: ${file}: ${text.slice(0, 60).replaceAll('\n', ' ')}`, () => {
    assert.deepEqual(rulesOf(file, text), [])
  })

test('only a file that another one starts as a process may exit', () => {
  const child = 'src/providers/speech/local/speak-process.ts'
  const parent = {
    'src/providers/speech/local/local.ts': "fork(new URL('./speak-process.ts', import.meta.url))",
  }
  assert.deepEqual(rulesOf(child, 'process.exit(0)', parent), [])
  const joined = {
    'src/providers/speech/local/local.ts': "fork(join(import.meta.dirname, 'speak-process.ts'))",
  }
  assert.deepEqual(rulesOf(child, 'process.exit(0)', joined), [])
  const importer = { 'src/providers/speech/local/local.ts': "import './speak-process.ts'" }
  assert.deepEqual(rulesOf(child, 'process.exit(0)', importer), ['process-exit'])
})

test('imports are read whatever their form, and only where they are code', () => {
  const source = `#!/usr/bin/env node
import a, { type B } from 'one'
import * as c from "two"
import type { D } from 'three'
import 'four'
export { e } from 'five'
export type * from 'six'
const f = await import(
  'seven'
)
let g: import('eight').G
// import h from 'no-1'
const i = "import j from 'no-2'"
const k = \`import l from 'no-3' \${await import('nine')} import m from 'no-4'\`
const n = /import o from 'no-5'/.test(p) ? q / r / s : import.meta.url
export const t = 'no-6'
export default 'no-7'
export const u = { import: 'no-8', from: 'no-9' }
`
  const names = scanSource(source).imports.map(({ specifier }) => specifier)
  const expected = ['one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine']
  assert.deepEqual(names, expected)
})
