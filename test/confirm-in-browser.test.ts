import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startTestApp, until } from './app.ts'
import { openBrowser } from './browser.ts'

test('a newcomer confirms an address from the outbox, on a phone and without script', async (t) => {
  const browser = await openBrowser()
  if (!browser) return t.skip('needs Chromium')
  const app = await startTestApp()
  try {
    const context = await browser.newContext({
      viewport: { width: 390, height: 844 },
      javaScriptEnabled: false,
    })
    const page = await context.newPage()
    const foreign: string[] = []
    page.on('request', (request) => {
      if (new URL(request.url()).hostname !== 'localhost' && !request.url().startsWith('data:'))
        foreign.push(request.url())
    })
    const credentials = { email: 'nowa.osoba@example.test', password: 'cztery spokojne wieczory' }
    const json = { ...credentials, password_confirm: credentials.password }
    assert.equal((await app.call('POST', '/auth/register', { json })).status, 201)
    const link = await until(
      async () => (await app.outbox(credentials.email, 'confirm_email'))[0]?.links[0],
      'the mail',
    )

    const opened = await page.goto(link)
    assert.equal(opened?.status(), 200)
    assert.equal(await page.locator('h1').innerText(), 'Potwierdź swój adres e-mail')
    const before = await app.call('POST', '/auth/login', { json: credentials })
    assert.equal(before.body['code'], 'EMAIL_NOT_CONFIRMED')
    await page.getByRole('button', { name: 'Potwierdź konto' }).click()
    assert.match(await page.locator('h1').innerText(), /Twój email został pomyślnie zweryfikowany!/)
    const first = page.locator('a').first()
    assert.equal(await first.getAttribute('href'), 'dawnotemu://login')
    assert.equal((await first.innerText()).trim(), 'Przejdź do logowania')
    assert.equal((await app.call('POST', '/auth/login', { json: credentials })).status, 200)

    await page.goto(link)
    await page.goto(`${app.url.replace('127.0.0.1', 'localhost')}/dev/outbox`)
    assert.ok((await page.locator('body').innerText()).includes(credentials.email))
    const width = await page.evaluate('document.documentElement.scrollWidth')
    assert.ok(Number(width) <= 390, `the page is ${String(width)} px wide`)
    assert.deepEqual(foreign, [])
  } finally {
    await browser.close()
    await app.close()
  }
})
