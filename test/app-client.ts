import assert from 'node:assert/strict'

/** One request as it went out, and the status that came back. */
export interface SentRequest {
  method: string
  path: string
  authorization: string | null
  status: number
}

export interface AppResult {
  isSuccess: boolean
  status: number
  data: Record<string, unknown>
  error: string | null
  code: string | null
}

const codeOf = (status: number): string =>
  ({ 400: 'BAD_REQUEST', 401: 'AUTH_ERROR', 402: 'PAYMENT_REQUIRED', 403: 'FORBIDDEN', 404: 'NOT_FOUND' })[
    status
  ] ?? (status >= 500 ? 'SERVER_ERROR' : 'API_ERROR')

const text = (value: unknown): string | null => (typeof value === 'string' && value !== '' ? value : null)

/**
 * The shipped app's rules of transport (10 §15.2 and §15.3), as far as the server can notice them: bearer on every
 * call, a refresh for each 401 without single flight and always with the first refresh token, every login wiped by any
 * refresh that is not 2xx.
 */
export const createAppClient = (url: string) => {
  const stored: {
    accessToken: string | null
    refreshToken: string | null
    user: Record<string, unknown> | null
  } = { accessToken: null, refreshToken: null, user: null }
  const sent: SentRequest[] = []

  const signOut = (): void => {
    Object.assign(stored, { accessToken: null, refreshToken: null, user: null })
  }

  const send = async (
    method: string,
    path: string,
    body: unknown,
    own: { withBearer: boolean; timeoutMs?: number },
  ): Promise<{ status: number; data: Record<string, unknown> }> => {
    const authorization = own.withBearer && stored.accessToken ? `Bearer ${stored.accessToken}` : null
    const response = await fetch(url + path, {
      method,
      headers: {
        'content-type': 'application/json',
        ...(authorization === null ? {} : { authorization }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      ...(own.timeoutMs === undefined ? {} : { signal: AbortSignal.timeout(own.timeoutMs) }),
    })
    const answer = await response.text()
    sent.push({ method, path, authorization, status: response.status })
    const type = response.headers.get('content-type') ?? ''
    return { status: response.status, data: type.includes('json') ? JSON.parse(answer) : {} }
  }

  const refresh = async (): Promise<boolean> => {
    const json = { refresh_token: stored.refreshToken }
    const { status, data } = await send('POST', '/auth/refresh', json, { withBearer: false }).catch(() => ({
      status: 0,
      data: {},
    }))
    const accessToken = text(Reflect.get(data, 'access_token'))
    if (status < 200 || status > 299 || accessToken === null) {
      signOut()
      return false
    }
    // Only the access token is taken; the successor is thrown away.
    stored.accessToken = accessToken
    return true
  }

  const resultOf = ({ status, data }: { status: number; data: Record<string, unknown> }): AppResult => {
    const isSuccess = status >= 200 && status <= 299
    const said = text(data['error']) ?? text(data['message']) ?? `Request failed with status ${status}`
    return {
      isSuccess,
      status,
      data,
      error: isSuccess ? null : said,
      code: isSuccess ? null : codeOf(status),
    }
  }

  const ask = (method: string, path: string, body?: unknown) =>
    send(method, path, body, { withBearer: true, timeoutMs: 30_000 })

  /** The app's general transport. */
  const request = async (method: string, path: string, body?: unknown): Promise<AppResult> => {
    const first = await ask(method, path, body)
    if (first.status !== 401) return resultOf(first)
    if (stored.refreshToken === null) return { ...resultOf(first), code: 'AUTH_REQUIRED' }
    if (!(await refresh())) return { ...resultOf(first), code: 'AUTH_ERROR' }
    return resultOf(await ask(method, path, body))
  }

  /** The transport of the voice screens: no sign-out of its own, and the body's `code` wins over the status. */
  const voiceRequest = async (method: string, path: string): Promise<AppResult> => {
    let answer = await ask(method, path)
    if (answer.status === 401 && stored.refreshToken !== null && (await refresh()))
      answer = await ask(method, path)
    const result = resultOf(answer)
    return { ...result, code: result.isSuccess ? null : (text(answer.data['code']) ?? result.code) }
  }

  const login = async (email: string, password: string): Promise<AppResult> => {
    const result = await request('POST', '/auth/login', { email, password })
    if (!result.isSuccess) return result
    const { access_token: accessToken, refresh_token: refreshToken, user } = result.data
    assert.ok(typeof accessToken === 'string' && typeof refreshToken === 'string', 'the tokens are strings')
    assert.ok(typeof user === 'object' && user !== null)
    Object.assign(stored, { accessToken, refreshToken, user })
    return result
  }

  return { stored, sent, request, voiceRequest, login, signOut }
}

export type AppClient = ReturnType<typeof createAppClient>

/** What the app's login screen does with a refusal. */
export const afterLogin = (result: AppResult): string => {
  if (result.isSuccess) return 'home'
  const error = result.error ?? ''
  if (result.data['code'] === 'EMAIL_NOT_CONFIRMED' || /confirm/i.test(error)) return 'confirm your e-mail'
  return error.includes('credentials') ? 'Nieprawidłowy email lub hasło.' : error
}
