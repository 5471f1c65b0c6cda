import { spawn, type ChildProcess } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const workerFile = fileURLToPath(new URL('decode-worker.ts', import.meta.url))
const decoderFile = fileURLToPath(import.meta.resolve('audio-decode'))
const packages = decoderFile.slice(0, decoderFile.lastIndexOf('node_modules') + 'node_modules'.length)

/**
 * Starts a decoding child. The kernel ends it after `cpuSeconds` of processor time, even if this process is gone by
 * then. Address space (`ulimit -v`) cannot be limited: V8 and WebAssembly reserve gigabytes they never touch. Instead
 * the resident set is watched (`watchMemory`), V8's own heap has a limit, and `ulimit -d` (private writable pages, which
 * Linux counts only once they are made writable) stops a burst between two looks. `script` is another one in tests only.
 */
export const startDecodeChild = (
  limits: { cpuSeconds: number; memoryMiB: number },
  script = workerFile,
): ChildProcess => {
  const child = spawn(
    '/bin/sh',
    [
      '-c',
      `ulimit -t ${limits.cpuSeconds}; ulimit -c 0; ulimit -d ${limits.memoryMiB * 2 * 1024} 2>/dev/null; exec "$0" "$@"`,
      process.execPath,
      '--permission', // no network, writes, child processes, workers, add-ons, WASI
      `--allow-fs-read=${join(packages, '*')}`,
      `--allow-fs-read=${join(dirname(script), '*')}`,
      `--max-old-space-size=${Math.floor(limits.memoryMiB / 2)}`,
      '--disallow-code-generation-from-strings',
      '--no-warnings',
      script,
    ],
    // A group of its own: Ctrl-C in a terminal must not make a recording in progress look unreadable.
    { env: {}, stdio: ['ignore', 'ignore', 'ignore', 'ipc'], serialization: 'advanced', detached: true },
  )
  setReferenced(child, false)
  return child
}

/** An idle child must not keep this process alive, a busy one must. */
export const setReferenced = (child: ChildProcess, isReferenced: boolean): void => {
  if (isReferenced) {
    child.ref()
    child.channel?.ref()
  } else {
    child.unref()
    child.channel?.unref()
  }
}

/** Calls `onExceeded` once the child's resident set passes the limit. Looks every 100 ms; ends with the returned call. */
export const watchMemory = (child: ChildProcess, memoryMiB: number, onExceeded: () => void): (() => void) => {
  const look = async (): Promise<void> => {
    const status = await readFile(`/proc/${child.pid ?? 0}/status`, 'utf8').catch(() => '')
    const kibibytes = Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0)
    if (kibibytes > memoryMiB * 1024) onExceeded()
  }
  const timer = setInterval(() => void look(), 100)
  return () => clearInterval(timer)
}
