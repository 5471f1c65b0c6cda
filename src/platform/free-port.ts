import { createServer } from 'node:net'

/** A loopback port that was free a moment ago; another process may still be quicker. */
export const freePort = (): Promise<number> =>
  new Promise((resolve, reject) => {
    const server = createServer()
    server.on('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      const port = typeof address === 'object' && address ? address.port : null
      server.close(() => (port === null ? reject(new Error('no free port')) : resolve(port)))
    })
  })
