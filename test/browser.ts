import { access } from 'node:fs/promises'
import { chromium, type Browser } from 'playwright-core'

const executablePath = '/usr/bin/chromium'

/** The machine's Chromium without anything that speaks to elsewhere; null where there is none. */
export const openBrowser = async (): Promise<Browser | null> => {
  const isThere = await access(executablePath).then(
    () => true,
    () => false,
  )
  if (!isThere) return null
  return chromium.launch({
    executablePath,
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--disable-background-networking',
      '--disable-sync',
    ],
  })
}
