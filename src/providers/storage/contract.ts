import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { setTimeout as delay } from 'node:timers/promises'
import * as runner from 'node:test'
import type { ObjectStorage } from './storage.ts'

/** An adapter over an empty store whose signed URLs can be fetched from this process. */
export interface StorageUnderTest {
  storage: ObjectStorage
  close(): Promise<void>
}

const test = (name: string, run: () => Promise<void>): void => void runner.test(name, run)

const audio = { contentType: 'audio/mpeg' }

const keysUnder = async (storage: ObjectStorage, prefix: string): Promise<string[]> =>
  (await Array.fromAsync(storage.list(prefix))).map(({ key }) => key).sort()

const text = async (storage: ObjectStorage, key: string, range?: { start: number; end: number }) => {
  const object = await storage.get(key, range)
  assert.ok(object)
  return { text: String(await buffer(object.body)), size: object.size, etag: object.etag }
}

/** What every adapter of `ObjectStorage` must do, as a suite of tests. */
export const objectStorageContract = (name: string, create: () => Promise<StorageUnderTest>): void => {
  void runner.suite(`object storage contract: ${name}`, () => {
    let underTest: StorageUnderTest
    let storage: ObjectStorage
    runner.before(async () => {
      underTest = await create()
      storage = underTest.storage
    })
    runner.after(() => underTest.close())

    test('bytes come back with their type, size, etag and date', async () => {
      const put = await storage.put('a/bytes.mp3', Buffer.from('0123456789'), audio)
      assert.equal(put.size, 10)
      assert.match(put.etag, /^"[^"]+"$/)
      const head = await storage.head('a/bytes.mp3')
      assert.ok(head)
      const { size, contentType, etag, lastModified } = head
      assert.deepEqual({ size, contentType, etag }, { size: 10, contentType: 'audio/mpeg', etag: put.etag })
      assert.ok(Math.abs(Date.now() - lastModified.getTime()) < 60_000)
      assert.deepEqual(await text(storage, 'a/bytes.mp3'), { text: '0123456789', size: 10, etag: put.etag })
    })

    test('a stream with a length comes back byte for byte', async () => {
      const bytes = randomBytes(700_000)
      const chunks = [bytes.subarray(0, 10), bytes.subarray(10, 400_000), bytes.subarray(400_000)]
      const body = Readable.from(chunks)
      const put = await storage.put('a/stream.bin', body, { ...audio, contentLength: bytes.length })
      assert.equal(put.size, bytes.length)
      assert.equal(body.destroyed, true)
      const object = await storage.get('a/stream.bin')
      assert.ok(object)
      assert.deepEqual(await buffer(object.body), bytes)
    })

    test('an empty object is an object', async () => {
      await storage.put('a/empty', new Uint8Array(), audio)
      assert.equal((await storage.head('a/empty'))?.size, 0)
      assert.deepEqual((await text(storage, 'a/empty')).text, '')
    })

    test('a stream of another length than announced is refused and not stored', async () => {
      const streams = { 'a/short': ['abc'], 'a/long': ['abc', 'defghi'] }
      for (const [key, chunks] of Object.entries(streams)) {
        const body = Readable.from(chunks, { objectMode: false })
        await assert.rejects(storage.put(key, body, { ...audio, contentLength: 5 }), {
          name: 'StorageUnavailable',
        })
        assert.equal(await storage.head(key), null)
      }
    })

    test('a stream that breaks is refused and not stored', async () => {
      const broken = async function* () {
        yield Buffer.from('abc')
        await delay(5)
        throw new Error('source broke')
      }
      const put = storage.put('a/broken', Readable.from(broken()), { ...audio, contentLength: 5 })
      await assert.rejects(put, { name: 'StorageUnavailable' })
      assert.equal(await storage.head('a/broken'), null)
    })

    test('ranges are inclusive, end with the object, and say the size of the whole', async () => {
      const { etag } = await storage.put('a/range', Buffer.from('0123456789'), audio)
      assert.deepEqual(await text(storage, 'a/range', { start: 2, end: 4 }), { text: '234', size: 10, etag })
      assert.deepEqual(await text(storage, 'a/range', { start: 9, end: 9 }), { text: '9', size: 10, etag })
      assert.deepEqual(await text(storage, 'a/range', { start: 8, end: 99 }), { text: '89', size: 10, etag })
      await assert.rejects(storage.get('a/range', { start: 10, end: 12 }), { name: 'StorageUnavailable' })
    })

    test('an absent object is null', async () => {
      assert.equal(await storage.head('nowhere/to-be-found'), null)
      assert.equal(await storage.get('nowhere/to-be-found'), null)
      assert.equal(await storage.get('nowhere/to-be-found', { start: 0, end: 4 }), null)
      assert.equal(await storage.head('a'), null, 'a prefix is no object')
    })

    test('a put replaces the object and its type', async () => {
      const first = await storage.put('a/twice', Buffer.from('first'), audio)
      const second = await storage.put('a/twice', Buffer.from('other'), { contentType: 'audio/ogg' })
      assert.notEqual(first.etag, second.etag)
      assert.deepEqual(await text(storage, 'a/twice'), { text: 'other', size: 5, etag: second.etag })
      assert.equal((await storage.head('a/twice'))?.contentType, 'audio/ogg')
    })

    test('list finds objects by a plain string prefix', async () => {
      const keys = ['l/1/a', 'l/1/b/c', 'l/12/a', 'l/2', 'm/1']
      for (const key of keys) await storage.put(key, Buffer.from(key), audio)
      assert.deepEqual(await keysUnder(storage, 'l/1'), ['l/1/a', 'l/1/b/c', 'l/12/a'])
      assert.deepEqual(await keysUnder(storage, 'l/1/'), ['l/1/a', 'l/1/b/c'])
      assert.deepEqual(await keysUnder(storage, 'nothing/'), [])
      const all = await keysUnder(storage, '')
      assert.ok(keys.every((key) => all.includes(key)))
      const [only] = await Array.fromAsync(storage.list('l/2'))
      assert.equal(only?.size, 3)
      assert.ok(only.lastModified instanceof Date)
    })

    test('deleteMany takes more than a batch and counts the absent as deleted', async () => {
      const real = ['d/1', 'd/700', 'd/1004']
      for (const key of real) await storage.put(key, Buffer.from(key), audio)
      const keys = Array.from({ length: 1005 }, (_, number) => `d/${number}`)
      assert.deepEqual(await storage.deleteMany(keys), { failed: [] })
      assert.deepEqual(await keysUnder(storage, 'd/'), [])
      assert.equal(await storage.head('d/700'), null)
      assert.deepEqual(await storage.deleteMany([]), { failed: [] })
    })

    test('a signed URL works over HTTP, with the stored headers or those asked for', async () => {
      const contentDisposition = 'attachment; filename="1_2.mp3"'
      await storage.put('a/signed.mp3', Buffer.from('0123456789'), { ...audio, contentDisposition })
      const plain = await fetch(await storage.presignGet('a/signed.mp3', { expiresInSeconds: 60 }))
      assert.equal(plain.status, 200)
      assert.equal(plain.headers.get('content-type'), 'audio/mpeg')
      assert.equal(plain.headers.get('content-disposition'), contentDisposition)
      assert.equal(await plain.text(), '0123456789')

      const asked = { contentType: 'audio/x-test', contentDisposition: 'inline; filename="a b.mp3"' }
      const url = await storage.presignGet('a/signed.mp3', { expiresInSeconds: 60, ...asked })
      const part = await fetch(url, { headers: { range: 'bytes=2-4' } })
      assert.equal(part.status, 206)
      assert.equal(part.headers.get('content-range'), 'bytes 2-4/10')
      assert.equal(part.headers.get('content-type'), asked.contentType)
      assert.equal(part.headers.get('content-disposition'), asked.contentDisposition)
      assert.equal(await part.text(), '234')
    })

    test('keys that no server code makes are refused everywhere', async () => {
      const wrong = [
        '',
        '/a',
        '../a',
        'a/../b',
        'a//b',
        'a/',
        'a/./b',
        './a',
        'A',
        'a b',
        'a\\b',
        'a\0',
        'ą',
        'a~side',
      ]
      const error = { message: 'object key has an invalid form' }
      for (const key of [...wrong, 'a'.repeat(513)]) {
        await assert.rejects(storage.put(key, Buffer.from('x'), audio), error)
        await assert.rejects(storage.head(key), error)
        await assert.rejects(storage.get(key), error)
        await assert.rejects(storage.presignGet(key, { expiresInSeconds: 60 }), error)
        await assert.rejects(storage.deleteMany(['fine', key]), error)
      }
      await assert.rejects(keysUnder(storage, '../'), error)
      const split = { contentType: 'audio/mpeg\r\nx: y' }
      await assert.rejects(storage.put('a/split', Buffer.from('x'), split), /header value/)
    })

    test("the caller's abort ends every call with the caller's reason", async () => {
      const reason = new Error('caller left')
      const gone = AbortSignal.abort(reason)
      const same = (error: unknown) => error === reason
      await assert.rejects(storage.head('a/bytes.mp3', gone), same)
      await assert.rejects(storage.get('a/bytes.mp3', undefined, gone), same)
      await assert.rejects(storage.deleteMany(['a/bytes.mp3'], gone), same)

      const controller = new AbortController()
      const endless = async function* () {
        yield Buffer.from('abc')
        controller.abort(reason)
        await delay(60_000, undefined, { ref: false })
      }
      const body = Readable.from(endless())
      const put = storage.put('a/aborted', body, { ...audio, contentLength: 9 }, controller.signal)
      await assert.rejects(put, same)
      assert.equal(body.destroyed, true)
      assert.equal(await storage.head('a/aborted'), null)
    })

    test('an abort while reading ends the body', async () => {
      await storage.put('a/large', randomBytes(3_000_000), audio)
      const controller = new AbortController()
      const object = await storage.get('a/large', undefined, controller.signal)
      assert.ok(object)
      const reading = async () => {
        for await (const _ of object.body) controller.abort()
      }
      await assert.rejects(reading(), { name: 'AbortError' })
    })

    test('a paused reader of a 50 MB object has little of it buffered', async () => {
      const size = 50_000_000
      const chunk = Buffer.alloc(100_000, 7)
      const source = Readable.from(Array.from({ length: size / chunk.length }, () => chunk))
      await storage.put('a/huge', source, { ...audio, contentLength: size })
      const object = await storage.get('a/huge')
      assert.ok(object)
      const reader = object.body[Symbol.asyncIterator]()
      await reader.next()
      const before = process.memoryUsage().arrayBuffers
      // While the reader pauses, an adapter without back-pressure piles the object up. Buffers are counted rather
      // than resident memory, which also grows by what was read and is not yet collected.
      await delay(300)
      const grown = process.memoryUsage().arrayBuffers - before
      assert.ok(grown < 5_000_000, `${grown} bytes were buffered`)
      object.body.destroy()
      await storage.deleteMany(['a/huge'])
    })
  })
}
