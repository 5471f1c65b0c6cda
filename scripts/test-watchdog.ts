/**
 * Preloaded into each test file's process: one that does not end after its last test has left something open, which
 * would hold up the whole run. It fails with the names of what is open instead.
 */
import { after } from 'node:test'

const graceMs = 10_000
const fileLimitMs = 240_000

const endAfter = (limitMs: number, why: string): void => {
  setTimeout(() => {
    process.stderr.write(`${why}; still open: ${process.getActiveResourcesInfo().join(', ')}\n`)
    process.exit(1)
  }, limitMs).unref()
}

endAfter(fileLimitMs, `The test file took more than ${fileLimitMs / 1000} s`)
after(() => endAfter(graceMs, `The test file did not end within ${graceMs / 1000} s of its last test`))
