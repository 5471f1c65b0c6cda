import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import {
  copyFile,
  mkdir,
  mkdtemp,
  readdir,
  rename,
  rm,
  stat,
  symlink,
  utimes,
  writeFile,
} from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import Fastify from 'fastify'
import { objectStorageContract } from '../contract.ts'
import { localFileRoutes } from './file-routes.ts'
import { createLocalFiles } from './local-files.ts'
import { sidePath } from './side-file.ts'

const audio = { contentType: 'audio/mpeg' }
const unavailable = { name: 'StorageUnavailable' }

const openStorage = async (t: TestContext) => {
  const directory = await mkdtemp(join(tmpdir(), 'objects-'))
  t.after(() => rm(directory, { recursive: true }))
  const now = () => new Date()
  const options = { directory, publicBaseUrl: 'http://127.0.0.1', signingKey: Buffer.alloc(32, 1), now }
  return { storage: createLocalFiles(options), directory, reopen: () => createLocalFiles(options) }
}

objectStorageContract('local files', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'objects-'))
  const now = () => new Date()
  const listener = createServer()
  await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve))
  const address = listener.address()
  assert.ok(typeof address === 'object' && address !== null)
  const publicBaseUrl = `http://127.0.0.1:${address.port}/`
  const storage = createLocalFiles({ directory, publicBaseUrl, signingKey: Buffer.alloc(32, 1), now })
  // The address must be known before the routes can be made, so the listener comes first.
  const app = Fastify({ serverFactory: (handler) => listener.on('request', handler) })
  await app.register(localFileRoutes, { storage, now })
  await app.ready()
  const close = async () => {
    listener.closeAllConnections()
    await app.close()
    listener.close()
    await rm(directory, { recursive: true })
  }
  return { storage, close }
})

test('a put leaves the object, its side file and nothing else', async (t) => {
  const { storage, directory } = await openStorage(t)
  const { etag } = await storage.put('a/b.mp3', Buffer.from('abc'), audio)
  // SHA-256 of "abc" (FIPS 180-2, appendix B.1).
  assert.equal(etag, '"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"')
  await assert.rejects(
    storage.put('a/c.mp3', Readable.from(['x']), { ...audio, contentLength: 2 }),
    unavailable,
  )
  assert.deepEqual((await readdir(join(directory, 'a'))).sort(), ['b.mp3', 'b.mp3~side.json'])
  assert.deepEqual(await readdir(join(directory, '~drafts')), [])
  assert.equal((await stat(join(directory, 'a/b.mp3'))).mode & 0o077, 0, 'private to the user')
  await storage.deleteMany(['a/b.mp3'])
  assert.deepEqual(await readdir(join(directory, 'a')), [])
})

test('a crash between side file and object leaves the old version described', async (t) => {
  const { storage, directory, reopen } = await openStorage(t)
  const path = join(directory, 'a/b')
  const old = await storage.put('a/b', Buffer.from('old'), audio)
  await rename(path, `${path}.kept`)
  await storage.put('a/b', Buffer.from('new'), { contentType: 'audio/ogg' })
  // The state after the side file was renamed and before the object was: new side file, old object.
  await rename(`${path}.kept`, path)
  const head = await reopen().head('a/b')
  assert.deepEqual([head?.contentType, head?.etag], ['audio/mpeg', old.etag])
})

test('a crash before the first object is in place leaves it absent', async (t) => {
  const { storage, directory } = await openStorage(t)
  await storage.put('a/b', Buffer.from('abc'), audio)
  await rm(join(directory, 'a/b'))
  assert.equal(await storage.head('a/b'), null)
  assert.equal(await storage.get('a/b'), null)
  assert.deepEqual(await Array.fromAsync(storage.list('')), [])
})

test('an object without a readable side file is a fault, not an absence', async (t) => {
  const { storage, directory } = await openStorage(t)
  await storage.put('a/b', Buffer.from('abc'), audio)
  await writeFile(sidePath(join(directory, 'a/b')), '{')
  await assert.rejects(storage.head('a/b'), unavailable)
  await rm(sidePath(join(directory, 'a/b')))
  await assert.rejects(storage.get('a/b'), unavailable)
  await storage.put('a/b', Buffer.from('abc'), audio)
  assert.equal((await storage.head('a/b'))?.contentType, 'audio/mpeg')
})

