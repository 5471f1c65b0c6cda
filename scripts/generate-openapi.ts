/** Writes docs/openapi.json from the route schemas; `--check` fails when it would differ or is not valid OpenAPI 3.1. */
import { readFile, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { Validator } from '@seriousme/openapi-schema-validator'
import { createTestDatabase } from '../test/database.ts'
import { describeServer } from '../test/openapi-document.ts'

const target = path.join(import.meta.dirname, '../docs/openapi.json')
const test = await createTestDatabase()
try {
  const document = await describeServer(test.url)
  const { valid, errors } = await new Validator().validate(structuredClone(document))
  if (!valid) {
    console.error('the document is not valid OpenAPI', JSON.stringify(errors, null, 2))
    process.exitCode = 1
  }
  const text = `${JSON.stringify(document, null, 2)}\n`
  const current = await readFile(target, 'utf8').catch(() => '')
  if (process.argv.includes('--check')) {
    if (text !== current) {
      console.error('docs/openapi.json is out of date: npm run generate')
      process.exitCode = 1
    }
  } else await writeFile(target, text)
} finally {
  await test.close()
}
