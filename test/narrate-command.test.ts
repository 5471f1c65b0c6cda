import assert from 'node:assert/strict'
import { execFile, spawn } from 'node:child_process'
import { access, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after, before, describe, test } from 'node:test'
import { promisify } from 'node:util'
import { startEmbeddedServer, type EmbeddedServer } from '../scripts/embedded-server.ts'
import { createDecodeSandbox } from '../src/platform/audio/decode-sandbox.ts'
import { parseMp3 } from '../src/platform/audio/mp3-frames.ts'
import { analyseVoice } from '../src/providers/speech/local/voice-analysis.ts'
import { speakRecording } from './recordings.ts'

const run = promisify(execFile)
const script = path.join(import.meta.dirname, '../scripts/narrate.ts')
// Spoken words of a person, shipped with Debian's alsa-utils.
const sounds = [
  'Front_Center',
  'Front_Left',
  'Front_Right',
  'Rear_Center',
  'Rear_Left',
  'Rear_Right',
  'Side_Left',
]
const soundFile = (name: string): string => `/usr/share/sounds/alsa/${name}.wav`

const isThere = (file: string): Promise<boolean> =>
  access(file).then(
    () => true,
    () => false,
  )

/** Runs the command with the password on standard input. */
const narrate = (args: string[], password?: string): Promise<{ code: number | null; output: string }> =>
  new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [script, ...args], { stdio: ['pipe', 'pipe', 'pipe'] })
    let output = ''
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (chunk: Buffer) => (output += chunk.toString()))
    child.on('error', reject)
    child.on('close', (code) => resolve({ code, output }))
    child.stdin.end(password ?? '')
  })

const measure = async (file: string) => {
  const probe = await run('ffprobe', [
    '-v',
    'error',
    '-show_entries',
    'format=duration',
    '-of',
    'csv=p=0',
    file,
  ])
  const decode = await run('ffmpeg', [
    '-hide_banner',
    '-v',
    'warning',
    '-i',
    file,
    '-map',
    '0:a',
    '-f',
    'null',
    '-',
  ])
  const volume = await run('ffmpeg', [
    '-hide_banner',
    '-i',
    file,
    '-map',
    '0:a',
    '-af',
    'volumedetect',
    '-f',
    'null',
    '-',
  ])
  return {
    seconds: Number(probe.stdout),
    complaints: decode.stderr.trim(),
    meanVolume: Number(/mean_volume: (-?[\d.]+) dB/.exec(volume.stderr)?.[1]),
  }
}