test('a restored object whose time was lost is known by its size', async (t) => {
  const { storage, directory } = await openStorage(t)
  await storage.put('a/b', Buffer.from('abc'), audio)
  await copyFile(join(directory, 'a/b'), join(directory, 'kept'))
  await rm(join(directory, 'a/b'))
  await rename(join(directory, 'kept'), join(directory, 'a/b'))
  await utimes(join(directory, 'a/b'), 1, 1)
  assert.equal((await storage.head('a/b'))?.contentType, 'audio/mpeg')
})

test('writers and readers of one key never see parts of two versions', async (t) => {
  const { storage } = await openStorage(t)
  const put = (n: number) => storage.put('a/b', Buffer.from(`v${n}`), { contentType: `audio/v${n}` })
  await put(0)
  const check = async () => {
    const [head, object] = await Promise.all([storage.stored('a/b'), storage.get('a/b')])
    assert.ok(head && object)
    const content = String(await buffer(object.body))
    if (head.etag === object.etag) assert.equal(head.contentType, `audio/${content}`)
  }
  await Promise.all(Array.from({ length: 20 }, async (_, n) => Promise.all([put(n % 10), check(), check()])))
  await check()
})

test('symbolic links are not followed', async (t) => {
  const { storage, directory } = await openStorage(t)
  const outside = await mkdtemp(join(tmpdir(), 'outside-'))
  t.after(() => rm(outside, { recursive: true }))
  await writeFile(join(outside, 'secret'), 'secret')
  await storage.put('a/b', Buffer.from('abc'), audio)
  await symlink(outside, join(directory, 'linked'))
  await symlink(join(outside, 'secret'), join(directory, 'a/secret'))
  await assert.rejects(storage.get('linked/secret'), unavailable)
  await assert.rejects(storage.head('a/secret'), unavailable)
  await assert.rejects(storage.put('linked/new/file', Buffer.from('x'), audio), unavailable)
  await assert.rejects(Array.fromAsync(storage.list('linked/')), unavailable)
  const { failed } = await storage.deleteMany(['linked/secret'])
  assert.equal(failed[0]?.key, 'linked/secret')
  assert.deepEqual(await readdir(outside), ['secret'])
  assert.deepEqual(
    (await Array.fromAsync(storage.list(''))).map(({ key }) => key),
    ['a/b'],
  )
})

test('a storage folder that is a link itself works', async (t) => {
  const parent = await mkdtemp(join(tmpdir(), 'objects-'))
  t.after(() => rm(parent, { recursive: true }))
  await mkdir(join(parent, 'real'))
  await symlink(join(parent, 'real'), join(parent, 'alias'))
  const now = () => new Date()
  const directory = join(parent, 'alias')
  const storage = createLocalFiles({ directory, publicBaseUrl: '', signingKey: Buffer.alloc(32), now })
  await storage.put('a/b', Buffer.from('abc'), audio)
  assert.equal((await storage.head('a/b'))?.size, 3)
})

test('a folder that cannot be used is a fault, and heals', async (t) => {
  const parent = await mkdtemp(join(tmpdir(), 'objects-'))
  t.after(() => rm(parent, { recursive: true }))
  const directory = join(parent, 'objects')
  await writeFile(directory, 'a file is in the way')
  const now = () => new Date()
  const storage = createLocalFiles({ directory, publicBaseUrl: '', signingKey: Buffer.alloc(32), now })
  await assert.rejects(storage.head('a/b'), unavailable)
  await assert.rejects(storage.put('a/b', Buffer.from('abc'), audio), unavailable)
  await assert.rejects(storage.deleteMany(['a/b']), unavailable)
  await assert.rejects(Array.fromAsync(storage.list('')), unavailable)
  await rm(directory)
  assert.equal(await storage.head('a/b'), null)
})

test('drafts of crashed writers go after a day, those of running ones stay', async (t) => {
  const { storage, directory, reopen } = await openStorage(t)
  await storage.put('a/b', Buffer.from('abc'), audio)
  await writeFile(join(directory, '~drafts/old'), 'x')
  await utimes(join(directory, '~drafts/old'), new Date(0), new Date(0))
  await writeFile(join(directory, '~drafts/young'), 'x')
  await reopen().head('a/b')
  assert.deepEqual(await readdir(join(directory, '~drafts')), ['young'])
})
