import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite, test, type TestContext } from 'node:test'
import * as fixtures from '../../../test/audio-fixtures.ts'
import { encodedBy, silence, speechLike, tone, wav } from '../../../test/audio-fixtures.ts'
import { startDecodeChild } from './decode-child.ts'
import { createDecodeSandbox } from './decode-sandbox.ts'

const open = (t: TestContext, options: Parameters<typeof createDecodeSandbox>[0] = {}) => {
  const sandbox = createDecodeSandbox(options)
  t.after(() => sandbox.close())
  return sandbox
}

/** Processes of ours that run the worker file. */
const children = async (): Promise<number> => {
  let count = 0
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '')
    const command = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')
    if (status.includes(`PPid:\t${process.pid}\n`) && command.includes('decode-worker')) count++
  }
  return count
}

const recording = wav([speechLike(4)])
/** Minutes of mono silence at 8 kHz, which takes the child a moment. */
const long = wav([silence(900, 8000)], { sampleRate: 8000 })

test('measures a recording from memory and from a file', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'sandbox-'))
  t.after(() => rm(folder, { recursive: true }))
  const path = join(folder, 'upload')
  await writeFile(path, recording)
  const sandbox = open(t)
  const fromMemory = await sandbox.inspect(recording)
  assert.equal(fromMemory.kind, 'ok')
  assert.deepEqual(await sandbox.inspect({ path }), fromMemory)
  if (fromMemory.kind !== 'ok') return
  assert.equal(fromMemory.recording.durationSeconds, 4)
  assert.equal(fromMemory.recording.type, 'wav')
  assert.equal(fromMemory.samples, null)
  assert.deepEqual(await readdir(folder), ['upload'])
})

test('hands out samples when asked', async (t) => {
  const result = await open(t).inspect(recording, { wantSamples: { sampleRate: 22_050, maxSeconds: 3 } })
  assert.equal(result.kind === 'ok' && result.samples?.length, 66_150)
})

test('a missing file is a fault, not an unreadable recording', async (t) => {
  await assert.rejects(open(t).inspect({ path: '/nonexistent/upload' }), { code: 'ENOENT' })
})

test('hostile recordings are unreadable', async (t) => {
  const sandbox = open(t)
  const hostile = [
    new Uint8Array(),
    fixtures.wavOf200Channels(),
    fixtures.wavWithNaN(),
    fixtures.wavClaiming2GB(),
    fixtures.id3ThenHtml(),
    fixtures.cut(recording, 0.5),
    Buffer.from('#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1/'),
  ]
  const results = await Promise.all(hostile.map((bytes) => sandbox.inspect(bytes)))
  assert.deepEqual(
    results,
    hostile.map(() => ({ kind: 'unreadable', reason: 'undecodable' })),
  )
  assert.equal((await sandbox.inspect(recording)).kind, 'ok')
})

test('a file beyond the upload limit is not read', async (t) => {
  assert.deepEqual(await open(t).inspect(new Uint8Array(27 * 2 ** 20)), {
    kind: 'unreadable',
    reason: 'too_large',
  })
})

test('stops at 601 seconds', async (t) => {
  const result = await open(t).inspect(long)
  assert.equal(result.kind === 'ok' && result.recording.durationSeconds, 601)
})

test('ten hours of silence in 7 MB stop at 601 seconds', async (t) => {
  const file = fixtures.oggOpusSilence(36_000)
  assert.ok(file.length < 8e6, `${file.length}`)
  const result = await open(t).inspect(file)
  assert.equal(result.kind === 'ok' && result.recording.durationSeconds, 601)
  assert.equal(result.kind === 'ok' && result.recording.voicedSeconds, 0)
})

suite('limits', () => {
  test('wall time', async (t) => {
    const sandbox = open(t, { wallSeconds: 0.02 })
    assert.deepEqual(await sandbox.inspect(long), { kind: 'unreadable', reason: 'wall_time' })
  })

  test('memory', async (t) => {
    // 25 minutes kept as samples are 50 MB, twice while they are put together, on top of Node's own 60 MB.
    const minutes = wav([silence(1500, 8000)], { sampleRate: 8000, format: 'pcm8' })
    const wantSamples = { sampleRate: 48_000, maxSeconds: 1500 }
    const result = await open(t, { memoryMiB: 150, maxAudioSeconds: 1500 }).inspect(minutes, { wantSamples })
    assert.equal(result.kind, 'unreadable')
    assert.ok(result.kind === 'unreadable' && ['memory', 'crashed'].includes(result.reason))
  })

  test('processor time', async (t) => {
    // Half a minute at 384 kHz takes the child more than a second.
    const heavy = wav([silence(33, 384_000)], { sampleRate: 384_000, format: 'pcm8' })
    const samples = { sampleRate: 383_999, maxSeconds: 30 }
    const result = await open(t, { cpuSeconds: 1 }).inspect(heavy, { wantSamples: samples })
    assert.deepEqual(result, { kind: 'unreadable', reason: 'crashed' })
  })

  test('no child outlives its job or the sandbox', async (t) => {
    if (!existsSync('/proc/self/status')) return t.skip('needs /proc')
    const sandbox = createDecodeSandbox({ wallSeconds: 0.02 })
    await sandbox.inspect(long)
    assert.equal(await children(), 1, 'the one kept waiting')
    await sandbox.close()
    assert.equal(await children(), 0)
  })
})

