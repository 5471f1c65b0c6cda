import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { get as httpGet } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import Fastify from 'fastify'
import { AppError } from '../../../platform/errors.ts'
import { localFileRoutes } from './file-routes.ts'
import { createLocalFiles } from './local-files.ts'
import type { LocalFiles } from './local-files.ts'
import { sidePath } from './side-file.ts'

const audio = { contentType: 'audio/mpeg', contentDisposition: 'attachment; filename="1_2.mp3"' }
const content = '0123456789'

/** Real HTTP over the routes, with one object `a/b.mp3`, a clock to move and every opened body at hand. */
const serve = async (t: TestContext) => {
  const directory = await mkdtemp(join(tmpdir(), 'objects-'))
  const clock = { time: Date.parse('2026-05-06T07:08:09Z') }
  const now = () => new Date(clock.time)
  const signingKey = Buffer.alloc(32, 1)
  const storage = createLocalFiles({ directory, publicBaseUrl: 'http://placeholder', signingKey, now })
  await storage.put('a/b.mp3', Buffer.from(content), audio)
  const opened: Readable[] = []
  const watched: LocalFiles = {
    ...storage,
    get: async (...args) => {
      const object = await storage.get(...args)
      if (object !== null) opened.push(object.body)
      return object
    },
  }
  const logged: unknown[] = []
  const app = Fastify({
    logger: { level: 'error', stream: { write: (line: string) => logged.push(line) } },
  })
  app.setErrorHandler((error, _request, reply) => {
    if (!(error instanceof AppError)) throw error
    const { headers = {}, retryAfterSeconds } = error.details
    if (retryAfterSeconds !== undefined) reply.header('retry-after', retryAfterSeconds)
    return reply.code(error.status).headers(headers).send({ error: error.message })
  })
  await app.register(localFileRoutes, { storage: watched, now })
  const origin = await app.listen({ host: '127.0.0.1', port: 0 })
  t.after(async () => {
    await app.close()
    await rm(directory, { recursive: true })
    assert.deepEqual(logged, [], 'nothing is logged as an error')
  })
  const link = async (key = 'a/b.mp3', options = {}) =>
    new URL(
      (await storage.presignGet(key, { expiresInSeconds: 60, ...options })).replace(
        'http://placeholder',
        origin,
      ),
    )
  return { storage, directory, link, clock, opened }
}

test('a signed link serves the object with its headers', async (t) => {
  const { link, storage } = await serve(t)
  const response = await fetch(await link())
  assert.equal(response.status, 200)
  assert.equal(await response.text(), content)
  const head = await storage.head('a/b.mp3')
  const expected = {
    'content-type': 'audio/mpeg',
    'content-length': '10',
    'content-disposition': audio.contentDisposition,
    etag: head?.etag,
    'last-modified': head?.lastModified.toUTCString(),
    'accept-ranges': 'bytes',
    'cache-control': 'private, max-age=60',
    'cross-origin-resource-policy': 'cross-origin',
    'x-content-type-options': 'nosniff',
  }
  for (const [name, value] of Object.entries(expected)) assert.equal(response.headers.get(name), value, name)
})

test('HEAD answers the same headers, ignores Range and opens nothing', async (t) => {
  const { link, opened } = await serve(t)
  const response = await fetch(await link(), { method: 'HEAD', headers: { range: 'bytes=0-1' } })
  assert.equal(response.status, 200)
  assert.equal(response.headers.get('content-length'), '10')
  assert.equal(response.headers.get('content-type'), 'audio/mpeg')
  assert.equal(await response.text(), '')
  assert.equal(opened.length, 0)
})

test('a stale Authorization header changes nothing', async (t) => {
  const { link } = await serve(t)
  const response = await fetch(await link(), { headers: { authorization: 'Bearer stale' } })
  assert.equal(response.status, 200)
})

