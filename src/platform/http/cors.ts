/** Decides by origin; `*.` in a pattern is exactly one label. */
export const createOriginMatcher = (patterns: readonly string[] | 'any'): ((origin: string) => boolean) => {
  if (patterns === 'any') return () => true
  const matchers = patterns.map(
    (pattern) =>
      new RegExp(
        `^${pattern.replaceAll(/[.+?^${}()|[\]\\]/g, String.raw`\$&`).replace(String.raw`*\.`, String.raw`[a-z0-9-]+\.`)}$`,
      ),
  )
  return (origin) => matchers.some((matcher) => matcher.test(origin))
}

const exposed = [
  'X-Request-Id',
  'Retry-After',
  'RateLimit',
  'RateLimit-Policy',
  'X-Voice-Queue-Position',
  'X-Voice-Queue-Length',
  'X-Voice-Remote-ID',
  'Content-Range',
  'Accept-Ranges',
  'ETag',
].join(', ')

/** Headers of a cross-origin answer; never with credentials. */
export const corsHeaders = (origin: string): Record<string, string> => ({
  'access-control-allow-origin': origin,
  'access-control-expose-headers': exposed,
})

/** Headers of the answer to a preflight request. */
export const preflightHeaders = (requestedHeaders: string | undefined): Record<string, string> => ({
  'access-control-allow-methods': 'DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT',
  'access-control-max-age': '600',
  ...(requestedHeaders === undefined ? {} : { 'access-control-allow-headers': requestedHeaders }),
})
