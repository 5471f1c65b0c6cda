import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import type { IncomingMessage, RequestListener } from 'node:http'
import { buffer } from 'node:stream/consumers'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { createS3Storage } from './s3-storage.ts'
import type { S3Options } from './s3-client.ts'

const unavailable = { name: 'StorageUnavailable' }
const audio = { contentType: 'audio/mpeg' }

interface Seen {
  method: string
  path: string
  headers: IncomingMessage['headers']
  body: string
}

/** An endpoint that answers as `answer` says, and storage that talks to it. */
const withEndpoint = async (t: TestContext, answer: RequestListener, options: Partial<S3Options> = {}) => {
  const seen: Seen[] = []
  const server = createServer((request, response) => {
    const record = async () => {
      const body = String(await buffer(request).catch(() => ''))
      const { method = '', url = '', headers } = request
      seen.push({ method, path: url, headers, body })
      answer(request, response)
    }
    void record()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  assert.ok(typeof address === 'object' && address !== null)
  const storage = createS3Storage({
    bucket: 'stories',
    region: 'eu-central-1',
    endpoint: `http://127.0.0.1:${address.port}`,
    credentials: { accessKeyId: 'test', secretAccessKey: 'test' },
    useSsl: true,
    useSse: true,
    maxConnections: 2,
    maxRetries: 0,
    timeoutMs: 2000,
    ...options,
  })
  t.after(() => {
    storage.close()
    server.closeAllConnections()
    server.close()
  })
  return { storage, seen }
}

const s3Error = (code: string) =>
  `<?xml version="1.0"?><Error><Code>${code}</Code><Message>404 not found</Message></Error>`

const faults: Record<string, RequestListener> = {
  'status 500': (_, response) => response.writeHead(500).end(),
  'status 503': (_, response) => response.writeHead(503).end(s3Error('ServiceUnavailable')),
  'status 403': (_, response) => response.writeHead(403).end(s3Error('AccessDenied')),
  'a text with 404 in it': (_, response) => response.writeHead(400).end(s3Error('BadRequest')),
  'a missing bucket': (_, response) => response.writeHead(404).end(s3Error('NoSuchBucket')),
  "a proxy's 404 page": (_, response) =>
    response.writeHead(404, { 'content-type': 'text/html' }).end('<html><body><h1>404</h1></body></html>'),
  'a 404 in JSON': (_, response) => response.writeHead(404, { 'content-type': 'application/json' }).end('{}'),
  'a cut connection': (request) => request.socket.destroy(),
  'no answer': () => {},
}

for (const [name, answer] of Object.entries(faults))
  test(`${name} is a fault of every call, never an absence`, async (t) => {
    const { storage } = await withEndpoint(t, answer, { timeoutMs: name === 'no answer' ? 150 : 2000 })
    await assert.rejects(storage.head('a/b'), unavailable)
    await assert.rejects(storage.get('a/b'), unavailable)
    await assert.rejects(storage.put('a/b', Buffer.from('x'), audio), unavailable)
    await assert.rejects(storage.deleteMany(['a/b']), unavailable)
    await assert.rejects(Array.fromAsync(storage.list('a/')), unavailable)
  })

test('NoSuchKey and a bare 404 are absences', async (t) => {
  const named = await withEndpoint(t, (_, response) => response.writeHead(404).end(s3Error('NoSuchKey')))
  assert.equal(await named.storage.head('a/b'), null)
  assert.equal(await named.storage.get('a/b'), null)
  const bare = await withEndpoint(t, (_, response) => response.writeHead(404).end())
  assert.equal(await bare.storage.head('a/b'), null)
  assert.equal(await bare.storage.get('a/b'), null)
})

test('an object that is there costs one request to head', async (t) => {
  const { storage, seen } = await withEndpoint(t, (_, response) =>
    response
      .writeHead(200, { 'content-length': 3, etag: '"e"', 'last-modified': 'Fri, 02 Jan 2026 03:04:05 GMT' })
      .end(),
  )
  const head = await storage.head('a/b')
  assert.equal(head?.size, 3)
  assert.deepEqual(
    seen.map(({ method }) => method),
    ['HEAD'],
  )
})

test('a fault is retried as often as configured', async (t) => {
  const { storage, seen } = await withEndpoint(t, (_, response) => response.writeHead(500).end(), {
    maxRetries: 1,
  })
  await assert.rejects(storage.get('a/b'), unavailable)
  assert.equal(seen.length, 2)
})

test('a body that is cut or stalls errors; a slow reader does not', async (t) => {
  const headers = { 'content-length': 200_000, etag: '"e"' }
  const half = Buffer.alloc(100_000)
  const cut = await withEndpoint(t, (request, response) => {
    response.writeHead(200, headers).write(half, () => setTimeout(() => request.socket.destroy(), 20))
  })
  const cutObject = await cut.storage.get('a/b')
  assert.ok(cutObject)
  await assert.rejects(buffer(cutObject.body), unavailable)

  const stalled = await withEndpoint(t, (_, response) => response.writeHead(200, headers).write(half), {
    timeoutMs: 150,
  })
  const stalledObject = await stalled.storage.get('a/b')
  assert.ok(stalledObject)
  await assert.rejects(buffer(stalledObject.body), unavailable)

  const whole = await withEndpoint(
    t,
    (_, response) => response.writeHead(200, headers).end(Buffer.alloc(200_000)),
    {
      timeoutMs: 150,
    },
  )
  const object = await whole.storage.get('a/b')
  assert.ok(object)
  let size = 0
  for await (const part of object.body) {
    assert.ok(part instanceof Uint8Array)
    size += part.byteLength
    await new Promise((resolve) => setTimeout(resolve, 200))
  }
  assert.equal(size, 200_000)
})

test('an answer without the range that was asked for is a fault', async (t) => {
  const { storage } = await withEndpoint(t, (_, response) =>
    response.writeHead(200, { 'content-length': 3, etag: '"e"' }).end('abc'),
  )
  await assert.rejects(storage.get('a/b', { start: 1, end: 2 }), unavailable)
})

test('a put whose head tells another size failed', async (t) => {
  const { storage } = await withEndpoint(t, (request, response) =>
    response
      .writeHead(200, {
        'content-length': request.method === 'HEAD' ? 4 : 0,
        etag: '"e"',
        'last-modified': 'Fri, 02 Jan 2026 03:04:05 GMT',
      })
      .end(),
  )
  await assert.rejects(storage.put('a/b', Buffer.from('abc'), audio), unavailable)
})

const storedHeaders = async (t: TestContext, options: Partial<S3Options>) => {
  const { storage, seen } = await withEndpoint(
    t,
    (request, response) =>
      response
        .writeHead(200, {
          'content-length': request.method === 'HEAD' ? 3 : 0,
          etag: '"e"',
          'last-modified': 'Fri, 02 Jan 2026 03:04:05 GMT',
        })
        .end(),
    options,
  )
  await storage.put('a/b', Buffer.from('abc'), {
    ...audio,
    cacheControl: 'private, max-age=86400',
    contentDisposition: 'attachment; filename="1_2.mp3"',
  })
  const put = seen.find(({ method }) => method === 'PUT')
  assert.ok(put)
  assert.equal(put.body, 'abc')
  assert.equal(put.path.split('?')[0], '/stories/a/b')
  return put.headers
}

test('a put asks for AES256, sets the headers, and sends no ACL and no checksum', async (t) => {
  const headers = await storedHeaders(t, {})
  assert.equal(headers['x-amz-server-side-encryption'], 'AES256')
  assert.equal(headers['content-type'], 'audio/mpeg')
  assert.equal(headers['cache-control'], 'private, max-age=86400')
  assert.equal(headers['content-disposition'], 'attachment; filename="1_2.mp3"')
  assert.equal(headers['content-length'], '3')
  const names = Object.keys(headers)
  assert.deepEqual(
    names.filter((name) => /^x-amz-(acl|grant|meta|checksum|sdk-checksum|trailer)/.test(name)),
    [],
  )
})

test('with useSse off a put asks for no encryption', async (t) => {
  const headers = await storedHeaders(t, { useSse: false })
  assert.equal(headers['x-amz-server-side-encryption'], undefined)
})

test('deletes go in batches of 1000 with an MD5, and single refusals come back', async (t) => {
  const refused = '<Error><Key>d/7</Key><Code>AccessDenied</Code><Message>no</Message></Error>'
  const gone = '<Error><Key>d/8</Key><Code>NoSuchKey</Code><Message>no</Message></Error>'
  const { storage, seen } = await withEndpoint(t, (_, response) =>
    response.writeHead(200).end(`<?xml version="1.0"?><DeleteResult>${refused}${gone}</DeleteResult>`),
  )
  const keys = Array.from({ length: 1001 }, (_, number) => `d/${number}`)
  const { failed } = await storage.deleteMany(keys)
  const failure = { key: 'd/7', reason: 'AccessDenied' }
  assert.deepEqual(failed, [failure, failure])
  assert.deepEqual(
    seen.map(({ body }) => body.match(/<Key>/g)?.length),
    [1000, 1],
  )
  assert.match(String(seen[0]?.headers['content-md5']), /^[\w+/]{22}==$/)
})

test('list follows pages', async (t) => {
  const page = (key: string, next: string) =>
    `<?xml version="1.0"?><ListBucketResult><IsTruncated>${next !== ''}</IsTruncated>${next}<Contents><Key>${key}</Key>` +
    '<LastModified>2026-01-02T03:04:05.000Z</LastModified><Size>1</Size></Contents></ListBucketResult>'
  const { storage, seen } = await withEndpoint(t, ({ url = '' }, response) =>
    response
      .writeHead(200)
      .end(
        url.includes('continuation-token=more')
          ? page('l/2', '')
          : page('l/1', '<NextContinuationToken>more</NextContinuationToken>'),
      ),
  )
  const objects = await Array.fromAsync(storage.list('l/'))
  assert.deepEqual(
    objects.map(({ key }) => key),
    ['l/1', 'l/2'],
  )
  assert.equal(seen.length, 2)
})
