import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { freePort } from '../src/platform/free-port.ts'

export interface RedisServer {
  url: string
  /** Ends the process; what it held is gone. */
  stop(): Promise<void>
  /** Starts it again on the same port. */
  start(): Promise<void>
  /** Stopped but connected: takes bytes and answers nothing until `resume`. */
  freeze(): void
  resume(): void
}

/** Whether a server on the port answers a PING. */
const answers = async (port: number): Promise<boolean> => {
  const socket = connect(port, '127.0.0.1')
  try {
    await once(socket, 'connect')
    socket.write('PING\r\n')
    const [reply] = await once(socket, 'data')
    return String(reply).startsWith('+PONG')
  } catch {
    return false
  } finally {
    socket.destroy()
  }
}

const isInstalled = async (): Promise<boolean> => {
  const child = spawn('redis-server', ['--version'], { stdio: 'ignore' })
  try {
    return (await once(child, 'exit'))[0] === 0
  } catch {
    return false
  }
}

/** A Redis of its own on a free loopback port, in memory only; null where `redis-server` is not installed. */
export const startRedisServer = async (): Promise<RedisServer | null> => {
  if (!(await isInstalled())) return null
  const port = await freePort()
  let child: ChildProcess | null = null
  process.once('exit', () => child?.kill('SIGKILL'))

  const start = async (): Promise<void> => {
    const options = ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no']
    child = spawn('redis-server', options, { stdio: 'ignore' })
    for (let tries = 0; !(await answers(port)); tries += 1) {
      if (tries > 200 || child.exitCode !== null) throw new Error('redis-server does not start')
      await sleep(25)
    }
  }
  const stop = async (): Promise<void> => {
    const running = child
    child = null
    if (!running || running.exitCode !== null) return
    const ended = once(running, 'exit')
    running.kill('SIGKILL')
    await ended
  }
  await start()
  return {
    url: `redis://127.0.0.1:${port}`,
    start,
    stop,
    freeze: () => child?.kill('SIGSTOP'),
    resume: () => child?.kill('SIGCONT'),
  }
}