describe('npm run narrate', () => {
  let server: EmbeddedServer
  let folder = ''
  let story = ''
  const against = (): string[] => [
    '--server',
    server.url,
    '--email',
    server.account.email,
    '--password-stdin',
  ]
  const out = (name: string): string => path.join(folder, `${name}.mp3`)

  before(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'dawnotemu-narrate-'))
    server = await startEmbeddedServer()
    const stories = (await (await fetch(`${server.url}/stories`)).json()) as { id: number; content: string }[]
    const chosen = stories.find(({ content }) => [...content].length > 2450 && [...content].length < 2560)
    story = String(chosen?.id)
  })
  after(async () => {
    await server.close()
    await rm(folder, { recursive: true, force: true })
  })

  test('a human recording as WAV, as the app sends it and as browsers send it', async (t) => {
    const hasSounds = await isThere(soundFile('Front_Center'))
    const hasFfmpeg = await run('ffmpeg', ['-version']).then(
      () => true,
      () => false,
    )
    if (!hasSounds || !hasFfmpeg) return t.skip('needs ffmpeg and the sounds of alsa-utils')
    const inputs = sounds.flatMap((name) => ['-i', soundFile(name)])
    const join = ['-filter_complex', `concat=n=${sounds.length}:v=0:a=1`]
    const recordings = [
      ['wav', ['-c:a', 'pcm_s16le']],
      ['m4a', ['-c:a', 'aac']],
      ['webm', ['-c:a', 'libopus']],
    ] as const
    for (const [type, codec] of recordings) {
      const recording = path.join(folder, `recording.${type}`)
      await run('ffmpeg', ['-v', 'error', ...inputs, ...join, ...codec, recording])
      const { code, output } = await narrate(
        ['--recording', recording, '--story', story, '--out', out(type), ...against()],
        server.account.password,
      )
      assert.equal(code, 0, output)
      assert.match(output, /narration ready/)
      const { seconds, complaints, meanVolume } = await measure(out(type))
      const parsed = parseMp3(await readFile(out(type)))
      assert.ok(seconds > 60, `${type}: ${seconds} s`)
      assert.ok(
        Math.abs(seconds - parsed.durationSeconds) < 0.1,
        `${type}: ${seconds} and ${parsed.durationSeconds}`,
      )
      assert.equal(complaints, '')
      assert.ok(meanVolume > -26 && meanVolume < -14, `${type}: mean volume ${meanVolume} dB`)
      t.diagnostic(`${type}: ${seconds.toFixed(1)} s, mean volume ${meanVolume} dB`)
    }
  })

  test('a low and a high voice are heard in the narration', async (t) => {
    const sandbox = createDecodeSandbox()
    const pitchOf = async (file: string): Promise<number> => {
      const wantSamples = { sampleRate: 22_050, maxSeconds: 60 }
      const decoded = await sandbox.inspect({ path: file }, { wantSamples })
      assert.ok(decoded.kind === 'ok' && decoded.samples)
      return analyseVoice(decoded.samples, 22_050).medianPitchHz ?? 0
    }
    try {
      const pitches: number[] = []
      for (const pitch of ['low', 'high'] as const) {
        const recording = path.join(folder, `${pitch}-recording.mp3`)
        await writeFile(recording, await speakRecording(pitch))
        const { code, output } = await narrate(
          ['--recording', recording, '--story', story, '--out', out(pitch), ...against()],
          server.account.password,
        )
        assert.equal(code, 0, output)
        pitches.push(await pitchOf(out(pitch)))
      }
      const [low = 0, high = 0] = pitches
      t.diagnostic(`median pitch ${low.toFixed(0)} Hz and ${high.toFixed(0)} Hz`)
      assert.ok(low > 70 && high / low > 1.3, `${low} Hz and ${high} Hz`)
    } finally {
      await sandbox.close()
    }
  })

  test('without a server it starts its own, also for a text file', async () => {
    const text = path.join(folder, 'Kotek.txt')
    await writeFile(text, 'Kotek ziewnął i zwinął się w kłębek. Za oknem cicho padał śnieg. Dobranoc, kotku.')
    const recording = path.join(folder, 'own-recording.mp3')
    await writeFile(recording, await speakRecording())
    const { code, output } = await narrate(['--recording', recording, '--story', text, '--out', out('own')])
    assert.equal(code, 0, output)
    assert.ok(parseMp3(await readFile(out('own'))).durationSeconds > 3)
  })

  test('wrong use says how it is used', async () => {
    for (const args of [
      [],
      ['--recording', 'a.wav', '--story', '1'],
      ['--recording', 'a.wav', '--story', 'a.txt', '--out', 'b.mp3', '--server', 'http://127.0.0.1:1'],
      ['--recording', 'a.wav', '--story', '1', '--out', 'b.mp3', '--server', 'http://127.0.0.1:1'],
    ]) {
      const { code, output } = await narrate(args)
      assert.equal(code, 2, output)
      assert.match(output, /usage: npm run narrate/)
    }
    const refused = await narrate(
      [
        '--recording',
        path.join(import.meta.dirname, '../package.json'),
        '--story',
        '1',
        '--out',
        out('none'),
        ...against(),
      ],
      server.account.password,
    )
    assert.equal(refused.code, 1)
    assert.match(refused.output, /400 Invalid file type/)
  })
})
