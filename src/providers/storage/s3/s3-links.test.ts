import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { S3Options } from './s3-client.ts'
import { createS3Storage } from './s3-storage.ts'

const presigned = async (options: Partial<S3Options>) => {
  const storage = createS3Storage({
    bucket: 'stories',
    region: 'eu-central-1',
    credentials: { accessKeyId: 'test', secretAccessKey: 'test' },
    useSsl: true,
    useSse: true,
    maxConnections: 2,
    maxRetries: 0,
    ...options,
  })
  return new URL(await storage.presignGet('a/b.mp3', { expiresInSeconds: 90 }))
}

test('links are signed for the public endpoint, in the addressing style that is set', async () => {
  const aws = await presigned({})
  assert.equal(aws.origin + aws.pathname, 'https://stories.s3.eu-central-1.amazonaws.com/a/b.mp3')
  assert.equal(aws.searchParams.get('X-Amz-Expires'), '90')
  const path = await presigned({ addressingStyle: 'path' })
  assert.equal(path.origin + path.pathname, 'https://s3.eu-central-1.amazonaws.com/stories/a/b.mp3')

  const inside = { endpoint: 'minio:9000', useSsl: false }
  const minio = await presigned(inside)
  assert.equal(minio.origin + minio.pathname, 'http://minio:9000/stories/a/b.mp3')
  const outside = await presigned({ ...inside, publicEndpoint: 'https://files.example.org' })
  assert.equal(outside.origin + outside.pathname, 'https://files.example.org/stories/a/b.mp3')
  assert.equal(outside.searchParams.get('X-Amz-SignedHeaders'), 'host')
  const virtual = await presigned({ endpoint: 'https://s3.example.org', addressingStyle: 'virtual' })
  assert.equal(virtual.origin + virtual.pathname, 'https://stories.s3.example.org/a/b.mp3')
})
