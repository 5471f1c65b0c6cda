/**
 * Narrates a story of about 3,000 characters with the local voice through a real web and a real worker process and
 * prints wall time, speed against real time, and the peak memory of each and of the speech processes.
 */
import { spawn } from 'node:child_process'
import { mkdtemp, readFile, readdir, rm } from 'node:fs/promises'
import { loadavg, tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { freePort } from '../src/platform/free-port.ts'
import { recordingForm, speakRecording } from '../test/recordings.ts'

const dataDir = await mkdtemp(path.join(tmpdir(), 'dawnotemu-bench-'))
const port = await freePort()
const base = `http://localhost:${port}`
const start = (role: string) =>
  spawn(process.execPath, [path.join(import.meta.dirname, '../src/main.ts'), '--role', role], {
    env: { PATH: process.env['PATH'], PORT: String(port), DATA_DIR: dataDir, LOG_LEVEL: 'error' },
    stdio: 'ignore',
  })
// The worker joins the embedded database that the web process started.
const web = start('web')
let worker: ReturnType<typeof start> | null = null

const residentMiB = async (pid: number): Promise<number> => {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '')
  return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1024
}

/** Decoder and speech processes of the worker. */
const childrenOf = async (pid: number): Promise<number[]> => {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number)
  const found = await Promise.all(
    pids.map(async (each) => {
      const stat = await readFile(`/proc/${each}/stat`, 'utf8').catch(() => '')
      const command = await readFile(`/proc/${each}/cmdline`, 'utf8').catch(() => '')
      const isChild = Number(stat.split(') ').at(-1)?.split(' ')[1]) === pid
      return isChild && /espeak-process|decode-worker/.test(command) ? each : 0
    }),
  )
  return found.filter((each) => each > 0)
}

const call = async (
  method: string,
  target: string,
  init: { token?: string; json?: unknown; form?: FormData } = {},
) => {
  const response = await fetch(`${base}${target}`, {
    method,
    headers: {
      ...(init.token === undefined ? {} : { authorization: `Bearer ${init.token}` }),
      ...(init.json === undefined ? {} : { 'content-type': 'application/json' }),
    },
    ...(init.json === undefined ? {} : { body: JSON.stringify(init.json) }),
    ...(init.form === undefined ? {} : { body: init.form }),
  })
  return (await response.json()) as Record<string, unknown>
}

try {
  while (
    !(await fetch(`${base}/health/ready`).then(
      (answer) => answer.ok,
      () => false,
    ))
  )
    await sleep(100)
  worker = start('worker')
  const accounts = JSON.parse(await readFile(path.join(dataDir, 'demo-accounts.json'), 'utf8')) as {
    email: string
    password: string
  }[]
  const token = String((await call('POST', '/auth/login', { json: accounts[0] }))['access_token'])
  const stories = (await call('GET', '/stories')) as unknown as { id: number; content: string }[]
  const story = stories.find(({ content }) => [...content].length > 2850 && [...content].length < 3100)
  if (!story) throw new Error('no story of about 3,000 characters')
  const voice = await call('POST', '/voices', { token, form: recordingForm(await speakRecording()) })

  let webPeak = 0
  let workerPeak = 0
  let childPeak = 0
  const [webPid, workerPid] = [web.pid ?? 0, worker.pid ?? 0]
  const timer = setInterval(() => {
    void (async () => {
      webPeak = Math.max(webPeak, await residentMiB(webPid))
      workerPeak = Math.max(workerPeak, await residentMiB(workerPid))
      for (const child of await childrenOf(workerPid))
        childPeak = Math.max(childPeak, await residentMiB(child))
    })()
  }, 100)
  const started = performance.now()
  const narration = await call('POST', `/voices/${String(voice['id'])}/stories/${story.id}/audio`, { token })
  let status: Record<string, unknown> = {}
  while (status['status'] !== 'ready') {
    status = await call('GET', `/audio/${String(narration['id'])}/status`, { token })
    if (status['status'] === 'error') throw new Error(String(status['error']))
    await sleep(50)
  }
  const wall = (performance.now() - started) / 1000
  clearInterval(timer)
  const audio = Number(status['duration_seconds'])
  console.log(
    `story           ${[...story.content].length} characters, ${String(status['parts_total'])} parts`,
  )
  console.log(`audio           ${audio.toFixed(1)} s`)
  console.log(`wall time       ${wall.toFixed(2)} s from POST to ready (clone included)`)
  console.log(`speed           ${(audio / wall).toFixed(1)} x real time`)
  console.log(`web memory      ${webPeak.toFixed(0)} MiB at most`)
  console.log(`worker memory   ${workerPeak.toFixed(0)} MiB at most`)
  console.log(`child memory    ${childPeak.toFixed(0)} MiB at most for one decoder or speech process`)
  console.log(
    `load average    ${loadavg()
      .map((load) => load.toFixed(2))
      .join(' ')}`,
  )
} finally {
  for (const child of [worker, web]) {
    if (!child) continue
    const ended = new Promise((resolve) => child.once('exit', resolve))
    child.kill('SIGTERM')
    await ended
  }
  await rm(dataDir, { recursive: true, force: true })
}