test('an altered, incomplete or expired link is refused', async (t) => {
  const { link, clock, storage } = await serve(t)
  await storage.put('a/other.mp3', Buffer.from('other'), audio)
  const good = await link('a/b.mp3', { contentType: 'audio/x', contentDisposition: 'inline' })
  const refused = async (url: URL | string, name: string) => {
    const response = await fetch(url)
    assert.equal(response.status, 403, name)
    assert.deepEqual(await response.json(), { error: 'Link is invalid or has expired' })
  }
  assert.equal((await fetch(good)).status, 200)
  for (const name of ['expires', 'type', 'disposition', 'signature']) {
    const missing = new URL(good)
    missing.searchParams.delete(name)
    await refused(missing, `${name} missing`)
    const twice = new URL(good)
    twice.searchParams.append(name, good.searchParams.get(name) ?? '')
    await refused(twice, `${name} twice`)
    const altered = new URL(good)
    altered.searchParams.set(name, name === 'expires' ? '9999999999' : 'text/html')
    await refused(altered, `${name} altered`)
  }
  const signature = good.searchParams.get('signature') ?? ''
  const flipped = new URL(good)
  flipped.searchParams.set('signature', (signature.startsWith('A') ? 'B' : 'A') + signature.slice(1))
  await refused(flipped, 'signature flipped')
  await refused(good.href.replace('a/b.mp3', 'a/other.mp3'), 'another object')
  await refused(good.href.replace('a/b.mp3', 'a/..%2fa/b.mp3'), 'a way round')
  await refused(new URL('/files/a/b.mp3', good), 'bare')
  clock.time += 59_000
  assert.equal((await fetch(good)).status, 200)
  clock.time += 1000
  await refused(good, 'expired')
})

test('single ranges are 206, unsatisfiable ones 416, others are ignored', async (t) => {
  const { link } = await serve(t)
  const url = await link()
  const ask = async (range: string, more = {}) => {
    const response = await fetch(url, { headers: { range, ...more } })
    return [response.status, response.headers.get('content-range'), await response.text()]
  }
  assert.deepEqual(await ask('bytes=2-4'), [206, 'bytes 2-4/10', '234'])
  assert.deepEqual(await ask('bytes=0-0'), [206, 'bytes 0-0/10', '0'])
  assert.deepEqual(await ask('bytes=-2'), [206, 'bytes 8-9/10', '89'])
  assert.deepEqual((await ask('bytes=10-')).slice(0, 2), [416, 'bytes */10'])
  assert.deepEqual(await ask('bytes=4-2'), [200, null, content])
  assert.deepEqual(await ask('bytes=0-1,3-4'), [200, null, content])
  const { headers } = await fetch(url, { method: 'HEAD' })
  assert.deepEqual(await ask('bytes=2-4', { 'if-range': headers.get('etag') }), [206, 'bytes 2-4/10', '234'])
  assert.deepEqual(await ask('bytes=2-4', { 'if-range': '"other"' }), [200, null, content])
})

test('If-None-Match with the etag is 304 without a body', async (t) => {
  const { link, opened } = await serve(t)
  const url = await link()
  const etag = (await fetch(url, { method: 'HEAD' })).headers.get('etag') ?? ''
  const response = await fetch(url, { headers: { 'if-none-match': etag } })
  assert.equal(response.status, 304)
  assert.equal(response.headers.get('etag'), etag)
  assert.equal(await response.text(), '')
  assert.equal(opened.length, 0)
})

test('a link to an object that is gone is 404, one to a broken store 503', async (t) => {
  const { link, directory } = await serve(t)
  assert.equal((await fetch(await link('a/gone'))).status, 404)
  await rm(sidePath(join(directory, 'a/b.mp3')))
  const broken = await fetch(await link())
  assert.equal(broken.status, 503)
  assert.equal(broken.headers.get('retry-after'), '30')
})

test('a client that goes away leaves no file open', async (t) => {
  const { link, storage, opened } = await serve(t)
  await storage.put('a/large', Buffer.alloc(20_000_000), audio)
  const url = await link('a/large')
  await new Promise<void>((resolve, reject) => {
    const request = httpGet(url, (response) =>
      response.once('data', () => {
        request.destroy()
        resolve()
      }),
    )
    request.on('error', reject)
  })
  for (let tries = 0; tries < 200 && opened[0]?.closed !== true; tries++) await delay(10)
  assert.equal(opened[0]?.closed, true)
})
