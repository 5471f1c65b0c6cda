import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { test, type TestContext } from 'node:test'

const scripts = ['run-tests.ts', 'test-report.ts', 'test-watchdog.ts']

/** A project of its own with the test command in it. */
const makeProject = async (t: TestContext, files: Record<string, string>): Promise<string> => {
  const root = await mkdtemp(join(tmpdir(), 'run-tests-'))
  t.after(() => rm(root, { recursive: true, force: true }))
  for (const name of scripts) await cp(join(import.meta.dirname, name), join(root, 'scripts', name))
  for (const [name, text] of Object.entries({ 'package.json': '{"type":"module"}', ...files })) {
    await mkdir(dirname(join(root, name)), { recursive: true })
    await writeFile(join(root, name), text)
  }
  return root
}

const runTests = (
  root: string,
  args: string[] = [],
  env: Record<string, string> = {},
): Promise<{ code: number; output: string; lines: string[] }> => {
  // With these the inner runner would take itself for a part of this one.
  const {
    NODE_TEST_CONTEXT: _context,
    NODE_OPTIONS: _options,
    FAIL_ON_SKIP: _skip,
    ...inherited
  } = process.env
  return new Promise((resolve) => {
    const options = { cwd: root, env: { ...inherited, ...env }, timeout: 60_000 }
    const child = execFile(
      process.execPath,
      [join(root, 'scripts/run-tests.ts'), ...args],
      options,
      (_error, out, errors) =>
        resolve({ code: child.exitCode ?? -1, output: out + errors, lines: out.trimEnd().split('\n') }),
    )
  })
}

const good = "import { test } from 'node:test'\ntest('good', () => {})\n"
const skipping = "import { test } from 'node:test'\ntest('tone', (t) => t.skip('needs ffmpeg'))\n"
const failing =
  "import { test } from 'node:test'\ntest('sum', () => { throw new Error('seven is not eight') })\n"

test('all files are found, and the last line counts', async (t) => {
  const root = await makeProject(t, {
    'src/a/a.test.ts': good,
    'test/b.test.ts': good,
    'web/c.test.ts': good,
  })
  const { code, lines } = await runTests(root)
  assert.equal(lines.at(-1), '3 passed, 0 failed, 0 skipped')
  for (const line of ['# tests 3', '# pass 3', '# fail 0', '# skipped 0'])
    assert.ok(lines.includes(line), line)
  assert.equal(code, 0)
})

test('a skip is listed with its reason, and fails the run when asked to', async (t) => {
  const root = await makeProject(t, { 'src/a.test.ts': skipping, 'src/b.test.ts': good })
  const plain = await runTests(root)
  assert.ok(plain.lines.includes('﹣ src/a.test.ts › tone: needs ffmpeg'), plain.output)
  assert.equal(plain.lines.at(-1), '1 passed, 0 failed, 1 skipped')
  assert.equal(plain.code, 0)
  assert.equal((await runTests(root, [], { FAIL_ON_SKIP: '1' })).code, 1)
  assert.equal((await runTests(root, ['--fail-on-skip'])).code, 1)
  assert.equal((await runTests(root, ['--fail-on-skip', 'b.test'])).code, 0)
})

test('a failure and a file that does not load fail the run and are shown', async (t) => {
  const root = await makeProject(t, {
    'src/a.test.ts': failing,
    'src/b.test.ts': "throw new Error('broken file')\n",
  })
  const { code, output, lines } = await runTests(root)
  assert.match(output, /src\/a\.test\.ts:2 › sum\n\s+Error: seven is not eight/)
  assert.match(output, /broken file/)
  assert.equal(lines.at(-1), '0 passed, 2 failed, 0 skipped')
  assert.equal(code, 1)
})

test('nothing found is a failure', async (t) => {
  const root = await makeProject(t, { 'src/a.test.ts': good })
  assert.equal((await runTests(root, ['src/b'])).code, 1)
})

test('the shared set-up reaches every file and is closed at the end', async (t) => {
  const root = await makeProject(t, {
    'test/global-setup.ts': `import { writeFileSync } from 'node:fs'
export const globalSetup = async () => ({
  env: { SHARED_VALUE: 'shared' },
  close: async () => writeFileSync(new URL('closed', import.meta.url), ''),
})\n`,
    'src/a.test.ts': `import { test } from 'node:test'
import assert from 'node:assert/strict'
test('sees it', () => assert.equal(process.env['SHARED_VALUE'], 'shared'))\n`,
  })
  const { code, output } = await runTests(root)
  assert.equal(code, 0, output)
  await rm(join(root, 'test/closed'))
})

test('a test that hangs ends with its limit', async (t) => {
  const root = await makeProject(t, {
    'src/a.test.ts':
      "import { test } from 'node:test'\ntest('waits', () => new Promise(() => setTimeout(() => {}, 14_000)))\n",
  })
  const { code, output, lines } = await runTests(root, [], { TEST_TIMEOUT_MS: '500' })
  assert.match(output, /src\/a\.test\.ts:2 › waits\n\s+'test timed out after 500ms'/)
  assert.match(output, /did not end within 10 s of its last test; still open: .*Timeout/)
  assert.equal(lines.at(-1), '0 passed, 1 failed, 0 skipped')
  assert.equal(code, 1)
})
