const ownWords = ['dawnotemu', 'bajka', 'bajki', 'punkty', 'magii', 'punktymagii', 'haslo', 'dobranoc']

/** Without case and Polish diacritics: how people type words into password fields. */
export const foldWord = (text: string): string =>
  text.normalize('NFD').replace(/\p{M}/gu, '').replaceAll(/[łŁ]/g, 'l').toLowerCase()

const lettersOf = (text: string): string => foldWord(text).replace(/[^\p{L}]/gu, '')

/** Words that an attacker tries first against this account: the service's own and the parts of the address. */
export const contextWords = (email: string): string[] => {
  const address = foldWord(email)
  const at = address.lastIndexOf('@')
  const [local, domain] = at < 0 ? [address, ''] : [address.slice(0, at), address.slice(at + 1)]
  const parts = [address, local, lettersOf(local), domain, ...local.split(/[^\p{L}]+/u), ...domain.split('.')]
  return [...new Set([...ownWords, ...parts.filter((part) => part.length >= 3)])]
}

const decorationLimit = 8

/**
 * Whether the password is one context word with a few digits or signs around or inside it. The estimator alone lets
 * `Dawnotemu2026!` pass, because each sign multiplies its guesses.
 */
export const isDecoratedContextWord = (password: string, context: readonly string[]): boolean => {
  const letters = lettersOf(password)
  const decoration = Array.from(password.normalize('NFC')).length - Array.from(letters).length
  if (letters === '' || decoration > decorationLimit) return false
  return context.some((word) => lettersOf(word) === letters)
}
