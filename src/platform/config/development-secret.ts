import { randomBytes } from 'node:crypto'
import { link, mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'

const secretForm = /^[A-Za-z0-9_-]{43,}$/

const isMissing = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && error.code === 'ENOENT'
const isTaken = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && error.code === 'EEXIST'

const readSecret = async (file: string): Promise<string | null> => {
  try {
    const secret = (await readFile(file, 'utf8')).trim()
    if (!secretForm.test(secret))
      throw new Error(`${file} holds no usable secret; remove it to get a new one`)
    return secret
  } catch (error) {
    if (isMissing(error)) return null
    throw error
  }
}

/**
 * The root secret of a development server, 256 random bits in `<dataDir>/secret-key`, readable by its owner only.
 * Made once: of processes that start together one wins, and all get the winner's.
 */
export const readOrCreateDevelopmentSecret = async (dataDir: string): Promise<string> => {
  const file = path.join(dataDir, 'secret-key')
  const existing = await readSecret(file)
  if (existing !== null) return existing

  await mkdir(dataDir, { recursive: true, mode: 0o700 })
  const draft = path.join(dataDir, `.secret-key-${randomBytes(8).toString('hex')}`)
  try {
    await writeFile(draft, `${randomBytes(32).toString('base64url')}\n`, { mode: 0o600, flag: 'wx' })
    // A link appears whole or not at all, and never replaces what another process has put there.
    await link(draft, file).catch((error: unknown) => {
      if (!isTaken(error)) throw error
    })
  } finally {
    await rm(draft, { force: true })
  }
  const secret = await readSecret(file)
  if (secret === null) throw new Error(`${file} vanished while it was being made`)
  return secret
}
