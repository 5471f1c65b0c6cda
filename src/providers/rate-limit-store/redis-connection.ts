import { DeadlinePassed, withDeadline } from './deadline.ts'

const deadlineMs = 250

// The package takes a third of a second and 30 MB to load: only who uses it pays, and not at the start.
const createRedisClient = async (url: string) => {
  const { createClient } = await import('redis')
  return createClient({
    url,
    RESP: 2,
    disableOfflineQueue: true,
    maintNotifications: 'disabled',
    // A server that vanished without a word is noticed by silence: pings keep a live connection from being taken for it.
    pingInterval: 2000,
    socket: {
      connectTimeout: 2000,
      socketTimeout: 5000,
      reconnectStrategy: (retries) => Math.min(2000, 100 * 2 ** retries) + Math.random() * 100,
    },
  })
}

type RedisClient = Awaited<ReturnType<typeof createRedisClient>>

interface Opened {
  client: RedisClient
  /** Resolves when the first attempt to connect has ended, well or badly. */
  attempted: Promise<void>
}

export interface RedisConnection {
  /** Rejects at once while there is no connection, and after 250 ms without an answer. */
  run<T>(command: (client: RedisClient) => Promise<T>): Promise<T>
  close(): Promise<void>
}

/** Connects in the background, for as long as it takes, and again whenever the connection is lost. */
export const createRedisConnection = ({ url }: { url: string }): RedisConnection => {
  let isClosed = false

  const open = async (): Promise<Opened> => {
    const client = await createRedisClient(url)
    const attempted = Promise.withResolvers<void>()
    client.on('ready', () => attempted.resolve())
    // Whoever asks learns of it by the refused command. Without a listener the error would end the process.
    client.on('error', () => attempted.resolve())
    if (!isClosed) client.connect().catch(() => attempted.resolve())
    return { client, attempted: attempted.promise }
  }
  /** An address that the client refuses is a failure of each call, not of the process. */
  const openSafely = (): Promise<Opened> => {
    const opened = open()
    opened.catch(() => undefined)
    return opened
  }
  let current = openSafely()

  /** Commands behind one that hangs would hang too: a silent connection is given up for a new one. */
  const replaceSilent = async (silent: Promise<Opened>): Promise<void> => {
    const { client } = await silent
    if (isClosed || current !== silent || !client.isReady) return
    client.destroy()
    current = openSafely()
  }

  return {
    run: async (command) => {
      const opened = current
      const answer = async () => {
        const { client, attempted } = await opened
        await attempted
        return command(client)
      }
      try {
        return await withDeadline('Redis', deadlineMs, answer())
      } catch (error) {
        // Not waited for: the package may still be loading.
        if (error instanceof DeadlinePassed) replaceSilent(opened).catch(() => undefined)
        throw error
      }
    },
    close: async () => {
      isClosed = true
      const opened = await current.catch(() => null)
      opened?.client.destroy()
    },
  }
}
