import { createLocalFiles } from '../src/providers/storage/local-files/local-files.ts'
import { StorageUnavailable, type ObjectStorage } from '../src/providers/storage/storage.ts'

/** A storage whose single operations can be made to fail. */
export interface FaultyStorage {
  storage: ObjectStorage
  /** Operations on keys that start with the prefix throw `StorageUnavailable` until `heal`. */
  breakDown(operation: 'put' | 'head' | 'get' | 'delete' | 'list', prefix: string): void
  heal(): void
}

/** Files in a folder, behind switches. */
export const createFaultyStorage = (directory: string): FaultyStorage => {
  const files = createLocalFiles({
    directory,
    publicBaseUrl: 'http://127.0.0.1',
    signingKey: Buffer.alloc(32, 7),
    now: () => new Date(),
  })
  let broken: { operation: string; prefix: string }[] = []
  const check = (operation: string, key: string): void => {
    if (broken.some((fault) => fault.operation === operation && key.startsWith(fault.prefix)))
      // A text with 404 in it must not pass for "absent" (V-L28).
      throw new StorageUnavailable('gateway said 404 Not Found')
  }
  return {
    storage: {
      ...files,
      put: async (key, ...rest) => (check('put', key), files.put(key, ...rest)),
      head: async (key, ...rest) => (check('head', key), files.head(key, ...rest)),
      get: async (key, ...rest) => (check('get', key), files.get(key, ...rest)),
      deleteMany: async (keys, ...rest) => {
        for (const key of keys) check('delete', key)
        return files.deleteMany(keys, ...rest)
      },
      list: async function* (prefix) {
        check('list', prefix)
        yield* files.list(prefix)
      },
    },
    breakDown: (operation, prefix) => {
      broken.push({ operation, prefix })
    },
    heal: () => {
      broken = []
    },
  }
}