test('a full queue is busy, what waits is served in order', async (t) => {
  const sandbox = open(t, { concurrency: 1, queueLimit: 2 })
  const order: number[] = []
  const results = await Promise.all(
    [0, 1, 2, 3, 4].map(async (index) => {
      const { kind } = await sandbox.inspect(recording)
      order.push(index)
      return kind
    }),
  )
  assert.deepEqual(results, ['ok', 'ok', 'ok', 'busy', 'busy'])
  assert.deepEqual(order, [3, 4, 0, 1, 2])
})

test('an abort ends the job, running or waiting, and frees its place', async (t) => {
  const sandbox = open(t, { concurrency: 1 })
  const reason = new Error('client went away')
  const running = new AbortController()
  const queued = new AbortController()
  const first = sandbox.inspect(long, { signal: running.signal })
  const second = sandbox.inspect(long, { signal: queued.signal })
  setTimeout(() => {
    queued.abort(reason)
    running.abort(reason)
  }, 50)
  await assert.rejects(first, reason)
  await assert.rejects(second, reason)
  assert.equal((await sandbox.inspect(recording)).kind, 'ok')
  await assert.rejects(sandbox.inspect(recording, { signal: AbortSignal.abort(reason) }), reason)
})

test('closing rejects what is in flight and what comes later', async () => {
  const sandbox = createDecodeSandbox({ concurrency: 1 })
  const both = [sandbox.inspect(long), sandbox.inspect(recording)]
  const settled = Promise.allSettled(both)
  await sandbox.close()
  for (const result of await settled) assert.equal(result.status, 'rejected')
  await assert.rejects(sandbox.inspect(recording), /closed/)
})

test('mutated recordings never yield more than the three answers', async (t) => {
  const sandbox = open(t)
  const random = fixtures.randomFrom(7)
  const source = wav([tone(3.5, { sampleRate: 16_000 })], { sampleRate: 16_000 })
  const originals = [source, encodedBy(source, 'm4a') ?? source, encodedBy(source, 'ogg-vorbis') ?? source]
  const kinds = await Promise.all(
    Array.from({ length: 6 }, async (_, index) => {
      const mutated = new Uint8Array(originals[index % originals.length]!)
      for (let count = 0; count < 30; count++)
        mutated[Math.floor(random() * mutated.length)] = Math.floor(random() * 256)
      return (await sandbox.inspect(mutated)).kind
    }),
  )
  for (const kind of kinds) assert.ok(kind === 'ok' || kind === 'unreadable', kind)
})

test('a child can neither read files, write, connect nor start processes', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'sandbox-probe-'))
  t.after(() => rm(folder, { recursive: true }))
  const probe = join(folder, 'probe.mjs')
  await writeFile(
    probe,
    `import { readFileSync, writeFileSync } from 'node:fs'
     import { connect } from 'node:net'
     import { spawnSync } from 'node:child_process'
     const codeOf = (act) => { try { act(); return 'allowed' } catch (error) { return error.code ?? String(error) } }
     const network = new Promise((resolve) => {
       try { connect(9, '127.0.0.1').on('error', (error) => resolve(error.code)).on('connect', () => resolve('allowed')) }
       catch (error) { resolve(error.code) }
     })
     process.send({
       read: codeOf(() => readFileSync(${JSON.stringify(join(process.cwd(), 'package.json'))})),
       write: codeOf(() => writeFileSync(${JSON.stringify(join(folder, 'out'))}, 'x')),
       spawn: codeOf(() => spawnSync('true')),
       network: await network,
       environment: Object.keys(process.env).filter((name) => name !== 'PWD'),
     }, () => process.disconnect())`,
  )
  const child = startDecodeChild({ cpuSeconds: 5, memoryMiB: 512 }, probe)
  child.ref()
  const answer = await new Promise((resolve) => child.once('message', resolve).once('exit', resolve))
  const denied = 'ERR_ACCESS_DENIED'
  assert.deepEqual(answer, { read: denied, write: denied, spawn: denied, network: denied, environment: [] })
})
