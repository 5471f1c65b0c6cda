/** The part of s3rver (JavaScript without types) that the tests use. */
declare module 's3rver' {
  import type { Server } from 'node:http'
  import type { AddressInfo } from 'node:net'
  import type { Readable } from 'node:stream'

  interface ReceivedObject {
    bucket: string
    key: string
    content: Readable
  }

  export default class S3rver {
    constructor(options: {
      port: number
      address: string
      silent: boolean
      directory: string
      configureBuckets: { name: string }[]
      vhostBuckets: boolean
    })
    store: {
      putObject(object: ReceivedObject): Promise<{ size: number; md5: string }>
      getResourcePath(bucket: string, key: string, resource: string): string
    }
    httpServer: Server
    run(): Promise<AddressInfo>
    close(): Promise<void>
  }
}
