import { type ChildProcess, fork } from 'node:child_process'
import { realpathSync } from 'node:fs'
import { join } from 'node:path'
import { lowerPriority } from '../../../platform/lower-priority.ts'
import { SpeechError } from '../speech.ts'
import { readReply, type SpeechReply, type SpeechTask } from './messages.ts'

export interface SpeechProcesses {
  /**
   * Has one task done. Rejects with the signal's reason, or with `SpeechError` `transient` when the process ends or
   * `timeoutMs` pass (time in the queue counts); in each case the process that was at it is killed.
   */
  run(task: SpeechTask, options: { timeoutMs: number; signal: AbortSignal }): Promise<SpeechReply>
  /** Ids of the live processes. */
  ids(): number[]
  /** Ends all processes and refuses what waits. */
  close(): Promise<void>
}

interface Call {
  id: number
  task: SpeechTask
  settle: (result: SpeechReply | Error) => void
}

interface Worker {
  child: ChildProcess
  call: Call | null
  idleTimer: NodeJS.Timeout | null
  ended: Promise<void>
}

const entry = join(import.meta.dirname, 'espeak-process.ts')
const projectRoot = realpathSync(join(import.meta.dirname, '../../../..'))

/**
 * Up to `concurrency` speech processes, started when needed and ended after `idleMs` without work. They can read the
 * program and its packages and nothing else: no other files, no network, no environment, no child processes.
 */
export const createSpeechProcesses = (options: { concurrency: number; idleMs: number }): SpeechProcesses => {
  const readable = [
    realpathSync(import.meta.dirname),
    realpathSync(join(projectRoot, 'node_modules')),
    join(projectRoot, 'package.json'),
  ]
  const execArgv = [
    '--permission',
    ...readable.map((path) => `--allow-fs-read=${path}`),
    '--max-old-space-size=128',
    '--disable-warning=SecurityWarning',
  ]
  const workers = new Set<Worker>()
  const queue: Call[] = []
  let nextId = 1
  let isClosed = false

  const end = (worker: Worker, error: Error): void => {
    workers.delete(worker)
    if (worker.idleTimer !== null) clearTimeout(worker.idleTimer)
    worker.child.kill('SIGKILL')
    const { call } = worker
    worker.call = null
    call?.settle(error)
    pump()
  }

  const start = (): Worker => {
    const child = fork(entry, {
      execPath: process.execPath,
      execArgv,
      env: {},
      serialization: 'advanced',
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    })
    // On one machine with the server, sound must not make requests wait.
    if (child.pid !== undefined) lowerPriority(child.pid)
    const ended = Promise.withResolvers<void>()
    const worker: Worker = { child, call: null, idleTimer: null, ended: ended.promise }
    child.once('error', (cause) => {
      end(worker, new SpeechError('transient', 'the speech process failed', { cause }))
      if (child.pid === undefined) ended.resolve()
    })
    child.once('exit', (code, exitSignal) => {
      end(worker, new SpeechError('transient', `the speech process ended (${exitSignal ?? `code ${code}`})`))
      ended.resolve()
    })
    child.on('message', (message) => {
      const numbered = readReply(message)
      const { call } = worker
      if (numbered === null || call === null || numbered.id !== call.id)
        return end(worker, new SpeechError('transient', 'the speech process answered nonsense'))
      worker.call = null
      rest(worker)
      call.settle(numbered.reply)
      pump()
    })
    workers.add(worker)
    return worker
  }

  /** An idle process keeps the server from exiting no longer than a closed one would. */
  const rest = (worker: Worker): void => {
    worker.child.unref()
    worker.child.channel?.unref()
    worker.idleTimer = setTimeout(() => end(worker, new Error('idle')), options.idleMs)
    worker.idleTimer.unref()
  }

  const pump = (): void => {
    if (isClosed) return
    while (queue.length > 0) {
      const idle = [...workers].find(({ call }) => call === null)
      if (idle === undefined && workers.size >= options.concurrency) return
      const call = queue.shift()
      if (call === undefined) return
      const worker = idle ?? start()
      worker.call = call
      if (worker.idleTimer !== null) clearTimeout(worker.idleTimer)
      worker.child.ref()
      worker.child.channel?.ref()
      worker.child.send({ id: call.id, task: call.task }, (cause) => {
        if (cause) end(worker, new SpeechError('transient', 'the speech process is gone', { cause }))
      })
    }
  }

  const run: SpeechProcesses['run'] = (task, { timeoutMs, signal }) => {
    const { promise, resolve, reject } = Promise.withResolvers<SpeechReply>()
    if (signal.aborted) return Promise.reject(asError(signal.reason))
    if (isClosed) return Promise.reject(new SpeechError('transient', 'local speech is closed'))
    const stop = (error: Error) => {
      const place = queue.indexOf(call)
      if (place >= 0) queue.splice(place, 1)
      const worker = [...workers].find((candidate) => candidate.call === call)
      // WebAssembly cannot be interrupted, the process that runs it can.
      if (worker) end(worker, error)
      else call.settle(error)
    }
    const onAbort = () => stop(asError(signal.reason))
    const timer = setTimeout(
      () => stop(new SpeechError('transient', `no speech within ${timeoutMs} ms`)),
      timeoutMs,
    )
    const call: Call = {
      id: nextId,
      task,
      settle: (result) => {
        clearTimeout(timer)
        signal.removeEventListener('abort', onAbort)
        if (result instanceof Error) reject(result)
        else resolve(result)
      },
    }
    nextId += 1
    signal.addEventListener('abort', onAbort, { once: true })
    queue.push(call)
    pump()
    return promise
  }

  const close: SpeechProcesses['close'] = async () => {
    isClosed = true
    const closed = new SpeechError('transient', 'local speech is closed')
    for (const call of queue.splice(0)) call.settle(closed)
    const all = [...workers]
    for (const worker of all) {
      worker.child.ref()
      end(worker, closed)
    }
    await Promise.all(all.map(({ ended }) => ended))
  }

  return { run, ids: () => [...workers].flatMap(({ child }) => child.pid ?? []), close }
}

const asError = (reason: unknown): Error =>
  reason instanceof Error ? reason : new Error('aborted', { cause: reason })
