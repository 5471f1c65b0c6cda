import { randomUUID } from 'node:crypto'
import { createReadStream, createWriteStream } from 'node:fs'
import { mkdtemp, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { setTimeout as delay } from 'node:timers/promises'
import S3rver from 's3rver'
import { objectStorageContract } from '../contract.ts'
import { createS3Storage } from './s3-storage.ts'

/**
 * s3rver writes a body into the object's place as it arrives, also one that breaks off, and answers before the file
 * is flushed. S3 shows whole objects only, so each body is received completely before s3rver stores it.
 */
const receiveWhole = ({ store }: S3rver, directory: string): void => {
  const putObject = store.putObject.bind(store)
  store.putObject = async (object) => {
    const received = join(directory, randomUUID())
    await pipeline(object.content, createWriteStream(received))
    object.content = createReadStream(received)
    const written = await putObject(object)
    const path = store.getResourcePath(object.bucket, object.key, 'object')
    while ((await stat(path)).size !== written.size) await delay(1)
    await rm(received)
    return written
  }
}

objectStorageContract('S3', async () => {
  const directory = await mkdtemp(join(tmpdir(), 's3rver-'))
  const bucket = 'stories'
  const server = new S3rver({
    port: 0,
    address: '127.0.0.1',
    silent: true,
    directory: join(directory, 'store'),
    configureBuckets: [{ name: bucket }],
    // Otherwise 127.0.0.1 would be taken for a bucket's host name.
    vhostBuckets: false,
  })
  receiveWhole(server, directory)
  const { port } = await server.run()
  const storage = createS3Storage({
    bucket,
    region: 'us-east-1',
    endpoint: `127.0.0.1:${port}`,
    credentials: { accessKeyId: 'S3RVER', secretAccessKey: 'S3RVER' },
    useSsl: false,
    useSse: true,
    maxConnections: 5,
    maxRetries: 1,
  })
  const close = async () => {
    storage.close()
    server.httpServer.closeAllConnections()
    await server.close()
    await rm(directory, { recursive: true })
  }
  return { storage, close }
})
