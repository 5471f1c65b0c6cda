import assert from 'node:assert/strict'
import { access } from 'node:fs/promises'
import { createServer } from 'node:http'
import { after, before, describe, test } from 'node:test'
import { chromium, type Browser, type BrowserContext, type Page } from 'playwright-core'
import * as scene from './account-scene.ts'
import { startTestApp, type Account, type TestApp } from './app.ts'

const executablePath = '/usr/bin/chromium'
const isThere = await access(executablePath).then(
  () => true,
  () => false,
)
const blank = '<!doctype html><meta charset="utf-8"><title>x</title>'

/** Serves an empty page on every path, on 127.0.0.1 and with it on localhost. */
const startForeignServer = async (): Promise<{ port: number; close: () => void }> => {
  const server = createServer((_request, response) =>
    response.writeHead(200, { 'content-type': 'text/html' }).end(blank),
  )
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  assert.ok(address !== null && typeof address === 'object')
  const { port } = address
  const close = (): void => {
    server.closeAllConnections()
    server.close()
  }
  return { port, close }
}

let app: TestApp
let browser: Browser
let foreign: Awaited<ReturnType<typeof startForeignServer>>
let own: string
before(async () => {
  if (!isThere) return
  // Any origin may read answers here, so nothing but the defence stands between a foreign page and the cookie.
  app = await startTestApp({ env: { CORS_ORIGINS: 'any' }, work: false })
  own = app.url.replace('127.0.0.1', 'localhost')
  foreign = await startForeignServer()
  browser = await chromium.launch({
    executablePath,
    args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-sync'],
  })
})
after(async () => {
  if (!isThere) return
  await browser.close()
  foreign.close()
  await app.close()
})

interface Ask {
  url: string
  init: { method: string; headers?: Record<string, string>; body?: string; mode?: 'no-cors' }
  credentials: 'include' | 'omit'
}

/** `fetch` by the script of the page; status 0 is an answer that it may not see, -1 one that the browser withheld. */
const ask = (page: Page, given: Ask): Promise<{ status: number; body: Record<string, unknown> }> =>
  page.evaluate(async ({ url, init, credentials }) => {
    try {
      const response = await fetch(url, { ...init, credentials })
      const text = await response.text()
      return { status: response.status, body: text === '' ? {} : JSON.parse(text) }
    } catch {
      return { status: -1, body: {} }
    }
  }, given)

const script = { 'x-requested-with': 'DawnoTemu', 'content-type': 'application/json' }
const post = (page: Page, path: string, body: unknown = {}) =>
  ask(page, {
    url: own + path,
    init: { method: 'POST', headers: script, body: JSON.stringify(body) },
    credentials: 'include',
  })

/** An empty page on the server's own origin, as the browser app's page will be. */
const openOwnPage = async (context: BrowserContext): Promise<Page> => {
  const page = await context.newPage()
  await page.route(`${own}/own-page`, (route) => route.fulfill({ body: blank, contentType: 'text/html' }))
  await page.goto(`${own}/own-page`)
  return page
}

const signInByCookie = async (page: Page): Promise<{ account: Account; accessToken: string }> => {
  const account = await scene.createAccount(app)
  const { email, password } = account
  const { status, body } = await post(page, '/auth/login', { email, password, session: 'cookie' })
  assert.equal(status, 200, JSON.stringify(body))
  assert.deepEqual(Object.keys(body).sort(), ['access_token', 'expires_in', 'user'])
  return { account, accessToken: String(body['access_token']) }
}

const jar = async (context: BrowserContext): Promise<string> => {
  const cookies = await context.cookies(own)
  assert.deepEqual(
    cookies.map(({ name, domain, path, httpOnly, secure, sameSite }) => ({
      name,
      domain,
      path,
      httpOnly,
      secure,
      sameSite,
    })),
    [
      {
        name: '__Host-dt_refresh',
        domain: 'localhost',
        path: '/',
        httpOnly: true,
        secure: true,
        sameSite: 'Strict',
      },
    ],
  )
  return cookies[0]?.value ?? ''
}

const inBrowser = (name: string, run: (context: BrowserContext) => Promise<void>): void => {
  void test(name, { skip: isThere ? false : 'needs Chromium' }, async () => {
    const context = await browser.newContext()
    try {
      await run(context)
    } finally {
      await context.close()
    }
  })
}

inBrowser(
  'the own page signs in, refreshes and signs out; its script never sees the cookie',
  async (context) => {
    const page = await openOwnPage(context)
    const { account, accessToken } = await signInByCookie(page)
    const first = await jar(context)
    assert.equal(await page.evaluate('document.cookie'), '')
    const [life] = await context.cookies(own)
    assert.ok(Math.abs((life?.expires ?? 0) - Date.now() / 1000 - 604_800) < 120)

    const refreshed = await post(page, '/auth/refresh')
    assert.deepEqual(
      [refreshed.status, Object.keys(refreshed.body).sort()],
      [200, ['access_token', 'expires_in']],
    )
    const second = await jar(context)
    assert.notEqual(second, first)
    assert.equal((await post(page, '/auth/refresh')).status, 200)
    const token = String(refreshed.body['access_token'])
    for (const bearer of [accessToken, token])
      assert.equal((await app.call('GET', '/auth/me', { token: bearer })).status, 200)

    const me = await ask(page, { url: `${own}/auth/me`, init: { method: 'GET' }, credentials: 'include' })
    assert.equal(me.status, 401)
    assert.equal((await post(page, '/auth/logout')).status, 204)
    assert.deepEqual(await context.cookies(own), [])
    assert.equal((await post(page, '/auth/refresh')).status, 400)
    assert.equal((await app.call('GET', '/auth/me', { token })).status, 401)
    assert.equal((await app.call('GET', '/auth/me', { token: account.accessToken })).status, 200)
  },
)

