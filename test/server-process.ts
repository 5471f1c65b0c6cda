import { spawn, type ChildProcess } from 'node:child_process'
import path from 'node:path'
import { freePort } from '../src/platform/free-port.ts'
import { until, type TestApp } from './app.ts'

const main = path.join(import.meta.dirname, '../src/main.ts')

export interface ServerProcess {
  url: string
  output: () => string
  /** Ends it as a crash does. */
  kill(): Promise<void>
}

/** One more real web process beside an in-process one: same database, files and secret, a port of its own. Ready. */
export const startServerProcess = async (
  app: TestApp,
  env: Record<string, string> = {},
): Promise<ServerProcess> => {
  const port = await freePort()
  const child: ChildProcess = spawn(process.execPath, [main, '--role', 'web'], {
    env: {
      PATH: process.env['PATH'],
      ...app.env,
      DATABASE_URL: app.databaseUrl,
      LOG_LEVEL: 'warn',
      ...env,
      PORT: String(port),
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let text = ''
  for (const stream of [child.stdout, child.stderr])
    stream?.on('data', (chunk: Buffer) => (text += chunk.toString()))
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  const url = `http://127.0.0.1:${port}`
  const isReady = async (): Promise<true | null> => {
    if (child.exitCode !== null) throw new Error(`the server ended: ${text}`)
    try {
      return (await fetch(`${url}/health/ready`)).ok ? true : null
    } catch {
      return null
    }
  }
  await until(isReady, 'the server process', 60_000)
  return {
    url,
    output: () => text,
    kill: async () => {
      child.kill('SIGKILL')
      await ended
    },
  }
}
