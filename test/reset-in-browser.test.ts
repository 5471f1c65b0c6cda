import assert from 'node:assert/strict'
import path from 'node:path'
import { test } from 'node:test'
import type { Page } from 'playwright-core'
import * as scene from './account-scene.ts'
import { startTestApp, until, type TestApp } from './app.ts'
import { openBrowser } from './browser.ts'

/** A folder for what the pages looked like. */
const pictures = process.env['TEST_SCREENSHOTS']

const linkOf = (app: TestApp, email: string, kind: string): Promise<string> =>
  until(async () => (await app.outbox(email, kind))[0]?.links[0], `the ${kind} mail`)

const assertFits = async (page: Page): Promise<void> => {
  const box = await page.locator('main').boundingBox()
  assert.ok(box && box.x >= 0 && box.x + box.width <= 390, JSON.stringify(box))
  const inner = await page.locator('.content').boundingBox()
  assert.ok(inner && inner.x + inner.width <= 390, JSON.stringify(inner))
}

test('a forgotten password is replaced from the mail, on a phone and without script', async (t) => {
  const browser = await openBrowser()
  if (!browser) return t.skip('needs Chromium')
  const app = await startTestApp()
  try {
    const context = await browser.newContext({
      viewport: { width: 390, height: 844 },
      javaScriptEnabled: false,
    })
    const page = await context.newPage()
    const show = async (name: string): Promise<void> => {
      if (pictures !== undefined)
        await page.screenshot({ path: path.join(pictures, `${name}.png`), fullPage: true })
    }
    const foreign: string[] = []
    page.on('request', (request) => {
      if (!['localhost', '127.0.0.1'].includes(new URL(request.url()).hostname)) foreign.push(request.url())
    })

    const fields = scene.registration()
    const email = String(fields['email'])
    assert.equal((await app.call('POST', '/auth/register', { json: fields })).status, 201)
    await page.goto(await linkOf(app, email, 'confirm_email'))
    await show('confirm')
    await page.getByRole('button', { name: 'Potwierdź konto' }).click()
    await show('confirmed')

    assert.equal((await app.call('POST', '/auth/reset-password-request', { json: { email } })).status, 200)
    const link = await linkOf(app, email, 'reset_password')
    const opened = await page.goto(link)
    assert.equal(opened?.status(), 200)
    assert.equal(await page.locator('h1').innerText(), 'Resetuj hasło')
    assert.equal(await page.getByRole('alert').count(), 0)
    await assertFits(page)
    await show('reset')

    const send = async (password: string, confirm = password) => {
      await page.getByLabel('Nowe hasło', { exact: true }).fill(password)
      await page.getByLabel('Powtórz nowe hasło').fill(confirm)
      const [answer] = await Promise.all([
        page.waitForResponse((response) => response.request().method() === 'POST'),
        page.getByRole('button', { name: 'Zapisz nowe hasło' }).click(),
      ])
      await page.waitForLoadState()
      return answer.status()
    }
    assert.equal(await send('haslo123'), 400)
    assert.equal(
      await page.getByRole('alert').innerText(),
      'To hasło łatwo odgadnąć. Użyj dłuższego zwrotu lub rzadszych słów.',
    )
    assert.equal(await page.locator('input[type=password]').count(), 2, 'the form stays')
    assert.equal(page.url(), link)
    await assertFits(page)
    await show('reset-weak')
    assert.equal(await send('mokry parasol 7', 'suchy parasol 7'), 400)
    assert.equal(await page.getByRole('alert').innerText(), 'Hasła nie są takie same.')

    const password = 'żółta łódź & 100% słońca'
    assert.equal(await send(password), 200)
    await page.getByText('Hasło zostało zresetowane. Możesz się teraz zalogować.').waitFor()
    assert.equal(await page.locator('form').count(), 0)
    const first = page.locator('a').first()
    assert.equal(await first.getAttribute('href'), 'dawnotemu://login')
    assert.equal((await first.innerText()).trim(), 'Przejdź do logowania')
    await assertFits(page)
    await show('done')
    assert.equal((await scene.login(app, { email, password })).status, 200)

    const again = await page.goto(link)
    assert.equal(again?.status(), 400)
    assert.equal(await page.locator('h1').innerText(), 'Wystąpił błąd')
    assert.equal(await page.locator('form').count(), 0)
    await show('dead')
    assert.deepEqual(foreign, [])
  } finally {
    await browser.close()
    await app.close()
  }
})
