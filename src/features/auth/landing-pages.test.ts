import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as pages from './landing-pages.ts'

const action = '/auth/confirm-email/abc_-123'
const all: Record<string, string> = {
  confirm: pages.confirmPage(action),
  confirmed: pages.confirmedPage(),
  error: pages.errorPage(pages.landingErrors.link),
  resetForm: pages.resetFormPage({ action: '/auth/reset-password/abc' }),
  resetDone: pages.resetDonePage(),
  start: pages.startPage({ isDevelopment: true }).html,
}

const firstLink = (page: string): string => /<a [^>]*href="([^"]*)"[^>]*>/.exec(page)?.[1] ?? ''
const heading = (page: string): string => /<h1>(.*?)<\/h1>/s.exec(page)?.[1] ?? ''

for (const [name, page] of Object.entries(all)) {
  test(`${name}: Polish, one stylesheet, no script, no inline style, nothing from elsewhere`, () => {
    assert.match(page, /^<!doctype html>\s*<html lang="pl">/)
    assert.equal(page.match(/<h1>/g)?.length, 1)
    assert.deepEqual(page.match(/<link rel="stylesheet"[^>]*>/g), [
      '<link rel="stylesheet" href="/static/brand.css" />',
    ])
    assert.doesNotMatch(page, /<script|<style|\sstyle=|\son[a-z]+=|https?:/)
  })
}

test('confirm: form posts to the same address', () => {
  assert.equal(heading(pages.confirmPage(action)), 'Potwierdź swój adres e-mail')
  assert.match(pages.confirmPage(action), new RegExp(`<form method="post" action="${action}">`))
  assert.match(pages.confirmPage(action), /<button[^>]*type="submit">Potwierdź konto<\/button>/)
})

test('confirmed: logo, heading and the app as first link', () => {
  const page = pages.confirmedPage()
  assert.match(page, /<img alt="DawnoTemu Logo" src="\/icons\/logo\.png"/)
  assert.match(heading(page), /Twój email został pomyślnie zweryfikowany!/)
  assert.equal(firstLink(page), 'dawnotemu://login')
  assert.match(page, />Przejdź do logowania<\/a>/)
})

test('error: heading, reason and contact; the reason is escaped', () => {
  const page = pages.errorPage('<i>zły</i>')
  assert.equal(heading(page), 'Wystąpił błąd')
  assert.match(page, /&lt;i&gt;zły&lt;\/i&gt;/)
  assert.equal(firstLink(page), 'mailto:pomoc@dawnotemu.app')
  assert.doesNotMatch(page, /<form/)
})

test('reset form: two inputs, error box only with an error', () => {
  const clean = pages.resetFormPage({ action: '/auth/reset-password/abc' })
  const failed = pages.resetFormPage({ action: '/auth/reset-password/abc', error: pages.resetErrors.differ })
  assert.equal(heading(clean), 'Resetuj hasło')
  for (const name of ['new_password', 'new_password_confirm'])
    assert.match(
      clean,
      new RegExp(`<input[^>]*name="${name}" type="password" minlength="8" autocomplete="new-password"`),
    )
  assert.doesNotMatch(clean, /class="error"/)
  assert.match(failed, /<p class="error" role="alert">Hasła nie są takie same\.<\/p>/)
})

test('reset done: text, link, no form', () => {
  assert.match(pages.resetDonePage(), /Hasło zostało zresetowane\. Możesz się teraz zalogować\./)
  assert.equal(firstLink(pages.resetDonePage()), 'dawnotemu://login')
  assert.doesNotMatch(pages.resetDonePage(), /<form/)
})

test('a hostile action cannot leave its attribute', () => {
  assert.doesNotMatch(pages.confirmPage('/auth/confirm-email/"><script>'), /<script>/)
})

test('the start page shows the outbox only where there is one', () => {
  assert.match(pages.startPage({ isDevelopment: true }).html, /href="\/dev\/outbox"/)
  assert.doesNotMatch(pages.startPage({ isDevelopment: false }).html, /outbox/)
})

test('headers as the accounts page lists them', () => {
  assert.deepEqual(pages.landingHeaders, {
    'cache-control': 'no-store',
    'referrer-policy': 'no-referrer',
    'x-content-type-options': 'nosniff',
    'x-robots-tag': 'noindex',
    'content-security-policy':
      "default-src 'none'; style-src 'self'; font-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
  })
})
