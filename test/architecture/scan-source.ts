/** What a TypeScript file says outside comments, and what it imports. */
export interface ScannedSource {
  /** The code with comments and the contents of strings, templates and regular expressions blanked; same length. */
  code: string
  imports: Import[]
  /** String literals that are not import specifiers. */
  strings: string[]
}

export interface Import {
  /** `null` when a dynamic import computes it. */
  specifier: string | null
  /** The text between `import`/`export` and `from`; empty for `import 'x'` and `import('x')`. */
  clause: string
}

const beforeRegex =
  /(^|[(,=:[!&|?{};+\-*%~^<>]|\b(?:return|typeof|case|in|of|yield|await|delete|void|throw))$/
const staticImport = /(?<![.\w$])(?:import|export)\b(?!\s*[(.])([^;'"`()=]*?)(?:\bfrom\s*)?['"]/g
const dynamicImport = /(?<![.\w$])import\s*\(\s*(['"`]?)/g

/** Reads a file without running or compiling it. Enough of the grammar to keep comments and strings out of the rules. */
export const scanSource = (source: string): ScannedSource => {
  const { code, strings } = blank(source)
  const imports: Import[] = []
  const used = new Set<number>()
  const take = (quoteAt: number, clause: string): void => {
    used.add(quoteAt)
    imports.push({ specifier: strings.get(quoteAt) ?? null, clause: clause.trim() })
  }
  for (const match of code.matchAll(staticImport)) {
    const clause = match[1] ?? ''
    const isStatement = /\bfrom\s*['"]$/.test(match[0]) || /^import\s*['"]$/.test(match[0])
    if (isStatement) take(match.index + match[0].length - 1, clause)
  }
  for (const match of code.matchAll(dynamicImport)) {
    const end = match.index + match[0].length
    take(match[1] ? end - 1 : end, '')
  }
  return { code, imports, strings: [...strings].filter(([at]) => !used.has(at)).map(([, text]) => text) }
}

const blank = (source: string): { code: string; strings: Map<number, string> } => {
  const code = source.split('')
  const strings = new Map<number, string>()
  // Depth of braces at which each open template expression ends.
  const templates: number[] = []
  let depth = 0
  let at = 0
  const hide = (from: number, to: number): void => {
    for (let index = from; index < to; index += 1) if (code[index] !== '\n') code[index] = ' '
  }
  const skipString = (quote: string): void => {
    let end = at + 1
    while (end < source.length && source[end] !== quote && source[end] !== '\n')
      end += source[end] === '\\' ? 2 : 1
    strings.set(at, source.slice(at + 1, end))
    hide(at + 1, end)
    at = end + 1
  }
  /** From the first character of template text to the end of the template or to the `${` that interrupts it. */
  const skipTemplate = (opening: number | null): void => {
    let end = at
    while (end < source.length && source[end] !== '`' && !source.startsWith('${', end))
      end += source[end] === '\\' ? 2 : 1
    const isInterrupted = source[end] === '$'
    if (opening !== null && !isInterrupted) strings.set(opening, source.slice(at, end))
    hide(at, end)
    at = end + (isInterrupted ? 2 : 1)
    if (isInterrupted) templates.push((depth += 1))
  }
  const skipRegex = (): void => {
    let end = at + 1
    let isInClass = false
    while (end < source.length && source[end] !== '\n' && (isInClass || source[end] !== '/')) {
      if (source[end] === '[') isInClass = true
      if (source[end] === ']') isInClass = false
      end += source[end] === '\\' ? 2 : 1
    }
    hide(at + 1, end)
    at = end + 1
  }
  while (at < source.length) {
    const character = source[at] ?? ''
    if (source.startsWith('//', at) || (at === 0 && source.startsWith('#!'))) {
      const end = source.indexOf('\n', at)
      hide(at, end === -1 ? source.length : end)
      at = end === -1 ? source.length : end
    } else if (source.startsWith('/*', at)) {
      const end = source.indexOf('*/', at + 2)
      hide(at, end === -1 ? source.length : end + 2)
      at = end === -1 ? source.length : end + 2
    } else if (character === "'" || character === '"') skipString(character)
    else if (character === '`') {
      at += 1
      skipTemplate(at - 1)
    } else if (
      character === '/' &&
      beforeRegex.test(
        code
          .slice(Math.max(0, at - 60), at)
          .join('')
          .trimEnd(),
      )
    )
      skipRegex()
    else {
      if (character === '{') depth += 1
      at += 1
      if (character === '}') {
        const resumes = templates.at(-1) === depth
        depth -= 1
        if (resumes) {
          templates.pop()
          skipTemplate(null)
        }
      }
    }
  }
  return { code: code.join(''), strings }
}
