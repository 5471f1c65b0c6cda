import type { SeededRandom } from './seeded-random.ts'

export interface OddRequest {
  method: string
  url: string
  headers: Record<string, string>
  payload?: string
}

/** Stand in a request for what is only known when it is sent, so that a seed repeats it. */
export const placeholders = {
  access: '<access>',
  refresh: '<refresh>',
  email: '<email>',
  password: '<password>',
} as const

const methods = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'HEAD', 'OPTIONS'] as const
const rareMethods = ['TRACE', 'PROPFIND', 'PURGE', 'LINK', 'REPORT', 'QUERY'] as const
const fields = [
  'email',
  'password',
  'password_confirm',
  'current_password',
  'new_password',
  'new_password_confirm',
  'refresh_token',
  'client_name',
  'session',
  'proof',
  'reason',
  'terms_version',
  'voice_id',
  'name',
  'text',
  'limit',
  '__proto__',
  'constructor',
] as const
const types = [
  ...Array.from({ length: 14 }, () => 'application/json'),
  'application/x+json',
  'APPLICATION/JSON ; charset=utf-16',
  'text/plain',
  'application/x-www-form-urlencoded',
  'application/x-www-form-urlencoded; charset=iso-8859-2',
  'multipart/form-data; boundary=b',
  'multipart/form-data',
  ';;;',
  'application/json, text/html',
  '\u00ff',
  '',
]

