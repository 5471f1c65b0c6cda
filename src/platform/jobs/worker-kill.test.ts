import assert from 'node:assert/strict'
import { fork } from 'node:child_process'
import { once } from 'node:events'
import path from 'node:path'
import { test } from 'node:test'
import { createTestDatabase } from '../../../test/database.ts'
import { sleepyJob } from '../../../test/fixtures/sleepy-worker.ts'
import { recordingLogger } from '../../../test/logger.ts'
import { createJobs, handleJob, migrateJobs } from './jobs.ts'

const workerFile = path.join(import.meta.dirname, '../../../test/fixtures/sleepy-worker.ts')

test(
  'a job whose worker process is killed runs again elsewhere within 60 s',
  { timeout: 90_000 },
  async (t) => {
    const bench = await createTestDatabase()
    const logger = recordingLogger()
    const options = {
      databaseUrl: bench.url,
      types: [sleepyJob],
      logger,
      concurrency: 1,
      applicationName: 'test-second-worker',
    }
    await migrateJobs(options)
    const jobs = await createJobs(options)
    const victim = fork(workerFile, [bench.url], { execPath: process.execPath })
    try {
      const claimed = once(victim, 'message')
      const id = await bench.database.transaction((tx) => jobs.enqueue(tx, sleepyJob, { word: 'latarnia' }))
      assert.deepEqual((await claimed)[0], { claimed: id, word: 'latarnia' })

      let reportRun: (run: { word: string; jobId: string; retryCount: number }) => void = () => undefined
      const secondRun = new Promise<Parameters<typeof reportRun>[0]>((resolve) => (reportRun = resolve))
      await jobs.work([
        handleJob(sleepyJob, ({ word }, { jobId, retryCount }) => {
          reportRun({ word, jobId, retryCount })
          return Promise.resolve()
        }),
      ])
      victim.kill('SIGKILL')
      await once(victim, 'exit')
      const killed = Date.now()
      assert.deepEqual(await secondRun, { word: 'latarnia', jobId: id, retryCount: 1 })
      const seconds = (Date.now() - killed) / 1000
      t.diagnostic(`run again ${seconds.toFixed(1)} s after the kill`)
      assert.ok(seconds < 60, `took ${seconds} s`)
      await jobs.stop(10)
      assert.equal(await completedState(bench.database.pool, id), 'completed')
      assert.deepEqual(logger.lines, [])
    } finally {
      victim.kill('SIGKILL')
      await jobs.stop(10)
      await bench.close()
    }
  },
)

const completedState = async (
  pool: { query(text: string, values: string[]): Promise<{ rows: { state?: unknown }[] }> },
  id: string,
): Promise<unknown> =>
  (await pool.query('select state::text from pgboss.job where id = $1', [id])).rows[0]?.state