inBrowser('a cookie that the server refuses is gone from the browser', async (context) => {
  const page = await openOwnPage(context)
  const { accessToken } = await signInByCookie(page)
  assert.equal((await app.call('POST', '/auth/logout-all', { token: accessToken })).status, 204)
  assert.equal((await post(page, '/auth/refresh')).status, 401)
  assert.deepEqual(await context.cookies(own), [])
})

interface Attack {
  name: string
  /** What the server answers where the cookie is sent along (same site), and where it is not. */
  answers: [withCookie: number[], without: number[]]
  run: (page: Page, account: Account) => Promise<unknown>
}

const byForm = (
  path: string,
  type: string,
  answers: Attack['answers'],
  fields: Record<string, string> = {},
): Attack => ({
  name: `form POST ${path} as ${type}`,
  answers,
  run: async (page) => {
    const inputs = Object.entries(fields)
      .map(([name, value]) => `<input name='${name}' value='${value}'>`)
      .join('')
    await page.setContent(`<form method="post" action="${own}${path}" enctype="${type}">${inputs}</form>`)
    const answered = page.waitForResponse(own + path)
    // The page is gone, or stays where the answer is a 204, before the script has ended.
    await page.evaluate('document.forms[0].submit()').catch(() => undefined)
    await answered
  },
})

const byFetch = (path: string, answers: Attack['answers'], init: Ask['init']): Attack => ({
  name: `fetch ${path}, ${init.mode ?? 'cors'}, with credentials`,
  answers,
  run: async (page) => {
    const { status } = await ask(page, { url: own + path, init, credentials: 'include' })
    assert.ok(status < 200 || status > 299, String(status))
  },
})

const loginFields = '{"email":"a@b.pl","password":"x","session":"cookie","rest":"'
// Nothing is sent by the cookie's `fetch` with our header: no preflight of ours allows credentials.
const attacks: Attack[] = [
  ...[
    ['/auth/refresh', 400] as const,
    // Signing out where there is nothing to end is no error.
    ['/auth/logout', 204] as const,
  ].flatMap(([path, nothing]): Attack[] => [
    byForm(path, 'application/x-www-form-urlencoded', [[403], [nothing]]),
    byForm(path, 'text/plain', [[415], [415]], { '{"a":"': '"}' }),
    byForm(path, 'multipart/form-data', [[415], [415]], { a: 'b' }),
    byFetch(path, [[], []], { method: 'POST', headers: script, body: '{}' }),
    byFetch(path, [[403], [nothing]], { method: 'POST', mode: 'no-cors' }),
    {
      name: `navigation to ${path}`,
      answers: [[405], [405]],
      run: (page) => page.goto(own + path),
    },
  ]),
  byForm('/auth/login', 'text/plain', [[415], [415]], { [loginFields]: '"}' }),
  {
    name: 'login in cookie mode by fetch, with the right password',
    answers: [[403], [403]],
    run: async (page, { email, password }) => {
      const body = JSON.stringify({ email, password, session: 'cookie' })
      const init = { method: 'POST', headers: script, body }
      const url = `${own}/auth/login`
      const omitting = await ask(page, { url, init, credentials: 'omit' })
      assert.deepEqual([omitting.status, omitting.body], [403, { error: 'Cross-site request refused.' }])
      assert.equal((await ask(page, { url, init, credentials: 'include' })).status, -1)
    },
  },
]

/** The session's head and the number of its tokens: whatever acts on it changes one of them. */
const headOf = async ({ id }: Account): Promise<unknown[]> =>
  scene.rows(
    app,
    `select s.id, s.head_token_id, s.ended_at, count(t.id) from sessions s
     join refresh_tokens t on t.session_id = s.id where s.user_id = $1 group by s.id order by s.id`,
    [id],
  )

for (const [kind, host, isCookieSent] of [
  ['same site, another port', 'localhost', true],
  ['another site', '127.0.0.1', false],
] as const)
  describe(`a foreign page: ${kind}`, () => {
    let context: BrowserContext
    let mine: Page
    let session: Awaited<ReturnType<typeof signInByCookie>>
    before(async () => {
      if (!isThere) return
      context = await browser.newContext()
      mine = await openOwnPage(context)
      session = await signInByCookie(mine)
    })
    after(() => (isThere ? context.close() : undefined))

    for (const attack of attacks)
      test(attack.name, { skip: isThere ? false : 'needs Chromium' }, async () => {
        const statuses: number[] = []
        const page = await context.newPage()
        page.on('response', (response) => {
          if (response.url().startsWith(`${own}/auth/`) && response.request().method() !== 'OPTIONS')
            statuses.push(response.status())
        })
        await page.goto(`http://${host}:${foreign.port}/`)
        const [cookie, head] = [await jar(context), await headOf(session.account)]
        await attack.run(page, session.account)
        await page.close()
        assert.deepEqual(statuses, attack.answers[isCookieSent ? 0 : 1])
        assert.equal(await jar(context), cookie)
        assert.deepEqual(await headOf(session.account), head)
        assert.equal((await app.call('GET', '/auth/me', { token: session.accessToken })).status, 200)
        assert.equal((await post(mine, '/auth/refresh')).status, 200)
      })
  })