/** Requests that no honest client makes, and now and then one that nearly is. */
export const createOddRequests = (random: SeededRandom) => {
  const { below, pick } = random

  const oddText = (): string =>
    pick([
      '',
      '0',
      '1',
      '-1',
      '1e9',
      '2147483648',
      'NaN',
      'null',
      "' or 1=1 --",
      '../../etc/passwd',
      '%00',
      '%ff',
      '%',
      '%2e%2e%2f',
      '%F0%9F%A6',
      '{{7*7}}',
      '<script>',
      '🦊'.repeat(50),
      'ą'.normalize('NFD'),
      'a\u0000b',
      '\ud800',
      '\u202eabc',
      'x@y.pl',
      'cookie',
      'x'.repeat(600),
      'A'.repeat(43),
      `dtr_${'A'.repeat(49)}`,
      placeholders.email,
      placeholders.password,
      placeholders.refresh,
      String(random.next()),
    ])

  const oddValue = (depth = 0): unknown =>
    pick<() => unknown>([
      oddText,
      oddText,
      oddText,
      () => below(1e12) - 5e11,
      () => random.next(),
      () => pick([true, false, null]),
      (): unknown => (depth > 3 ? [] : Array.from({ length: below(4) }, () => oddValue(depth + 1))),
      (): unknown => (depth > 3 ? {} : Object.fromEntries([[pick(fields), oddValue(depth + 1)]])),
    ])()

  const oddObject = (): string => JSON.stringify(Object.fromEntries(fields.map((name) => [name, oddValue()])))

  /** A body whose form is right, so that what stands behind the form is reached too. */
  const nearlyRight = (): string => {
    const password = pick([placeholders.password, 'spokojny wieczór nad rzeką', oddText()])
    const body: Record<string, unknown> = {
      email: pick([placeholders.email, 'x@y.pl', oddText()]),
      password: placeholders.password,
      password_confirm: placeholders.password,
      current_password: pick([placeholders.password, placeholders.password, oddText()]),
      new_password: password,
      new_password_confirm: password,
      refresh_token: placeholders.refresh,
      session: 'body',
    }
    for (let removed = below(4); removed > 0; removed -= 1) delete body[pick(fields)]
    body[pick(fields)] = oddValue()
    return JSON.stringify(body)
  }

  const form = (): string =>
    Array.from(
      { length: below(6) },
      () => `${pick(fields)}=${pick([encodeURIComponent('ż'), '%', '%ff', '+', 'x'.repeat(300)])}`,
    )
      .concat(pick(['', 'new_password=a&new_password=b', '&&&===', '%=%&']))
      .join('&')

  const oddBody = (): string =>
    pick<() => string>([
      () => '',
      () => JSON.stringify(oddValue()),
      oddObject,
      oddObject,
      nearlyRight,
      nearlyRight,
      nearlyRight,
      form,
      () => JSON.stringify(oddValue()).slice(0, below(20)),
      () => oddObject().slice(0, below(400)),
      () => pick(['[', '{"a":']).repeat(below(12_000)),
      () => `{"email":"\\ud800${pick(['a', '\\u0000', '\\udc00'])}"}`,
      () => '{"email":"a","email":"b","refresh_token":1e999}',
      () => '--b\r\nContent-Disposition: form-data; name="file"; filename="a.mp3"\r\n\r\nabc\r\n--b--\r\n',
      () => '\u0000\u0001\u001f\ufeff{}',
      () => `{"password":"${'x'.repeat(below(70_000))}"}`,
    ])()

  const oddHeaders = (): Record<string, string> => {
    const headers: Record<string, string> = {}
    const type = types[below(types.length)] ?? ''
    if (type !== '') headers['content-type'] = type
    const authorization = pick([
      '',
      `Bearer ${placeholders.access}`,
      `Bearer ${placeholders.access}`,
      `Bearer ${placeholders.access}`,
      `bearer\t${placeholders.access}`,
      `Bearer ${placeholders.refresh}`,
      'Bearer x.y.z',
      `Bearer ${Buffer.from('{"alg":"none"}').toString('base64url')}.e30.`,
      `Bearer ${'.'.repeat(below(2000))}`,
      'Basic Og==',
      'Bearer \u00ff\u00fe',
    ])
    if (authorization !== '') headers['authorization'] = authorization
    if (below(4) === 0)
      headers['cookie'] = pick(['__Host-dt_refresh=', '__Host-dt_refresh=<refresh>', '=;=;', 'a=b; c'])
    if (below(4) === 0) headers['x-requested-with'] = pick(['DawnoTemu', 'x'])
    if (below(4) === 0) headers['sec-fetch-site'] = pick(['same-origin', 'cross-site', '\u00ff'])
    const name = pick([
      'accept',
      'range',
      'if-none-match',
      'origin',
      'x-forwarded-for',
      'x-request-id',
      'user-agent',
      'accept-encoding',
      'access-control-request-method',
      'x-http-method-override',
    ])
    headers[name] = pick([
      '',
      'application/json',
      'text/html',
      'text/html;q=x,,;',
      'bytes=0-',
      'bytes=9-1,x',
      '"x"',
      'null',
      'a=b; c',
      '*/*',
      '\u00ff\u0080',
      '1'.repeat(900),
    ])
    return headers
  }

  /** A request to one of these path templates. */
  const oddRequest = (paths: readonly [string, ...string[]]): OddRequest => {
    const path = pick(paths).replaceAll(/\{[^}]+\}/g, () =>
      pick([
        encodeURIComponent(oddText().toWellFormed()),
        oddText().replaceAll(/[\s\p{Cc}#?]/gu, ''),
        '1',
        'A'.repeat(43),
      ]),
    )
    const query = pick([
      '',
      '',
      '',
      `?${pick(fields)}=${encodeURIComponent(oddText().toWellFormed())}`,
      '?purpose=login',
      '?redirect&expires=x',
      '?limit[]=1&limit=2',
      '?%ff=%',
    ])
    const tail = pick(['', '', '', '', '', '', '/', '//', '/x'])
    const method = below(30) === 0 ? pick(rareMethods) : pick(methods)
    // Bytes that Node itself refuses in a request line never reach a route.
    const url = (path + tail + query).replaceAll(/[^!-~]/gu, (character) =>
      encodeURIComponent(character.toWellFormed()),
    )
    const request = { method, url, headers: oddHeaders() }
    return method === 'GET' || method === 'HEAD' || method === 'TRACE'
      ? request
      : { ...request, payload: oddBody() }
  }

  return { oddRequest }
}

/** The request with its placeholders filled in. */
export const fillIn = (
  request: OddRequest,
  values: Record<keyof typeof placeholders, string>,
): OddRequest => {
  const fill = (text: string): string =>
    text
      .replaceAll(placeholders.access, values.access)
      .replaceAll(placeholders.refresh, values.refresh)
      .replaceAll(placeholders.email, values.email)
      .replaceAll(placeholders.password, values.password)
  return {
    method: request.method,
    url: fill(request.url).replaceAll(' ', '%20'),
    headers: Object.fromEntries(Object.entries(request.headers).map(([name, value]) => [name, fill(value)])),
    ...(request.payload === undefined ? {} : { payload: fill(request.payload) }),
  }
}

const leak = /\b(select|insert|relation|undefined|TypeError|node_modules|argon2)\b/
const pagePath = /^\/auth\/(confirm-email|reset-password)\//

/** What is wrong with the answer, or null: faults, refusals that are neither JSON nor a page, inner words. */
export const problemOf = (
  answer: { status: number; headers: Record<string, unknown>; body: string },
  request: Pick<OddRequest, 'method' | 'url'>,
): string | null => {
  const { status, headers, body } = answer
  if (status >= 500) return `status ${status} ${body}`
  if (typeof headers['x-request-id'] !== 'string') return 'no request id'
  if (status < 400 || request.method === 'HEAD') return null
  const type = String(headers['content-type'])
  if (leak.test(body)) return `leak ${body}`
  if (pagePath.test(request.url) && type === 'text/html; charset=utf-8')
    return body.includes('<html lang="pl"') ? null : `page ${body.slice(0, 200)}`
  if (!type.startsWith('application/json')) return `type ${type}`
  const parsed: { error?: unknown; code?: unknown } = JSON.parse(body)
  if (typeof parsed.error !== 'string' || parsed.error === '' || parsed.error.length > 120)
    return `body ${body}`
  return status === 401 && parsed.code !== undefined ? `code ${body}` : null
}
