/** Path in an archive for a title: `folder/title.extension`, made to fit every file system and given once. */
export type NameFile = (folder: string, title: string, extension: string) => string

const titleLimit = 80
// Windows takes none of these, whatever extension follows.
const deviceName = /^(?:con|prn|aux|nul|(?:com|lpt)[0-9¹²³])$/i

/** A title as a file name: its letters stay, what Windows, macOS or Linux refuse goes. */
const fileName = (title: string): string => {
  const plain = title
    .normalize('NFC')
    .replaceAll(/[\p{C}<>:"/\\|?*]+/gu, ' ')
    .replaceAll(/\s+/g, ' ')
    .trim()
  const name = [...plain]
    .slice(0, titleLimit)
    .join('')
    .replace(/^[. ]+/, '')
    .replace(/[. ]+$/, '')
    .trim()
  if (name === '') return 'bez nazwy'
  return deviceName.test(name.split('.')[0]?.trim() ?? '') ? `_${name}` : name
}

/** Two titles of one name get `title.mp3` and `title (2).mp3`; names that differ in case only count as one. */
export const createNameFile = (): NameFile => {
  const taken = new Set<string>()
  return (folder, title, extension) => {
    const name = fileName(title)
    for (let number = 1; ; number += 1) {
      const path = `${folder}/${name}${number === 1 ? '' : ` (${number})`}.${extension}`
      const key = path.toLowerCase()
      if (taken.has(key)) continue
      taken.add(key)
      return path
    }
  }
}
