/**
 * From a recording to a finished story over the real HTTP API:
 *   npm run narrate -- --recording FILE --story ID|TEXTFILE --out FILE.mp3 [--server URL --email … --password-stdin]
 * Without --server it starts a server of its own on a free port in a temporary folder.
 */
import { openAsBlob } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { Type, type Static, type TSchema } from 'typebox'
import { Value } from 'typebox/value'
import { startEmbeddedServer, type EmbeddedServer } from './embedded-server.ts'

const limitMs = 30 * 60_000

const { values: options } = parseArgs({
  options: {
    recording: { type: 'string' },
    story: { type: 'string' },
    out: { type: 'string' },
    server: { type: 'string' },
    email: { type: 'string' },
    'password-stdin': { type: 'boolean', default: false },
  },
})

const usage = (reason: string): never => {
  process.stderr.write(
    `${reason}\nusage: npm run narrate -- --recording FILE --story ID|TEXTFILE --out FILE.mp3 [--server URL --email ADDRESS --password-stdin]\n`,
  )
  return process.exit(2)
}

const required = (value: string | undefined, name: string): string => value ?? usage(`--${name} is missing`)
const recording = required(options.recording, 'recording')
const story = required(options.story, 'story')
const out = required(options.out, 'out')
const isStoryId = /^\d+$/.test(story)
if (options.server !== undefined && !isStoryId)
  usage('with --server the story must be one of the library: give its id')
if (options.server !== undefined && (options.email === undefined || !options['password-stdin']))
  usage('--server needs --email and --password-stdin')

let shown = ''
const progress = (line: string): void => {
  if (line === shown) return
  shown = line
  if (process.stderr.isTTY) process.stderr.write(`\r\u001B[K${line}`)
  else process.stderr.write(`${line}\n`)
}

const createClient = (base: string) => {
  let token = ''
  const call = async <S extends TSchema>(
    method: string,
    target: string,
    schema: S,
    init: { json?: unknown; form?: FormData } = {},
  ): Promise<{ status: number; body: Static<S> }> => {
    const response = await fetch(`${base}${target}`, {
      method,
      signal: AbortSignal.timeout(120_000),
      headers: {
        ...(token === '' ? {} : { authorization: `Bearer ${token}` }),
        ...(init.json === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(init.json === undefined ? {} : { body: JSON.stringify(init.json) }),
      ...(init.form === undefined ? {} : { body: init.form }),
    })
    const body: unknown = await response.json()
    if (!response.ok) {
      const reason = Value.Check(Type.Object({ error: Type.String() }), body) ? body.error : 'no reason given'
      throw new Error(`${method} ${target}: ${response.status} ${reason}`)
    }
    return { status: response.status, body: Value.Parse(schema, body) }
  }
  return {
    call,
    signIn: async (email: string, password: string): Promise<void> => {
      const schema = Type.Object({ access_token: Type.String() })
      token = (await call('POST', '/auth/login', schema, { json: { email, password } })).body.access_token
    },
    download: async (url: string): Promise<Uint8Array> => {
      const response = await fetch(url, { signal: AbortSignal.timeout(120_000) })
      if (!response.ok) throw new Error(`download: ${response.status}`)
      return new Uint8Array(await response.arrayBuffer())
    },
  }
}

const statusSchema = Type.Object({
  status: Type.String(),
  stage: Type.String(),
  parts_total: Type.Integer(),
  parts_done: Type.Integer(),
  duration_seconds: Type.Union([Type.Number(), Type.Null()]),
  url: Type.Optional(Type.String()),
  error: Type.Optional(Type.String()),
})

const run = async (
  base: string,
  account: { email: string; password: string },
  storyId: string,
): Promise<void> => {
  const started = performance.now()
  const marks: [string, number][] = []
  const mark = (name: string): void => void marks.push([name, (performance.now() - started) / 1000])
  const client = createClient(base)
  await client.signIn(account.email, account.password)
  mark('signed in')

  const form = new FormData()
  form.set('file', await openAsBlob(recording), path.basename(recording))
  const uploaded = Type.Object({ id: Type.Integer(), recording_warnings: Type.Array(Type.String()) })
  const voice = (await client.call('POST', '/voices', uploaded, { form })).body
  mark('recording checked and stored')
  if (voice.recording_warnings.length > 0) progress(`recording: ${voice.recording_warnings.join(', ')}\n`)

  const accepted = Type.Object({ id: Type.Integer(), status: Type.String() })
  const audio = `/voices/${voice.id}/stories/${storyId}/audio`
  const { body: narration } = await client.call('POST', audio, accepted)
  mark('narration accepted')

  const deadline = Date.now() + limitMs
  for (;;) {
    const { body } = await client.call('GET', `/audio/${narration.id}/status`, statusSchema)
    progress(`${body.stage}: ${body.parts_done} of ${body.parts_total} parts`)
    if (body.status === 'error') throw new Error(body.error ?? 'the narration failed')
    if (body.status === 'ready' && body.url !== undefined) {
      mark('narration ready')
      const bytes = await client.download(body.url)
      await writeFile(out, bytes)
      mark('file written')
      progress('')
      for (const [name, seconds] of marks)
        process.stdout.write(`${seconds.toFixed(2).padStart(8)} s  ${name}\n`)
      const length = body.duration_seconds ?? 0
      process.stdout.write(`${out}: ${length.toFixed(1)} s of audio, ${bytes.length} bytes\n`)
      return
    }
    if (Date.now() > deadline) throw new Error('gave up after 30 min')
    await sleep(250)
  }
}

let embedded: EmbeddedServer | null = null
try {
  if (options.server === undefined) {
    progress('starting a server')
    embedded = await startEmbeddedServer()
    const id = isStoryId
      ? story
      : String(await embedded.addStory(path.parse(story).name, await readFile(story, 'utf8')))
    await run(embedded.url, embedded.account, id)
  } else {
    const password = (await text(process.stdin)).replace(/\r?\n$/, '')
    await run(options.server.replace(/\/$/, ''), { email: options.email ?? '', password }, story)
  }
} catch (error) {
  process.stderr.write(`\nnarrate: ${error instanceof Error ? error.message : String(error)}\n`)
  process.exitCode = 1
} finally {
  await embedded?.close()
}
