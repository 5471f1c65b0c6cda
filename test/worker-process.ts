import { spawn, type ChildProcess } from 'node:child_process'
import path from 'node:path'
import type { TestApp } from './app.ts'

const main = path.join(import.meta.dirname, '../src/main.ts')

export interface WorkerProcess {
  child: ChildProcess
  output: () => string
  /** Exit code, or the signal that ended it. */
  ended: Promise<number | NodeJS.Signals>
}

/** A real worker process beside an in-process web server: same database, files and secret. */
export const startWorkerProcess = (app: TestApp, env: Record<string, string> = {}): WorkerProcess => {
  const child = spawn(process.execPath, [main, '--role', 'worker'], {
    env: { PATH: process.env['PATH'], ...app.env, DATABASE_URL: app.databaseUrl, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let text = ''
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk: Buffer) => (text += chunk.toString()))
  const ended = new Promise<number | NodeJS.Signals>((resolve) => {
    child.once('exit', (code, signal) => resolve(code ?? signal ?? -1))
  })
  return { child, output: () => text, ended }
}
