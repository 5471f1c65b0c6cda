/** Knows which methods each registered path has, to tell a wrong method (405) from an unknown path (404). */
export interface RouteTable {
  add(method: string | readonly string[], pattern: string): void
  /** Methods of the path in alphabetic order, with HEAD and OPTIONS where they are answered; empty when unknown. */
  methodsOf(path: string): string[]
}

const toMatcher = (pattern: string): RegExp =>
  new RegExp(
    `^${pattern
      .split('/')
      .map((segment) =>
        segment.startsWith(':')
          ? '[^/]+'
          : segment === '*'
            ? '.*'
            : segment.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`),
      )
      .join('/')}$`,
  )

export const createRouteTable = (): RouteTable => {
  const routes = new Map<string, { matcher: RegExp; methods: Set<string> }>()
  return {
    add: (method, pattern) => {
      const known = routes.get(pattern) ?? { matcher: toMatcher(pattern), methods: new Set<string>() }
      for (const name of [method].flat()) known.methods.add(name)
      routes.set(pattern, known)
    },
    methodsOf: (path) => {
      const methods = new Set<string>()
      for (const route of routes.values())
        if (route.matcher.test(path)) for (const method of route.methods) methods.add(method)
      return [...methods].sort()
    },
  }
}
